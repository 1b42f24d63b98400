"""Files of other frameworks, and a net that takes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

import segcaffe as caffe
from segcaffe.weights.importing.load import Report, assign, read

Array = np.ndarray[Any, Any]
IMAGE = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n'


def layer(name: str, kind: str, bottom: str, options: str = "", top: str = "") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top or name}" {options} }}\n'


def conv(name: str, bottom: str, outputs: int, kernel: int = 3, options: str = "") -> str:
    text = f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} {options} }}"
    return layer(name, "Convolution", bottom, text)


def normalized(name: str, blob: str, scale: bool = True) -> str:
    text = layer(f"bn_{name}", "BatchNorm", blob, top=blob)
    return text + (layer(f"scale_{name}", "Scale", blob, "scale_param { bias_term: true }", blob) if scale else "")


def inner(name: str, bottom: str, outputs: int, options: str = "") -> str:
    return layer(name, "InnerProduct", bottom, f"inner_product_param {{ num_output: {outputs} {options} }}")


def net_of(text: str, folder: Path) -> Any:
    file = folder / "net.prototxt"
    file.write_text(IMAGE + text)
    return caffe.Net(str(file), caffe.TEST, fuse=False)


def values(*shape: int, seed: int = 0) -> Array:
    return np.asarray(np.random.RandomState(seed + sum(shape)).standard_normal(shape), np.float32)


def statistics(name: str, channels: int, seed: int = 0) -> dict[str, Array]:
    """The tensors of a BatchNorm of PyTorch."""
    return {
        f"{name}.weight": values(channels, seed=seed),
        f"{name}.bias": values(channels, seed=seed + 1),
        f"{name}.running_mean": values(channels, seed=seed + 2),
        f"{name}.running_var": 1 + np.abs(values(channels, seed=seed + 3)),
        f"{name}.num_batches_tracked": np.array(7),
    }


def imported(
    net: Any, file: Path, pairs: Mapping[str, str] | None = None, partial: bool = False, **renames: str
) -> Report:
    return assign(net.graph, net.layer_list, read(file, renames), pairs or {}, partial)


def from_tensors(net: Any, tensors: Mapping[str, Array], folder: Path, **settings: Any) -> Report:
    """Import tensors from a file of safetensors, which has them in the order of their names."""
    file = folder / "weights.safetensors"
    save_file(dict(tensors), str(file))
    return imported(net, file, **settings)


def decided(report: Report) -> dict[str, tuple[str | None, str]]:
    """For each parameter its tensor, and what decided."""
    return {
        row.assignment.slot.name: (row.assignment.tensor.name if row.assignment.tensor else None, row.why)
        for row in report.rows
    }
