"""What masks cost: nets as they are beside what `segcaffe segawarify` makes of them.

Run: python -m benchmarks.segawarify [NET ...] [--runs 3] [--write]
One thread, the processor's time, the nets of a row in turn. Plain: the net as it is; colours: every convolution larger
than 1x1 looks through masks of the image's colours, the masks' own cost; embeddings: the same with the paper's
embeddings, computed in the net. Memory is what the net holds with weights, blobs sharing it, as ``Net.plan_memory``
counts; "written out" is that of the net with masks of colours without fusion, whose columns are in memory.
``--write`` puts the rows into docs/segawarify.md; those of nets that are not named stay as they are there.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import classic, nets
from benchmarks.net_writer import Writer
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST
from segcaffe.surgery import Guide, Masking, SegAware, Subject, segawarify
from segcaffe.threads import parallel

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "segawarify.md"
BEGIN, END = "<!-- benchmarks.segawarify: begin -->\n", "<!-- benchmarks.segawarify: end -->\n"
HEADER = (
    "| net | masked | plain, ms | colours, ms | embeddings, ms | colours / plain | plain, MB | colours, MB "
    "| written out, MB | embeddings, MB |\n|---|---|---|---|---|---|---|---|---|---|\n"
)
MEGA = 1e6


def fcn32s() -> str:
    """VGG-16 with a border of 100 pixels and a head of 7x7, enlarged 32 times and cut out.   [Long et al. 2015]."""
    w = Writer()
    x = image = w.input(1, 3, 224, 224)
    for stage, (convolutions, outputs) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), 1):
        for number in range(1, convolutions + 1):
            x = w.conv(f"conv{stage}_{number}", x, outputs, 3, pad=100 if stage == number == 1 else 1)
        x = w.pool(f"pool{stage}", x, 2, 2)
    x = w.conv("score_fr", w.conv("fc7", w.conv("fc6", x, 4096, 7), 4096, 1), 21, 1, relu=False)
    up = "convolution_param { num_output: 21 kernel_size: 64 stride: 32 bias_term: false }"
    x = w.add("Deconvolution", "upscore", x, body=up)
    return w.text("fcn32s", w.add("Crop", "score", x, image, body="crop_param { axis: 2 offset: 19 }"))


NETS: dict[str, Callable[[], str]] = {
    "LeNet, 64 x 28²": lambda: classic.lenet(64),
    "tiny plain, 145²": lambda: (ROOT / "configs" / "tiny" / "plain_deploy.prototxt").read_text(),
    "ResNet-50, 224²": classic.resnet50,
    "VGG-16 DeepLab, 321²": classic.vgg16_deeplab,
    "FCN-32s, 224²": fcn32s,
}


def ready(text: str, made: SegAware | None = None) -> Net:
    """A net with values."""
    net = Net(made.net if made is not None else Subject.parse(text).net, phase=TEST)
    nets.fill(net)
    if made is not None:
        for one in made.masked:
            net.params[f"{one.layer}_sharpness"][0].data[...] = Masking().sharpness
    return net


def in_turn(functions: list[Callable[[], object]], runs: int) -> list[float]:
    """Seconds of the processor that each function takes at best, after a run that does not count."""
    times: list[list[float]] = [[] for _ in functions]
    for turn in range(runs + 1):
        for function, kept in zip(functions, times, strict=True):
            start = time.thread_time()
            function()
            if turn:
                kept.append(time.thread_time() - start)
    return [min(kept) for kept in times]


def row(name: str, runs: int) -> str:
    """One line of the table."""
    text = NETS[name]()
    colours = segawarify(Subject.parse(text), Guide("data"))
    embeddings = segawarify(Subject.parse(text), Guide.recipe("embs"))
    plain, coloured, embedded = ready(text), ready(text, colours), ready(text, embeddings)
    written_out = Net(colours.net, phase=TEST, fuse=False).plan_memory().total / MEGA
    times = in_turn([net.forward for net in (plain, coloured, embedded)], runs)
    sizes = [net.plan_memory().total / MEGA for net in (plain, coloured, embedded)]
    figures = [f"{1e3 * seconds:,.1f}" for seconds in times] + [f"{times[1] / times[0]:.2f}"]
    figures += [f"{size:,.1f}" for size in (*sizes[:2], written_out, sizes[2])]
    return f"| {name} | {len(colours.masked)} | {' | '.join(figures)} |\n"


def written(page: str, rows: Mapping[str, str]) -> str:
    """The page with these rows, by the name of the net; in the place of those that it has of the same nets."""
    head, _, rest = page.partition(BEGIN)
    table, _, tail = rest.partition(END)
    kept = {line.split("|")[1].strip(): f"{line}\n" for line in table.splitlines()[2:]} | dict(rows)
    return "".join([head, BEGIN, HEADER, *(kept[name] for name in NETS if name in kept), END, tail])


def main() -> None:
    """Print the table, and write it into the page where that is wished."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NET", help=f"one of: {'; '.join(NETS)} (default: all)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write the rows into docs/segawarify.md")
    options = parser.parse_args()
    parallel.set_num_threads(1)
    for name in options.names or NETS:
        measured = row(name, options.runs)
        print(measured, end="", flush=True)
        if options.write:
            PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), {name: measured}), encoding="utf-8")


if __name__ == "__main__":
    main()
