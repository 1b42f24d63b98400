"""Writing prototxt by functions, in one layout; values may be ``${NAME}`` templates."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

Value = int | float | str
"""A number, or a ``${NAME}`` that stands for one."""


def net(name: Value, layers: Iterable[str], comment: str = "") -> str:
    """Join layers to the text of a net, with a comment on top."""
    return f'{remark(comment)}name: "{name}"\n' + "".join(layers)


def remark(text: str) -> str:
    """Write comment lines; paragraphs of ``text`` are separated by newlines."""
    lines = [line for paragraph in text.splitlines() for line in textwrap.wrap(paragraph, 108)]
    return "".join(f"# {line}\n" for line in lines)


LINE_LENGTH = 110
MEAN_BGR = (104.008, 116.669, 122.675)


def layer(
    type_name: str, name: str, bottoms: Iterable[str] = (), tops: Iterable[str] | None = None, body: str = ""
) -> str:
    """Write a layer; without ``tops`` it has one top of its own name. ``body`` is the rest, a line per field.

    A layer that fits in one line is written in one; so are its names and blobs, and its body.
    """
    head = [f'name: "{name}"', f'type: "{type_name}"']
    head += [f'bottom: "{bottom}"' for bottom in bottoms]
    head += [f'top: "{top}"' for top in ([name] if tops is None else tops)]
    rest = textwrap.dedent(body).strip("\n").splitlines() if body.strip() else []
    short = f"layer {{ {' '.join([*head, *rest])} }}\n"
    if len(short) <= LINE_LENGTH:
        return short
    return "layer {\n" + "".join(f"  {line}\n" for line in [*_joined(head), *_joined(rest)]) + "}\n"


def _joined(lines: list[str]) -> list[str]:
    """One line if it is not too long, else the lines as they are."""
    line = " ".join(map(str.strip, lines))
    return [line] if line and len(line) < LINE_LENGTH - 2 else lines


def convolution(
    name: str,
    bottom: str,
    num_output: Value,
    kernel: int = 3,
    pad: Value = 1,
    lr: Value = 1,
    bias_lr: Value = 2,
    dilation: int = 1,
) -> str:
    """Write a convolution with Xavier weights, its bias learning twice as fast and without decay."""
    window = f"kernel_size: {kernel} pad: {pad}" + (f" dilation: {dilation}" if dilation > 1 else "")
    return layer(
        "Convolution",
        name,
        [bottom],
        body=f"""
        param {{ lr_mult: {lr} decay_mult: 1 }}
        param {{ lr_mult: {bias_lr} decay_mult: 0 }}
        convolution_param {{
          num_output: {num_output} {window}
          weight_filler {{ type: "xavier" }} bias_filler {{ type: "constant" }}
        }}
        """,
    )


def eltwise(name: str, bottoms: Iterable[str], operation: str) -> str:
    """Write the sum, product or maximum (SUM, PROD, MAX) of blobs."""
    return layer("Eltwise", name, bottoms, body=f"eltwise_param {{ operation: {operation} }}")


def max_pooling(name: str, bottom: str, stride: int = 2) -> str:
    """Write the maximum of 3x3 windows."""
    return layer(
        "Pooling", name, [bottom], body=f"pooling_param {{ pool: MAX kernel_size: 3 pad: 1 stride: {stride} }}"
    )


def shrink(name: str, bottom: str, factor: int) -> str:
    """Write a map of (H - 1) / factor + 1 by (W - 1) / factor + 1 pixels."""
    return layer("Interp", name, [bottom], body=f"interp_param {{ shrink_factor: {factor} }}")


def zoom(name: str, bottom: str, factor: int) -> str:
    """Write a map of (H - 1) factor + 1 by (W - 1) factor + 1 pixels."""
    return layer("Interp", name, [bottom], body=f"interp_param {{ zoom_factor: {factor} }}")


def image_input(height: Value, width: Value, scale: float = 1) -> str:
    """Write the input of a net for one image: "data" (1, 3, height, width), and how images are prepared for it."""
    shape = f"input_param {{ shape {{ dim: 1 dim: 3 dim: {height} dim: {width} }} }}"
    return layer("Input", "data", body=f"{shape}\ntransform_param {{ {transformation(scale)} }}")


def transformation(scale: float = 1) -> str:
    """Write the fields of ``transform_param`` that say what is subtracted from pixels and what they are scaled by."""
    means = " ".join(f"mean_value: {value}" for value in MEAN_BGR)
    return means if scale == 1 else f"scale: {scale:.7g} {means}"


def note(name: str, value: str) -> str:
    """Write a comment that `segcaffe.predict.notes` reads."""
    return f"# segcaffe.{name}: {value}\n"


def mat_write(name: str, bottom: str, prefix: str, ids: str) -> str:
    """Write a blob to a .mat file per image: ``prefix`` (ends in "/") and the image's line in the file ``ids``."""
    return layer(
        "MatWrite", name, [bottom], [], f'mat_write_param {{ prefix: "{prefix}" source: "{ids}" strip: 0 period: 1 }}'
    )


def relu(bottom: str, name: str) -> str:
    """Write a ReLU in place."""
    return layer("ReLU", name, [bottom], [bottom])
