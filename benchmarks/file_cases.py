"""Files that grow: what `benchmarks.files` reads, builds, draws and checks, and the tests at smaller sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from segcaffe.data.database import Database
from segcaffe.fusion.fold import fold
from segcaffe.fusion.fuse import fuse
from segcaffe.graph.graph import build_graph
from segcaffe.graph.rules import net_state
from segcaffe.lint.run import lint
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.caffe_pb2 import NetParameter, SolverParameter
from segcaffe.proto.dialect import decode_net, encode_net
from segcaffe.proto.placed import PlacedNet
from segcaffe.proto.text import parse, read_net
from segcaffe.pycaffe.draw import draw_net
from segcaffe.viz.logs import read_lines
from tests.data.leveldb_files import write_database

TRAIN, TEST = caffe_pb2.TRAIN, caffe_pb2.TEST
DRAWN = "draw as SVG, 30 bottoms each"
_PIXEL = "input_param { shape { dim: 1 dim: 1 dim: 2 dim: 2 } }"
_CONVOLUTION = "convolution_param { num_output: 1 kernel_size: 1 }"


@dataclass(frozen=True)
class FileCase:
    """One kind of file.

    Attributes
    ----------
    what, unit:
        What is done; what is counted.
    size:
        How many of them the table has.
    make:
        From a size and an empty folder to what ``run`` takes.
    run:
        What is timed.
    peer:
        Protobuf's own, on the same.
    tested:
        The size in tests, where half of ``size`` takes too long.
    """

    what: str
    unit: str
    size: int
    make: Callable[[int, Path], Any]
    run: Callable[[Any], object]
    peer: Callable[[Any], object] | None = None
    tested: int | None = None


def layer(name: str, kind: str, bottoms: list[str], tops: list[str], more: str = "") -> str:
    """A layer's text."""
    blobs = "".join(f' bottom: "{name}"' for name in bottoms) + "".join(f' top: "{name}"' for name in tops)
    return f'layer {{ name: "{name}" type: "{kind}"{blobs} {more} }}\n'


def chain(count: int) -> str:
    """Convolutions with ReLUs in place, one after the other, and a loss."""
    inputs = layer("data", "Input", [], ["b0"], _PIXEL) + layer("label", "Input", [], ["label"], _PIXEL)
    parts = [
        layer(f"conv{i}", "Convolution", [f"b{i}"], [f"b{i + 1}"], _CONVOLUTION)
        + layer(f"relu{i}", "ReLU", [f"b{i + 1}"], [f"b{i + 1}"])
        for i in range(count // 2)
    ]
    return "".join([inputs, *parts, layer("loss", "EuclideanLoss", [f"b{count // 2}", "label"], ["loss"])])


def fan(count: int) -> str:
    """Convolutions of one blob, whose results a Concat joins."""
    parts = [layer(f"l{i}", "Convolution", ["data"], [f"t{i}"], _CONVOLUTION) for i in range(count)]
    joined = layer("all", "Concat", [f"t{i}" for i in range(count)], ["all"])
    return "".join([layer("data", "Input", [], ["data"], _PIXEL), *parts, joined])


def residual(count: int) -> str:
    """Convolutions, each added to what it read."""
    parts = [
        layer(f"conv{i}", "Convolution", [f"b{i}"], [f"c{i}"], _CONVOLUTION)
        + layer(f"sum{i}", "Eltwise", [f"b{i}", f"c{i}"], [f"b{i + 1}"])
        for i in range(count // 2)
    ]
    return layer("data", "Input", [], ["b0"], _PIXEL) + "".join(parts)


def masked(count: int) -> str:
    """Segmentation-aware convolutions, nine layers each."""
    image, window = "input_param { shape { dim: 1 dim: 1 dim: 3 dim: 3 } }", "kernel_size: 3 pad: 1"
    parts = [
        layer(f"x{i}", "Input", [], [f"x{i}"], image)
        + layer(f"e{i}", "Input", [], [f"e{i}"], image)
        + layer(f"d{i}", "Im2dist", [f"e{i}"], [f"d{i}"], f"convolution_param {{ {window} }}")
        + layer(f"s{i}", "Scale", [f"d{i}"], [f"d{i}"], "scale_param { num_axes: 0 }")
        + layer(f"m{i}", "Exp", [f"d{i}"], [f"m{i}"])
        + layer(f"t{i}", "Tile", [f"m{i}"], [f"t{i}"], "tile_param { tiles: 1 }")
        + layer(f"c{i}", "Im2col", [f"x{i}"], [f"c{i}"], f"convolution_param {{ {window} }}")
        + layer(f"h{i}", "Eltwise", [f"c{i}", f"t{i}"], [f"h{i}"], "eltwise_param { operation: PROD }")
        + layer(f"y{i}", "Convolution", [f"h{i}"], [f"y{i}"],
                f"convolution_param {{ num_output: 1 {window} bottom_is_im2col: true }}")
        for i in range(count // 9)
    ]  # fmt: skip
    return "".join(parts)


def many_bottoms(count: int) -> str:
    """Layers that each read the 30 blobs before them."""
    parts = [
        layer(f"l{i}", "Concat", [f"b{j}" for j in range(max(0, i - 29), i + 1)], [f"b{i + 1}"]) for i in range(count)
    ]
    return layer("data", "Input", [], ["b0"], _PIXEL) + "".join(parts)


def families(count: int) -> str:
    """A chain of layers in families of five, each of which a drawing frames."""
    parts = [layer(f"f{i // 5}/l{i}", "ReLU", [f"b{i}"], [f"b{i + 1}"]) for i in range(count)]
    return layer("data", "Input", [], ["b0"], _PIXEL) + "".join(parts)


def old_layers(count: int) -> str:
    """Layers in the notation before today's, each with a comment."""
    return "".join(
        f'# {i}\nlayers {{ name: "l{i}" type: RELU bottom: "b{i}" top: "b{i + 1}" }}\n' for i in range(count)
    )


def oldest_layers(count: int) -> str:
    """Layers in the oldest notation whose connections have names of their own."""
    return "".join(
        f'layers {{ name: "c{i}" layer {{ name: "l{i}" type: "relu" }} bottom: "b{i}" top: "b{i + 1}" }}\n'
        for i in range(count)
    )


def weights(count: int, options: str = "convolution_param") -> bytes:
    """A binary net of layers with a blob each."""
    net = NetParameter()
    for i in range(count):
        one = net.layer.add(name=f"l{i}", type="Interp" if options == "interp_param" else "Convolution")
        getattr(one, options).SetInParent()
        blob = one.blobs.add(data=[1.0])
        blob.shape.dim.append(1)
    return encode_net(net, "v2")


def log_lines(count: int) -> list[str]:
    """A training log's lines."""
    kinds = (
        "Iteration {0} (12.5 iter/s, 1.6s/20 iters), loss = 0.5",
        "    Train net output #0: loss = 0.5 (* 1 = 0.5 loss)",
        "Iteration {0}, lr = 0.01",
    )
    return [f"I1130 14:00:00.000000  1234 solver.cpp:239] {kinds[i % 3].format(i // 3)}" for i in range(count)]


def log_database(count: int, folder: Path) -> Path:
    """A LevelDB database of images of 12 KB, all in its log, in batches of 1000, as convert_imageset leaves it."""
    datum = caffe_pb2.Datum(channels=3, height=64, width=64, data=bytes(12288), label=1).SerializeToString()
    items = [(b"%08d" % i, i + 1, datum) for i in range(count)]
    write_database(folder / str(count), [], [list(items[i : i + 1000]) for i in range(0, count, 1000)])
    return folder / str(count)


def _net(text: Callable[[int], str]) -> Callable[[int, Path], NetParameter]:
    return lambda count, folder: parse(text(count), NetParameter())


def _text(text: Callable[[int], str]) -> Callable[[int, Path], str]:
    return lambda count, folder: text(count)


def _file(text: Callable[[int], str], name: str = "net.prototxt") -> Callable[[int, Path], Path]:
    def make(count: int, folder: Path) -> Path:
        (folder / name).write_text(text(count))
        return folder / name

    return make


def _solver_and_net(count: int, folder: Path) -> Path:
    (folder / "net.prototxt").write_text(chain(count))
    solver = folder / "solver.prototxt"
    solver.write_text(f'net: "{folder}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1')
    return solver


def _built(phase: int, **options: Any) -> Callable[[NetParameter], object]:
    return lambda net: Net(net, phase, **options)


def _parse_net(text: str) -> object:
    return parse(text, NetParameter())


def _protobuf(text: str) -> object:
    return text_format.Parse(text, NetParameter())


def _passes(net: NetParameter) -> object:
    return fold(fuse(build_graph(PlacedNet.of(net), net_state(TEST))))


def _drawn(format: str) -> Callable[[NetParameter], object]:
    return lambda net: draw_net(net, "TB", format)


def _first_item(folder: Path) -> object:
    return Database(str(folder), caffe_pb2.DataParameter.LEVELDB, "benchmark").item(0, 0)


def cases() -> list[FileCase]:
    """All of them."""
    dims, steps, deepest = "input_dim: 3\n", "stepvalue: 10\n", "lr_policy: 'multistep'\n"
    return [
        FileCase("prototxt, fields of the net", "field", 100_000, _text(lambda n: n * dims), _parse_net, _protobuf),
        FileCase("prototxt, layers", "layer", 5_000, _text(chain), _parse_net, _protobuf),
        FileCase("prototxt, inputs of a Concat", "bottom", 100_000, _text(lambda n: layer(
            "all", "Concat", [f"b{i}" for i in range(n)], ["all"])), _parse_net, _protobuf, tested=20_000),
        FileCase("prototxt, comments", "line", 100_000, _text(lambda n: n * "# as it was before\n"), _parse_net,
                 _protobuf),
        FileCase("prototxt, characters of a string", "character", 10_000_000,
                 _text(lambda n: f'name: "{n * "x"}"'), _parse_net, _protobuf),
        FileCase("solver, values of a list", "value", 100_000, _text(lambda n: deepest + n * steps),
                 lambda text: parse(text, SolverParameter()),
                 lambda text: text_format.Parse(text, SolverParameter())),
        FileCase("net read and upgraded, `layers`", "layer", 5_000, _file(old_layers), read_net),
        FileCase("net read and upgraded, V0", "layer", 5_000, _file(oldest_layers), read_net),
        FileCase("Net, TEST", "layer", 5_000, _net(chain), _built(TEST)),
        FileCase("Net, TRAIN", "layer", 5_000, _net(chain), _built(TRAIN)),
        FileCase("Net, TEST, sharing memory", "layer", 5_000, _net(chain), _built(TEST, share_memory=True)),
        FileCase("Net, TRAIN, sharing memory", "layer", 5_000, _net(chain), _built(TRAIN, share_memory=True)),
        FileCase("Net, TRAIN, not fused", "layer", 5_000, _net(chain), _built(TRAIN, fuse=False)),
        FileCase("residual Net, TRAIN, sharing memory", "layer", 5_000, _net(residual),
                 _built(TRAIN, share_memory=True)),
        FileCase("Net, one blob read by all, joined", "layer", 5_000, _net(fan), _built(TEST, share_memory=True)),
        FileCase("graph fused and folded, masked convolutions", "layer", 5_000, _net(masked), _passes),
        FileCase("graph fused and folded, one blob read by all", "layer", 5_000, _net(fan), _passes),
        FileCase("lint of a solver and its net", "layer", 5_000, _solver_and_net, lint),
        FileCase(DRAWN, "layer", 500, _net(many_bottoms), _drawn("svg")),
        FileCase("draw as HTML, families", "layer", 5_000, _net(families), _drawn("html"), tested=1_200),
        FileCase("caffemodel read", "layer", 20_000, lambda n, folder: weights(n), decode_net,
                 NetParameter.FromString, tested=2_000),
        FileCase("caffemodel read, options of forks", "layer", 20_000,
                 lambda n, folder: weights(n, "interp_param"), decode_net, NetParameter.FromString,
                 tested=2_000),
        FileCase("caffemodel written", "layer", 20_000, lambda n, folder: decode_net(weights(n))[0], encode_net,
                 NetParameter.SerializeToString, tested=2_000),
        FileCase("training log", "line", 300_000, lambda n, folder: log_lines(n), read_lines, tested=20_000),
        FileCase("training log, a line of one repeated beginning", "word", 100_000,
                 lambda n, folder: [n * "Iteration 1 ", n * "Train net output #0: "], read_lines),
        FileCase("LevelDB, first item of a log of images of 12 KB", "item", 4_800, log_database, _first_item,
                 tested=160),
    ]  # fmt: skip
