"""Exports whole nets and compares them in every installed program: python -m benchmarks.export [NET ...] --out FILE.

``--runtimes onnxruntime,opencv`` names programs; without it all that are installed run. Programs that exclude each
other (two versions of OpenCV) are measured from environments of their own, each into a file. ``--table FILE ...``
joins such files to the table of docs/export.md, and ``--write`` puts it there. Nets without trained weights get random
ones, of a trained net's size. What lies in ``../shared`` is part of it where it is there.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import classic
from benchmarks.random_weights import fill
from segcaffe.convert import formats
from segcaffe.errors import SegcaffeError
from segcaffe.export.onnx import Options, export_net, write
from segcaffe.export.proof.compare import TOLERANCE
from segcaffe.export.proof.described import describe_onnx
from segcaffe.export.proof.inputs import Stated
from segcaffe.export.proof.prove import Judged, prove
from segcaffe.export.refusals import RefusedError
from segcaffe.export.runtimes import RUNTIMES
from segcaffe.export.runtimes.base import Runtime
from segcaffe.export.source import Source, Wishes, build_source
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse, read_net

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
PAGE = ROOT / "docs" / "export.md"
_SHOWN = 200
"""Characters of a program's message that the table tells."""
BEGIN, END = "<!-- models: python -m benchmarks.export -->", "<!-- end of models -->"
SIZES = {"HEIGHT": "65", "WIDTH": "97", "HALF_HEIGHT": "33", "HALF_WIDTH": "49", "NUM_LABELS": "21", "DATASET": "voc"}
"""Of templates: multiples of 32 plus 1, and half of that plus 1."""


@dataclass(frozen=True)
class Model:
    """A net to export.

    Attributes
    ----------
    name:
        Its row in the table.
    net:
        Its file, below the checkout or beside it; or text prototxt.
    weights:
        Its trained weights; without them it gets random ones.
    shapes, smaller, stages:
        Shapes of inputs; sizes to put in the place of others, to compare on less; stages of the net's state.
    """

    name: str
    net: Path | str
    weights: Path | None = None
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    smaller: Mapping[int, int] = field(default_factory=dict)
    stages: tuple[str, ...] = ()


_SMALLER: dict[str, Mapping[int, int]] = {"resnet": {513: 65, 385: 49, 257: 33, 65: 9}, "": {321: 65}}
"""Sizes of the paper's images, and what is three quarters, a half and an eighth of one; and those to compare on."""


def models() -> list[Model]:
    """All nets that are there."""
    found = [Model(name, text()) for name, text in classic.NETS.items()]
    for name in ("vgg16", "embs", "resnet", "enet", "segnet", "ssd"):
        found.append(Model(f"configs/{name}", ROOT / "configs" / name / "deploy.prototxt"))
    found += [Model(f"configs/tiny {path.stem}", path) for path in sorted((ROOT / "configs/tiny").glob("*_deploy.*"))]
    original = SHARED / "original"
    for path in sorted(original.glob("*/deploy*.prototxt")):
        name = path.parent.name.removeprefix("config_")
        found.append(
            Model(f"the paper's {name} {path.stem}", path, smaller=_SMALLER["resnet" if name == "resnet" else ""])
        )
    return [*found, *_trained(SHARED / "models")]


def _trained(folder: Path) -> Iterator[Model]:
    """Nets with weights of the same or the nearest name."""
    for name, net, weights in (
        ("LeNet, trained", "lenet_mnist/lenet.prototxt", "lenet_mnist/lenet_basic_iter_10000.caffemodel"),
        ("LeNet, old format", "v1_mnist_cifar/lenet.prototxt", "v1_mnist_cifar/lenet_iter_10000.caffemodel"),
        ("CIFAR-10 full", "v1_mnist_cifar/cifar10_full.prototxt", "v1_mnist_cifar/cifar10_full_iter_70000.caffemodel"),
        ("CIFAR-10 quick", "hdf5_cifar10/cifar10_quick.prototxt", "hdf5_cifar10/cifar10_quick_iter_5000.caffemodel.h5"),
        ("MTCNN, proposals", "mtcnn/det1.prototxt", "mtcnn/det1.caffemodel"),
        ("MTCNN, refinement", "mtcnn/det2.prototxt", "mtcnn/det2.caffemodel"),
        ("UltraFace RFB-320", "ultraface/RFB-320.prototxt", "ultraface/RFB-320.caffemodel"),
    ):
        if (folder / net).exists():
            yield Model(name, folder / net, folder / weights)
    autoencoder = folder / "v1_mnist_cifar/mnist_autoencoder.prototxt"
    if autoencoder.exists():
        yield Model("MNIST autoencoder", autoencoder, None, {"data": (1, 1, 28, 28)}, stages=("test-on-test",))
    for path in sorted(folder.glob("single_layers/*.prototxt")):
        weights_file = path.with_suffix(".caffemodel")
        yield Model(path.stem.replace("_", " "), path, weights_file if weights_file.exists() else None)


def source_of(model: Model) -> Source:
    """Build the net, with its weights or random ones."""
    if isinstance(model.net, str):
        placed: Any = parse(model.net, caffe_pb2.NetParameter())
    else:
        placed = read_net(model.net, SIZES)
        _shrink(placed.message, model.smaller)
    stored = {} if model.weights is None else {model.weights.name: formats.load(model.weights)}
    source = build_source(placed, stored, Wishes(shapes=model.shapes, stages=model.stages))
    if model.weights is None:
        fill(source.net)
    return source


def _shrink(net: caffe_pb2.NetParameter, sizes: Mapping[int, int]) -> None:
    for layer in net.layer:
        for shape in (*layer.input_param.shape, *layer.dummy_data_param.shape):
            shape.dim[:] = [*shape.dim[:2], *(sizes.get(dim, dim) for dim in shape.dim[2:])]
        for message, name in (
            (layer.interp_param, "height"),
            (layer.interp_param, "width"),
            (layer.tile_param, "tiles"),
        ):
            if getattr(message, name) in sizes:
                setattr(message, name, sizes[getattr(message, name)])


def measure(model: Model, runtimes: Sequence[Runtime], tolerance: float = TOLERANCE) -> dict[str, Any]:
    """Export a net, check the file, and compare; what came of it, by program."""
    import onnx

    start = time.process_time()
    try:
        source = source_of(model)
        exported = export_net(source, Options())
    except RefusedError as error:
        types = Counter(refusal.type for refusal in error.refusals)
        return {"layers": 0, "refused": "not exported: " + ", ".join(f"{n} {name}" for name, n in types.items())}
    except SegcaffeError as error:
        return {"layers": 0, "refused": _shortened(error)}
    row: dict[str, Any] = {"layers": len(source.net.layer_list), "runtimes": {}}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.onnx"
        write(exported.model, file)
        onnx.checker.check_model(str(file), full_check=True)
        described = describe_onnx(file)
        stated = None if source.mean is None else Stated(source.mean, source.scale or 1.0)
        for program in runtimes:
            (judged,) = prove(source.net, file, described, [program], tolerance, stated).judged
            row["runtimes"][judged.runtime, judged.version] = _told(judged, tolerance)
    row["runtimes"] = {" ".join(key): value for key, value in row["runtimes"].items()}
    row["seconds"] = round(time.process_time() - start, 1)
    return row


def _told(judged: Judged, tolerance: float) -> dict[str, Any]:
    worst = judged.worst()
    told: dict[str, Any] = {"holds": judged.holds(tolerance), "refused": judged.refused, "remarks": judged.amplified}
    if worst is not None:
        finite = worst.difference.largest if np.isfinite(worst.difference.largest) else None
        told |= {"largest": finite, "note": worst.difference.note, "with": worst.trial.name, "output": worst.output}
    spot = judged.blame.spot if judged.blame is not None else None
    return told | {"first": f"{spot.node.where}" if spot is not None else ""}


def _shortened(error: Exception) -> str:
    text = str(error).replace(str(SHARED), "").replace(str(ROOT), "")
    return " ".join(text.split())[:600]


def table(files: Sequence[Path]) -> str:
    """Join what several environments measured to a table."""
    rows: dict[str, dict[str, Any]] = {}
    for file in files:
        for name, row in json.loads(file.read_text(encoding="utf-8")).items():
            known = rows.setdefault(name, {**row, "runtimes": {}})
            known["runtimes"] |= row.get("runtimes", {})
    columns = sorted({title for row in rows.values() for title in row["runtimes"]}, key=_order)
    notes: list[str] = []
    lines = [f"| net | layers | {' | '.join(columns)} |", f"|---|---|{'---|' * len(columns)}"]
    for name, row in rows.items():
        if row.get("refused"):
            cells = [_cell({"refused": row["refused"]}, notes)] * len(columns)
        else:
            cells = [_cell(row["runtimes"].get(title), notes) for title in columns]
        lines.append(f"| {name} | {row['layers'] or ''} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(f"{number}. {note}" for number, note in enumerate(notes, 1))])


def _order(title: str) -> tuple[int, str]:
    name = title.split(" ", maxsplit=1)[0]
    return (list(RUNTIMES).index(name) if name in RUNTIMES else len(RUNTIMES), title)


def _cell(told: dict[str, Any] | None, notes: list[str]) -> str:
    """The largest difference, or the number of a note."""
    if told is None:
        return ""
    if told["refused"]:
        why = f"`{_why(told['refused'])}`"
        return f"refused ({_note(why, notes)})"
    largest = "" if told["largest"] is None else f"{told['largest']:.0e}"
    if told["holds"]:
        decided = dict.fromkeys(
            found[0] for told in told["remarks"] if (found := re.search(r'layer "[^"]*" \(\w+\)', told))
        )
        note = f"But for rounding, of which {', '.join(decided)} makes much." if decided else ""
        return f"{largest} ({_note(note, notes)})" if note else largest
    where = f"first in {told['first']}" if told["first"] else "in no single blob"
    return f"**{largest or 'differs'}** ({_note(' '.join(filter(None, (told['note'], where))), notes)})"


def _why(text: str) -> str:
    """What a program says, without places of the machine that it ran on."""
    what = re.search(r"parse error: (.*)|does not (?:read \S+|run the file): (.*)", text)
    told = next(filter(None, what.groups()), text) if what else text
    told = re.sub(r"/\S*/(\S+)", r"\1", told).rstrip(" >…")
    return told if len(told) <= _SHOWN else f"{told[:_SHOWN]}…"


def _note(text: str, notes: list[str]) -> int:
    if text not in notes:
        notes.append(text)
    return notes.index(text) + 1


def main() -> int:
    """Measure, or join."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nets", nargs="*", help="nets whose name contains one of these (default: all)")
    parser.add_argument("--runtimes", help="programs, separated by commas")
    parser.add_argument("--out", type=Path, help="file for the results")
    parser.add_argument("--table", nargs="+", type=Path, metavar="FILE", help="print the table of these results")
    parser.add_argument("--write", action="store_true", help="with --table: put it into docs/export.md")
    options = parser.parse_args()
    if options.table:
        return _print(table(options.table), options.write)
    names = options.runtimes.split(",") if options.runtimes else [n for n, cls in RUNTIMES.items() if cls.installed()]
    results = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    chosen = [m for m in models() if not options.nets or any(part in m.name for part in options.nets)]
    failed = False
    for model in chosen:
        try:
            results[model.name] = row = measure(model, [RUNTIMES[name]() for name in names])
        except Exception:
            print(f"{model.name}:\n{traceback.format_exc()}", flush=True)
            failed = True
            continue
        print(model.name, json.dumps(row), flush=True)
        if options.out:
            options.out.write_text(json.dumps(results, indent=1))
    return int(failed)


def _print(text: str, into_page: bool) -> int:
    print(text)
    if into_page:
        page = PAGE.read_text(encoding="utf-8")
        head, _, rest = page.partition(BEGIN)
        PAGE.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
