"""Write a page on which one looks through a net's masks: one HTML file that opens from disk and fetches nothing.

It shows each image, the net's embeddings as colours, its prediction (before and after a CRF, with a line to move), and,
for the pixel under the pointer, its mask over a window and how alike all other pixels are. Sliders change λ, window and
dilation; the page computes distances itself, from the embeddings that it holds.

Masks are those of the net: what its Im2dist, Scale and Exp layers or its local CRF compare, with what was learnt. For a
net without any, as that of the embeddings alone, name the blob with --embeddings. Images are prepared as for `segcaffe
predict`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from segcaffe.cli import common
from segcaffe.cli.numbers import finite, whole
from segcaffe.errors import SegcaffeError
from segcaffe.proto.encoding import from_native
from segcaffe.text.words import counted

_SMALLEST = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("net", metavar="NET", help="the net's prototxt")
    parser.add_argument("weights", metavar="WEIGHTS", help="weights to load, separated by commas")
    parser.add_argument("images", metavar="IMAGE|FOLDER|LIST", nargs="+")
    common.add_option(parser, "out", "file .html to write", metavar="PAGE", required=True)
    common.add_option(parser, "embeddings", "the blob that is compared (default: what the net's masks compare)",
                      default="", metavar="BLOB")  # fmt: skip
    common.add_option(parser, "blob", "the scores (default: the net's only other output of several channels)",
                      default="")  # fmt: skip
    common.add_option(parser, "labels", "folder of true label maps, <id>.png", metavar="FOLDER")
    common.add_option(parser, "root", "put before each name of a list; end a folder with a slash", default="")
    common.add_option(parser, "title", "the page's heading (default: one with the net's name)", default="")
    common.add_option(parser, "megabytes", "most of the page for each image; embeddings are stored in less, and the "
                      "page says with what error (default 9.9)", type=finite, default=9.9, metavar="N")  # fmt: skip
    common.add_option(
        parser, "mean", "B,G,R to subtract, or one value (default: what the file says, or 104.008,116.669,122.675)"
    )
    common.add_option(parser, "scale", "factor after that (default: what NET says, or 1)", type=finite)
    common.add_option(
        parser, "size", "pad images to this size (default: the input size in the prototxt)", metavar="HxW"
    )
    common.add_option(parser, "step", "larger images are padded to the size plus a multiple of this (default 32)",
                      type=whole(1), default=32)  # fmt: skip
    common.add_partial_option(parser)
    common.add_allow_python_option(parser)
    common.add_state_options(parser)
    common.add_device_options(parser)
    common.add_template_options(parser)


def run(options: argparse.Namespace) -> int:
    """Run the net over the images and write the page."""
    from segcaffe.data.files import check_output
    from segcaffe.data.images import read_image
    from segcaffe.predict.explorer import Explorer, write_page
    from segcaffe.predict.loaded import Settings
    from segcaffe.predict.pictures import find_pictures

    if options.megabytes < _SMALLEST:
        raise SegcaffeError(f"--megabytes must be at least {_SMALLEST}. Received: {options.megabytes:g}.")
    out = Path(options.out)
    if out.suffix.lower() not in (".html", ".htm"):
        raise SegcaffeError(f"--out names a file .html. Received: {options.out}.")
    common.show_warnings()
    common.set_device(options)
    pictures = [picture for source in options.images for picture in find_pictures(source, options.root)]
    net, weights = common.existing_file(options.net, "NET"), common.weight_files(options.weights, "WEIGHTS")
    common.spare_inputs([net, *weights, *(picture.path for picture in pictures)], out)
    check_output(out, "the page")
    mean = tuple(common.numbers(options.mean, "--mean")) if options.mean else ()
    size = common.size(options.size, "--size") if options.size else None
    settings = Settings(from_native(options.blob), mean, options.scale, size, options.step)
    explorer = Explorer(net, weights, settings, common.variables(options, net), options.level, common.stages(options),
                        options.allow_partial, embeddings=from_native(options.embeddings))  # fmt: skip
    common.warn(explorer.incomplete)
    scenes = []
    with common.progress(len(pictures), "image") as advance:
        for picture in pictures:
            image = read_image(picture.path, explorer.color, picture.place)
            scenes.append(explorer.look(picture.id, image, _truth(options, picture.id, image)))
            advance()
    title = options.title or f"Look through the masks of {explorer.deployed.net.message.name or net.stem}"
    write_page(explorer, scenes, out, title, int(1e6 * options.megabytes))
    print(f"{options.out}: {counted(len(scenes), 'image')}, {out.stat().st_size / 1e6:.1f} MB")
    return 0


def _truth(options: argparse.Namespace, name: str, image: Any) -> Any:
    """The true label map of an image, if there are any."""
    from segcaffe.data.label_files import label_file, read_few_labels

    if options.labels is None:
        return None
    path = label_file(Path(options.labels), name)
    if path is None:
        raise SegcaffeError(f"--labels {options.labels}: the folder has no label map {name}.png.")
    label = read_few_labels(path, "--labels")
    if label.shape != image.shape[:2]:
        raise SegcaffeError(
            f"{path}: a label map must be as large as its image, {image.shape[0]} x {image.shape[1]}. "
            f"Received: {label.shape[0]} x {label.shape[1]}."
        )
    return label
