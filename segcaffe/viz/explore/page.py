"""The page as one HTML file, which opens from disk and fetches nothing."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from segcaffe.data.opencv import hold_threads
from segcaffe.viz.explore.pack import Packed, far, loss, pack_all, principal_axes
from segcaffe.viz.explore.scene import Scene, View
from segcaffe.viz.explore.start import first_pixel
from segcaffe.viz.markup import fill, policy, script, text

Array = np.ndarray[Any, Any]

SCRIPTS = ("decode.js", "masks.js", "draw.js", "tell.js", "page.js")
_QUALITY = 92
"""Of the JPEG that stands for the image."""
_TEXT = 40_000
"""Bytes of the page besides arrays."""
_SAFE = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0), (240, 228, 66),
         (60, 60, 60))  # fmt: skip
"""Colours that all eyes tell apart. Source: Okabe and Ito, "Color Universal Design", 2008; gray in place of black."""


def page(
    title: str,
    scenes: Sequence[Scene],
    views: Sequence[View],
    classes: Sequence[str] = (),
    colours: Array | None = None,
    scene_bytes: int = 9_900_000,
) -> str:
    """Put the page together.

    Parameters
    ----------
    title:
        Its heading.
    scenes:
        At least one; all have the blobs that the views name.
    views:
        At least one; the first is shown at first.
    classes:
        Names of labels.
    colours:
        (n, 3), R, G, B of labels. The page has others beside these, which all eyes tell apart.
    scene_bytes:
        How large the page may be for each image; embeddings are reduced for it (`segcaffe.viz.explore.pack`).

    Returns
    -------
    The HTML.
    """
    told: list[str] = []
    stored = [_scene(scene, views, scene_bytes - _TEXT, told) for scene in scenes]
    own = np.zeros((0, 3), np.uint8) if colours is None else colours
    held = {
        "views": [vars(view) for view in views],
        "classes": list(classes),
        "palettes": {"safe": safe_colours(own), "own": own.tolist()},
        "ramp": _ramp(),
        "scenes": stored,
    }
    folder = resources.files("segcaffe.viz.explore")
    parts = {name: (folder / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", *SCRIPTS)}
    own_script = "".join(parts[name] for name in SCRIPTS)
    return fill(
        parts["page.html"],
        {
            "POLICY": policy(own_script, parts["page.css"], pictures="data:"),
            "TITLE": text(title),
            "STYLE": parts["page.css"],
            "SCRIPT": own_script,
            "DATA": script(held),
            "ABOUT": "".join(f"<p>{text(line)}</p>" for line in told),
        },
    )


def _scene(scene: Scene, views: Sequence[View], most_bytes: int, told: list[str]) -> dict[str, Any]:
    """An image as the page's data has it; what was reduced is ``told``."""
    height, width = scene.image.shape[:2]
    picture = "data:image/jpeg;base64," + _base64(_jpeg(scene.image))
    labels = {name: _base64(np.ascontiguousarray(label, np.uint8).tobytes()) for name, label in scene.labels.items()}
    left = most_bytes - len(picture) - sum(map(len, labels.values()))
    packed = pack_all(dict(scene.embeddings), left * 3 // 4)
    return {
        "name": scene.name,
        "width": width,
        "height": height,
        "extent": list(scene.extent),
        "start": first_pixel(scene, views[0]),
        "image": picture,
        "labels": labels,
        "embeddings": {
            name: _embedding(name, scene, one, [view for view in views if view.embedding == name], told)
            for name, one in packed.items()
        },
    }


def _embedding(name: str, scene: Scene, packed: Packed, views: Sequence[View], told: list[str]) -> dict[str, Any]:
    values, embedding = packed.values(), scene.embeddings[name]
    axes, offsets = principal_axes(values)
    told.append(_sentence(name, scene, packed, views))
    return {
        "shape": list(packed.shape),
        "step": packed.step,
        "bits": packed.bits,
        "data": _base64(packed.data.astype(packed.data.dtype.newbyteorder("<")).tobytes()),
        "low": packed.low.tolist(),
        "unit": packed.unit.tolist(),
        "axes": axes.tolist(),
        "offsets": offsets.tolist(),
        "far": {norm: far(embedding, norm) for norm in ("l1", "l2")},
    }


def _sentence(name: str, scene: Scene, packed: Packed, views: Sequence[View]) -> str:
    """What the page holds of a blob, and what that does to masks."""
    channels, height, width = packed.shape
    kind = "16-bit floats" if packed.bits == 16 else "8 bits for each number, in steps of its channel's range / 255"
    kept = "every cell" if packed.step == 1 else (
        f"one cell in {packed.step} of each row and column (so that a dilation is a multiple of {packed.step})"
    )  # fmt: skip
    changes = [loss(scene.embeddings[name], packed, view) for view in views if not view.sum_to]
    error = ""
    if changes:
        mean, most = max(change.mean for change in changes), max(change.most for change in changes)
        error = f" Masks differ from the net's by {mean:.1e} on average, {most:.1e} at most (of 1)."
    return (f"{scene.name}: blob “{name}”, {channels} numbers for each of {height} x {width} cells; held as {kind}, "
            f"{kept}.{error}")  # fmt: skip


def safe_colours(own: Array) -> list[list[int]]:
    """Colours that all eyes tell apart, for colours (n, 3): as near to these as can be, or, of many, in their order."""
    colours = np.array(_SAFE, float)
    if len(own) <= len(colours):
        costs = ((own[:, None].astype(float) - colours) ** 2).sum(2)
        _, order = linear_sum_assignment(costs)
        return [list(_SAFE[i]) for i in order]
    shades = np.concatenate([colours, 0.55 * colours, 255 - 0.5 * (255 - colours)])
    return [[int(value) for value in shades[i % len(shades)]] for i in range(len(own))]


def _ramp() -> list[list[int]]:
    """Cividis, 256 colours R, G, B: alike for all eyes."""
    import cv2

    hold_threads()
    colours = cv2.applyColorMap(np.arange(256, dtype=np.uint8), cv2.COLORMAP_CIVIDIS)
    ramp: list[list[int]] = colours.reshape(-1, 3)[:, ::-1].tolist()
    return ramp


def _jpeg(image: Array) -> bytes:
    import cv2

    hold_threads()
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return bytes(encoded)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
