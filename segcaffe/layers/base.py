"""What every layer is: the contract between layers and the net."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np

from segcaffe import device
from segcaffe.blob import Blob
from segcaffe.blob.vectors import BlobVec
from segcaffe.device.host_memory import HostMemoryError, in_units
from segcaffe.errors import GraphError, ShapeError
from segcaffe.proto import caffe_pb2
from segcaffe.proto.fields import options_by_type
from segcaffe.trust.modules import Code

Count = tuple[int, int | None]
"""How many bottoms or tops: at least the first, at most the second (None: any number)."""

MOST_ITERATIONS = 10_000
"""Of a layer that computes in iterations: a larger number in its options is a mistake."""

Blobs = Sequence[Blob]
Read = Literal["bottoms", "tops"]


F = TypeVar("F", bound=Callable[..., None])


def recordable(forward: F) -> F:
    """Mark a layer's ``forward``: all that it does is to call kernels, which tell what they do, on its blobs' arrays.

    What else the kernels are given follows from options, shapes and the layer's parameters. Where that holds for some
    options only, ``forward`` says so by `segcaffe.threads.recording.refuse`. A subclass with a ``forward`` of its own
    marks that, or is not recorded (see `segcaffe.net.recorded`).
    """
    forward.recordable = True  # type: ignore[attr-defined]
    return forward


def is_recordable(layer: Layer) -> bool:
    """Whether a layer's ``forward`` is so marked."""
    return "forward" not in vars(layer) and getattr(type(layer).forward, "recordable", False)


@dataclass(frozen=True)
class LayerMemory:
    """What a layer's passes read, and the memory it uses besides its blobs; sizes in bytes, for its present shapes.

    Attributes
    ----------
    reads_bottoms, reads_tops:
        Whether the backward pass reads the values of the bottoms, and of the tops; the memory of others may be reused.
    saved:
        What forward saves for backward; it is given back where it is not needed, and made anew by `Layer.recompute`.
    state:
        What the layer keeps for good, from the first pass on.
    workspace:
        Scratch memory of kernels on the CPU, by name, where it is large; kernels that use a name use it by turns.
    recomputes:
        Whether `Layer.recompute` can make the tops' values anew: nothing comes from outside or from a state.
    joins:
        For each bottom where in the top's memory it could lie, in elements, so that nothing needs to be copied; empty
        for layers that do not join their bottoms.
    hands_on:
        The bottoms whose gradient is that of the first top as it is, so that it need not be copied to one of them.
    """

    reads_bottoms: bool = True
    reads_tops: bool = True
    saved: int = 0
    state: int = 0
    workspace: Mapping[str, int] = field(default_factory=dict)
    recomputes: bool = True
    joins: tuple[int, ...] = ()
    hands_on: tuple[int, ...] = ()


class Layer:
    """A function from bottom blobs to top blobs, with parameters of its own in ``blobs``.

    The net calls `setup` once, `reshape` whenever a bottom's shape changes, `forward`, and `backward` where a gradient
    is wanted. A layer is written against ``self.xp`` (NumPy or CuPy) on ``blob.array`` and ``blob.grad``; it calls a
    kernel where array code is too slow, and never asks which device it is on.

    Attributes
    ----------
    name, type:
        The layer's name in the net and its type string.
    param:
        Its `LayerParameter`.
    phase:
        ``caffe_pb2.TRAIN`` or ``caffe_pb2.TEST``.
    blobs:
        Learnable parameters (and state such as running means), made by `setup`.
    fillers:
        For each of them what filled it.
    saved_blobs, state_blobs:
        The layer's own blobs by name, made by `own_blob`.
    runs_backward:
        Whether `backward` may be called; a net says so where it will not, and nothing needs to be saved.
    """

    options_field: ClassVar[str] = ""
    """The field of the type's own options, ``pooling_param``; unless told the one whose message bears its name."""
    other_options: ClassVar[tuple[str, ...]] = ()
    """Fields of options that it reads besides, and shares with other types."""
    label_options: ClassVar[str] = ""
    """The field of the options whose ``ignore_label`` is a label that it does not count."""
    dialects: ClassVar[str] = ""
    """The schemas that have the type, where its own options do not tell."""
    draw_color: ClassVar[str] = "#6495ED"
    """Its colour in drawings; those of pycaffe."""
    statistics: ClassVar[bool] = False
    """Whether its blobs are statistics, which no solver changes."""
    bottom_count: ClassVar[Count] = (1, 1)
    top_count: ClassVar[Count] = (1, 1)
    same_count: ClassVar[bool] = False
    """Whether there must be as many tops as bottoms."""
    in_place: ClassVar[bool] = False
    """Whether a top may be the same blob as its bottom."""
    auto_tops: ClassVar[bool] = False
    """Whether tops that the net does not name are made all the same (losses)."""
    loss: ClassVar[bool] = False
    """Whether top 0 has loss weight 1 unless told otherwise."""
    gradient_to: ClassVar[tuple[int, ...] | None] = None
    """The bottoms that can receive a gradient; None means all. Labels, for example, cannot."""
    refuses_gradient: ClassVar[bool] = True
    """Whether a gradient to the other bottoms is an error; otherwise they get none, although layers below learn."""
    judges: ClassVar[bool] = False
    """Whether the first top has a row for each detection; a test joins them and gives their average precision."""
    detects: ClassVar[bool] = False
    """Whether the first top's rows are boxes in images: item, label, score, then xmin, ymin, xmax, ymax in parts."""
    region_bottom: ClassVar[int | None] = None
    """The bottom whose rows are regions of images, item and corners in pixels, if there is one."""
    value_names: ClassVar[tuple[str, ...]] = ()
    """What logs call the values of the first top, where they are several measures."""
    source: ClassVar[bool] = False
    """Whether the layer's tops come from outside the net (data layers)."""
    sink: ClassVar[bool] = False
    """Whether all that the layer does is to write files."""
    written_option: ClassVar[str] = ""
    """The option that makes the layer write files besides what it does; programs that predict take it away."""
    keeps_channels: ClassVar[bool] = False
    """Whether the first top has the channels of the first bottom."""
    reshape_always: ClassVar[bool] = False
    """Whether `reshape` must be called before each forward even if no bottom changed its shape."""
    backward_reads: tuple[Read, ...] = ("bottoms", "tops")
    """The values that `backward` reads, besides gradients; the memory of others may be reused before."""
    fork_options: ClassVar[frozenset[str]] = frozenset()
    """Options of forks that the type reads, although most types do not (see `segcaffe.proto.fork_options.EFFECTS`)."""
    recomputes: bool = True
    """Whether `recompute` can make the tops' values anew: they follow from the bottoms', not from chance or a state."""
    open_axis: int | None = None
    """The axis of its tops whose extent follows from values and shows in `forward`; `reshape` makes it 1."""
    half_weights: bool = False
    """Whether `forward` reads parameter 0 in half precision where it is kept so (`Blob.half`)."""
    leaves_due: bool = False
    """Whether each pass leaves blobs that are computed when they are read as they are, so that it can be recorded."""
    replayable: bool = True
    """Whether each pass does what the last did, to the same memory, so that a GPU may replay it without the layer."""

    def __init_subclass__(cls) -> None:
        """Find the type's own options by its name, unless it says which they are."""
        super().__init_subclass__()
        if "options_field" not in vars(cls) and cls.__name__ in options_by_type():
            cls.options_field = options_by_type()[cls.__name__]

    def __init__(self, param: caffe_pb2.LayerParameter, phase: int, dtype: Any = np.float32) -> None:
        self.param = param
        self.phase = phase
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.name: str = param.name
        self.type: str = param.type
        self.blobs = BlobVec(dtype=self.dtype)
        self.fillers: list[caffe_pb2.FillerParameter] = []
        self.saved_blobs: dict[str, Blob] = {}
        self.state_blobs: dict[str, Blob] = {}
        self.param_propagate_down: list[bool] = []
        self.runs_backward = True

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options once into named attributes, check them, and make the parameter blobs."""

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the bottoms' shapes and set the tops'."""
        raise NotImplementedError

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the tops' values."""
        raise NotImplementedError

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the gradients of the bottoms asked for; add to those of the parameters.

        Parameters
        ----------
        top:
            Tops, their ``grad`` set.
        propagate_down:
            For each bottom, whether its gradient is wanted.
        bottom:
            Bottoms, their ``array`` as in the last forward.
        """
        raise NotImplementedError

    def memory(self, bottom: Blobs, top: Blobs, backward: bool) -> LayerMemory:
        """What the planner must know; ``backward`` tells whether the layer will run backward.

        Here: what the attributes say; what is saved and kept are the blobs made by `own_blob`.
        """
        return LayerMemory(
            reads_bottoms="bottoms" in self.backward_reads,
            reads_tops="tops" in self.backward_reads,
            saved=sum(blob.nbytes for blob in self.saved_blobs.values()),
            state=sum(blob.nbytes for blob in self.state_blobs.values()),
            recomputes=self.recomputes and not (self.source or self.loss or self.reshape_always),
        )

    def recompute(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the tops' values, and what is saved, as the last `forward` did: nothing is drawn or counted anew."""
        self.forward(bottom, top)

    def own_blob(self, name: str, shape: Sequence[int], dtype: Any = None, *, saved: bool = False) -> Blob:
        """A blob for the layer's own use: the same for each name, brought to ``shape``; by default of the net's type.

        What forward leaves in it for backward is ``saved``: its memory is given back where the plan says so. Any other
        is state and keeps its memory.
        """
        blobs = self.saved_blobs if saved else self.state_blobs
        if name not in blobs:
            blobs[name] = Blob(shape, dtype or self.dtype)
        blobs[name].reshape(*shape)
        return blobs[name]

    def example(self, index: int, bottom: Blobs, rng: np.random.Generator) -> Any:
        """Values that mean something to the layer, for a bottom of numbers of items, regions and their like.

        Parameters
        ----------
        index:
            The bottom's number.
        bottom:
            The bottoms, in their shapes.
        rng:
            What the values are drawn from.

        Returns
        -------
        Any
            An array of the bottom's shape; None where the layer takes any number. Here: classes, of labels.
        """
        classes = bottom[0].shape[1] if self.label_options and index == 1 and bottom[0].ndim > 1 else 0
        return rng.integers(classes, size=bottom[1].shape) if classes else None

    def running_statistics(self) -> Sequence[Blob]:
        """Those of the parameters that the forward pass renews, which processes that train together average."""
        return ()

    def takes_fewer(self, count: int) -> bool:
        """Whether a file's ``count`` parameters, fewer than the layer has, are enough; the others keep their values."""
        return False

    def multiply_adds(self, bottom: Blobs, top: Blobs) -> int:
        """Multiply-adds of one forward pass; 0 for layers that only move or map values."""
        return 0

    @property
    def public(self) -> Any:
        """What ``net.layers`` has for the layer: itself, or of a Python layer the user's object."""
        return self

    @property
    def where(self) -> str:
        """How error messages name the layer: ``layer "conv1" (Convolution)``."""
        return f'layer "{self.name}" ({self.type})'

    @property
    def xp(self) -> ModuleType:
        """NumPy in CPU mode, CuPy in GPU mode."""
        return device.xp()

    @property
    def training(self) -> bool:
        """Whether the net is in phase TRAIN."""
        return self.phase == caffe_pb2.TRAIN

    def fail(self, rule: str, received: object = None) -> ShapeError:
        """Build the error for options or shapes that break a rule; the caller raises it.

        Parameters
        ----------
        rule:
            A sentence: what must hold, and what to do.
        received:
            What was there instead.
        """
        suffix = "" if received is None else f" Received: {received}."
        return ShapeError(f"{self.where}: {rule.rstrip('.')}.{suffix}")

    def check_range(self, option: str, value: int, least: int, most: int) -> None:
        """Raise ShapeError unless the option's value lies in the range, whose ends are allowed."""
        if not least <= value <= most:
            raise self.fail(f"{option} must be {least} or more, and {most} at most", f"{option}: {value}")

    def check_counts(self, num_bottom: int, num_top: int) -> None:
        """Raise GraphError unless the layer takes that many bottoms and tops."""
        check_count(self.where, "bottom", self.bottom_count, num_bottom)
        check_count(self.where, "top", self.top_count, num_top)
        if self.same_count and num_bottom != num_top:
            raise GraphError(f"{self.where}: needs as many tops as bottoms. Received: {num_bottom} and {num_top}.")

    @classmethod
    def family(cls) -> str:
        """The family of the type: the folder that its module lies in."""
        return cls.__module__.split(".")[-2:][0]

    @classmethod
    def option_fields(cls) -> tuple[str, ...]:
        """The fields of all options that the type reads, its own first."""
        return tuple(dict.fromkeys(name for name in (cls.options_field, *cls.other_options) if name))

    @classmethod
    def code(cls, param: caffe_pb2.LayerParameter) -> Code | None:
        """The code that such a layer runs besides segcaffe's, because the net names it."""
        return None

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """How many blobs `setup` makes for a layer with these options and so many bottoms."""
        return 0

    @classmethod
    def allows_gradient(cls, bottom_index: int) -> bool:
        """Whether that bottom can receive a gradient."""
        return cls.gradient_to is None or bottom_index in cls.gradient_to

    @classmethod
    def passes_over(cls, bottom_index: int) -> bool:
        """Whether that bottom gets no gradient, and asking for one is no error either."""
        return not (cls.refuses_gradient or cls.allows_gradient(bottom_index))

    def add_parameter(self, shape: Sequence[int], filler: caffe_pb2.FillerParameter) -> Blob:
        """Append a parameter blob of ``shape``, its values drawn by ``filler``."""
        from segcaffe.blob.fillers import fill

        blob = Blob(shape, self.dtype)
        try:
            fill(blob, filler, self.where)
        except MemoryError as error:
            size = f"a parameter of shape {blob.shape} takes {in_units(blob.nbytes)}"
            raise HostMemoryError(f"{size}; {error}" if str(error) else size) from error
        self.blobs.append(blob)
        self.fillers.append(filler)
        return blob

    def param_spec(self, index: int) -> caffe_pb2.ParamSpec:
        """How parameter ``index`` is named, shared and learnt: its ``param`` entry, or what stands in for it."""
        specs = self.param.param
        return specs[index] if index < len(specs) else caffe_pb2.ParamSpec()

    def wants_param(self, index: int) -> bool:
        """Whether the gradient of parameter ``index`` is wanted."""
        return index >= len(self.param_propagate_down) or self.param_propagate_down[index]


class LossLayer(Layer):
    """A layer whose first top is a scalar loss of weight 1, of bottoms (prediction, target)."""

    bottom_count = (2, 2)
    auto_tops = True
    loss = True
    gradient_to: ClassVar[tuple[int, ...] | None] = (0,)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that the batch sizes agree; the loss is a scalar."""
        if not bottom[0].shape or bottom[0].shape[:1] != bottom[1].shape[:1]:
            raise self.fail(
                "the prediction and the target need the same batch size, so each an axis of it",
                f"shapes {bottom[0].shape} and {bottom[1].shape}",
            )
        top[0].reshape()


class NeuronLayer(Layer):
    """A layer that maps each element by itself: one bottom, one top of the same shape, in place if wished."""

    in_place = True
    keeps_channels = True

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape."""
        if top[0] is not bottom[0]:
            top[0].reshape_like(bottom[0])


def check_count(where: str, kind: str, allowed: Count, received: int) -> None:
    """Raise GraphError unless a layer that takes ``allowed`` bottoms or tops got so many."""
    low, high = allowed
    if received < low or (high is not None and received > high):
        wanted = f"exactly {low}" if low == high else f"at least {low}" if high is None else f"{low} to {high}"
        plural = "" if wanted.endswith(" 1") else "s"
        raise GraphError(f"{where}: takes {wanted} {kind}{plural}. Received: {received}.")
