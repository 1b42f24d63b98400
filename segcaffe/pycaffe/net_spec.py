"""Nets written in Python: ``layers`` (L), ``params`` (P) and `NetSpec`, as in pycaffe.

    n = NetSpec()
    n.data, n.label = L.DummyData(shape=[{"dim": [8, 1, 28, 28]}, {"dim": [8]}], ntop=2)
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler={"type": "xavier"})
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.score = L.InnerProduct(n.relu1, num_output=10)
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    print(n.to_proto())

A call such as ``L.Convolution(...)`` makes a `Function` (a layer to be) and returns its `Top`, or a tuple of ``ntop``
tops, or the function itself when ``ntop`` is 0. Keywords are the options of the layer's own message; those ending in
``param``, and those the message does not have, go to the layer itself. Tops that got no name are called by their
layer's type and a number.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from segcaffe.errors import PrototxtError, did_you_mean
from segcaffe.layers.registry import find_class, layer_class, layer_types
from segcaffe.proto import caffe_pb2
from segcaffe.proto.fields import options_by_type

__all__ = ["Function", "Layers", "NetSpec", "Parameters", "Top", "assign_proto", "layers", "params", "to_proto"]


def param_name_dict() -> dict[str, str]:
    """The name of each layer type's own option, without ``_param``: ``{"Convolution": "convolution", ...}``."""
    options = {**options_by_type(), **{name: layer_class(name).options_field for name in layer_types()}}
    return {name: field.removesuffix("_param") for name, field in options.items() if field}


class Top:
    """One output of a layer to be: top number ``n`` of the function ``fn``."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> caffe_pb2.NetParameter:
        """The net of all layers that this top needs."""
        return to_proto(self)

    def _update(self, params: dict[str, Any]) -> None:
        self.fn._update(params)


class Function:
    """A layer to be: its type, the tops it reads, and its options.

    Parameters
    ----------
    params:
        Options by name; ``ntop`` (default 1) and ``in_place`` (default False) are about the function itself.
    """

    def __init__(self, type_name: str, inputs: tuple[Top, ...], params: dict[str, Any]) -> None:
        for index, top in enumerate(inputs):
            if not isinstance(top, Top):
                raise TypeError(
                    f"L.{type_name}: its inputs are tops of other layers. Received: a {type(top).__name__} as input "
                    f"{index}; a layer of several tops gives a tuple, to be unpacked."
                )
        self.type_name = type_name
        self.inputs = inputs
        self.params = params
        self.ntop: int = params.pop("ntop", 1)
        self.in_place: bool = params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def to_layer(self, names: Names, bottoms: list[str]) -> caffe_pb2.LayerParameter:
        """The layer's message, its bottoms and its own name settled."""
        layer = caffe_pb2.LayerParameter(type=self.type_name, bottom=bottoms)
        layer.top.extend(bottoms if self.in_place else [names.of_top(top) for top in self.tops])
        layer.name = names.of_function(self)
        own = find_class(self.type_name).options_field or options_by_type().get(self.type_name, "")
        for name, value in self.params.items():
            target = layer
            if not name.endswith("param") and _has_field(layer, own) and _has_field(getattr(layer, own), name):
                target = getattr(layer, own)
            try:
                assign_proto(target, name, value)
            except _NoSuchFieldError as error:
                raise PrototxtError(f"L.{self.type_name}: {_unknown(error, layer, own)}") from None
            except (TypeError, ValueError) as error:
                raise PrototxtError(f"L.{self.type_name}: {name} cannot be {value!r} ({error}).") from error
        return layer

    def _update(self, params: dict[str, Any]) -> None:
        self.params.update(params)


class Names:
    """Names of tops and functions: those given, and automatic ones, counted by type."""

    def __init__(self, given: dict[Top | Function, str]) -> None:
        self.known = dict(given)
        self.counts: Counter[str] = Counter()

    def of_top(self, top: Top) -> str:
        """A top's name."""
        return self._name(top, top.fn.type_name)

    def of_function(self, function: Function) -> str:
        """A layer's name: that of its first top, where it has any."""
        if function in self.known or function.ntop == 0:
            return self._name(function, function.type_name)
        return self.of_top(function.tops[0])

    def _name(self, key: Top | Function, type_name: str) -> str:
        if key not in self.known:
            self.counts[type_name] += 1
            self.known[key] = f"{type_name}{self.counts[type_name]}"
        return self.known[key]


class NetSpec:
    """A net in the making: assigning a top to an attribute (or an item) names it, and the layer that makes it."""

    tops: OrderedDict[str, Any]

    def __init__(self) -> None:
        super().__setattr__("tops", OrderedDict())

    def __setattr__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        try:
            return self.tops[name]
        except KeyError:
            raise AttributeError(f'The NetSpec has no top "{name}". It has: {", ".join(self.tops)}.') from None

    def __delattr__(self, name: str) -> None:
        del self.tops[name]

    def __setitem__(self, key: str, value: Any) -> None:
        self.tops[key] = value

    def __getitem__(self, item: str) -> Any:
        return self.tops[item]

    def __delitem__(self, name: str) -> None:
        del self.tops[name]

    def keys(self) -> list[str]:
        """The names given so far."""
        return list(self.tops)

    def vals(self) -> list[Any]:
        """The tops (or functions without tops) named so far."""
        return list(self.tops.values())

    def update(self, name: str, params: dict[str, Any]) -> None:
        """Add options to the layer behind a name, or replace them."""
        self.tops[name]._update(params)

    def to_proto(self) -> caffe_pb2.NetParameter:
        """The net of all layers that the named tops need, in the order in which they were named."""
        return _build(self.tops.values(), Names({top: name for name, top in self.tops.items()}))


class Layers:
    """The pseudo-module L: every attribute is a function that makes layers of that type."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def layer_fn(*args: Top, **kwargs: Any) -> Any:
            function = Function(name, args, kwargs)
            if function.ntop == 0:
                return function
            return function.tops[0] if function.ntop == 1 else function.tops

        return layer_fn


class Parameters:
    """The pseudo-module P: ``P.Pooling.MAX`` is the value MAX of an enum in PoolingParameter."""

    def __getattr__(self, name: str) -> Any:
        message = getattr(caffe_pb2, f"{name}Parameter", None)
        if message is None:
            raise AttributeError(f'P.{name}: there is no message "{name}Parameter".')
        return message


layers = Layers()
params = Parameters()


def to_proto(*tops: Top | Function) -> caffe_pb2.NetParameter:
    """The net of all layers that the given tops need, all names automatic."""
    return _build(tops, Names({}))


def assign_proto(proto: Message, name: str, val: Any) -> None:
    """Set a field of a message from a Python value: dicts are messages, lists repeat, scalars stand for lists of one.

    Raises AttributeError for a field that the message does not have.
    """
    if not _has_field(proto, name):
        raise _NoSuchFieldError(proto.DESCRIPTOR.name, name)
    field = proto.DESCRIPTOR.fields_by_name[name]
    if field.is_repeated:
        for item in val if isinstance(val, (list, tuple)) else [val]:
            _append(getattr(proto, name), item)
    elif isinstance(val, Message):
        getattr(proto, name).CopyFrom(val)
    elif isinstance(val, dict):
        getattr(proto, name).SetInParent()
        _assign_all(getattr(proto, name), val)
    else:
        setattr(proto, name, val)


class _NoSuchFieldError(AttributeError):
    """A message has no field of that name."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(f'{message} has no field "{field}".')
        self.field = field


def _append(repeated: Any, item: Any) -> None:
    if isinstance(item, dict):
        _assign_all(repeated.add(), item)
    else:
        repeated.append(item)


def _assign_all(proto: Message, values: dict[str, Any]) -> None:
    for name, value in values.items():
        assign_proto(proto, name, value)


def _has_field(proto: Message, name: str) -> bool:
    return name in proto.DESCRIPTOR.fields_by_name


def _unknown(error: _NoSuchFieldError, layer: caffe_pb2.LayerParameter, own: str) -> str:
    known = list(layer.DESCRIPTOR.fields_by_name)
    if _has_field(layer, own):
        known += list(getattr(layer, own).DESCRIPTOR.fields_by_name)
    return f"{error}{did_you_mean(error.field, known)}"


def _build(tops: Any, names: Names) -> caffe_pb2.NetParameter:
    done: dict[Function, caffe_pb2.LayerParameter] = {}
    for top in tops:
        _visit(top.fn if isinstance(top, Top) else top, done, names)
    return caffe_pb2.NetParameter(layer=done.values())


def _visit(function: Function, done: dict[Function, caffe_pb2.LayerParameter], names: Names) -> None:
    """Add the layers that ``function`` reads from, depth first, and then its own."""
    if function in done:
        return
    bottoms = []
    for top in function.inputs:
        _visit(top.fn, done, names)
        bottoms.append(done[top.fn].top[top.n])
    done[function] = function.to_layer(names, bottoms)
