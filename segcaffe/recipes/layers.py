"""Writing prototxt by functions, in one layout; values may be ``${NAME}`` templates."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

Value = int | float | str
"""A number, or a ``${NAME}`` that stands for one."""


def net(name: Value, layers: Iterable[str], comment: str = "") -> str:
    """Join layers to the text of a net, with a comment on top."""
    head = "".join(f"# {line}\n" for line in textwrap.wrap(comment, 100))
    return f'{head}name: "{name}"\n' + "".join(layers)


def layer(
    type_name: str, name: str, bottoms: Iterable[str] = (), tops: Iterable[str] | None = None, body: str = ""
) -> str:
    """Write a layer; without ``tops`` it has one top of its own name. ``body`` is the rest, a line per field."""
    lines = [f'name: "{name}"', f'type: "{type_name}"']
    lines += [f'bottom: "{bottom}"' for bottom in bottoms]
    lines += [f'top: "{top}"' for top in ([name] if tops is None else tops)]
    lines += textwrap.dedent(body).strip("\n").splitlines() if body.strip() else []
    return "layer {\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


def convolution(
    name: str, bottom: str, num_output: Value, kernel: int = 3, pad: Value = 1, extra: str = "", lr: Value = 1
) -> str:
    """Write a convolution with Xavier weights, its bias learning twice as fast and without decay."""
    options = f" {extra}" if extra else ""
    double = 2 * lr if isinstance(lr, (int, float)) else lr
    return layer(
        "Convolution",
        name,
        [bottom],
        body=f"""
        param {{ lr_mult: {lr} decay_mult: 1 }}
        param {{ lr_mult: {double} decay_mult: 0 }}
        convolution_param {{
          num_output: {num_output} kernel_size: {kernel} pad: {pad}{options}
          weight_filler {{ type: "xavier" }} bias_filler {{ type: "constant" }}
        }}
        """,
    )


def relu(bottom: str, name: str) -> str:
    """Write a ReLU in place."""
    return layer("ReLU", name, [bottom], [bottom])
