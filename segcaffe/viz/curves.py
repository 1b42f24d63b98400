"""Curves over iterations, drawn by matplotlib."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

from segcaffe.data.files import replacing
from segcaffe.errors import SegcaffeError
from segcaffe.proto.encoding import to_readable
from segcaffe.text.visible import one_line


def loss_curve(
    path: Path, losses: Sequence[float], smooth: int = 20, limits: Mapping[str, float] | None = None
) -> None:
    """Draw losses per iteration and their running mean over ``smooth`` iterations; ``limits`` are labelled lines."""
    pyplot = load_pyplot()
    figure, axes = pyplot.subplots(figsize=(7, 3.2), dpi=110)
    axes.plot(range(1, len(losses) + 1), losses, color="#b8cfe5", linewidth=0.8, label="each iteration")
    means = [sum(losses[max(0, i - smooth + 1) : i + 1]) / min(i + 1, smooth) for i in range(len(losses))]
    axes.plot(range(1, len(means) + 1), means, color="#1f5fa8", linewidth=1.8, label=f"mean of the last {smooth}")
    for (name, value), style in zip((limits or {}).items(), cycle((":", "--", "-.")), strict=False):
        axes.axhline(value, color="#999999", linestyle=style, label=name)
    axes.set_xlabel("iteration")
    axes.set_ylabel("loss")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.tight_layout()
    with replacing(path, "figure") as part:
        figure.savefig(part, format=path.suffix[1:] or "png")
    pyplot.close(figure)


def figure_text(text: str) -> str:
    """A text for matplotlib where a pair of dollar signs would make a formula, and control characters no SVG."""
    return one_line(to_readable(text)).replace("$", r"\$")


@contextmanager
def lacking_letters() -> Iterator[None]:
    """While it lasts, draw letters that matplotlib's font lacks as boxes, without a warning for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def load_pyplot() -> Any:
    """Matplotlib's pyplot, drawing to files only; SegcaffeError where it is not installed."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        # A matplotlibrc of the current directory may ask for TeX, another program; our texts are not TeX besides.
        matplotlib.rcParams["text.usetex"] = False
        from matplotlib import pyplot
    except ImportError as error:
        raise SegcaffeError(
            f"plots need matplotlib, which cannot be imported ({error}). Install it: pip install matplotlib."
        ) from error
    return pyplot
