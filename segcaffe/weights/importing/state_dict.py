"""State dicts of PyTorch: .safetensors, read here, and .pt or .pth, by torch with ``weights_only=True``."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.convert import safetensors
from segcaffe.errors import SegcaffeError, WeightsError
from segcaffe.files.limits import AS_STORED, Budget
from segcaffe.files.regular import opened
from segcaffe.snapshot.files import read_file, unreadable
from segcaffe.weights.importing.source import Source, Tensor, by_name

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "module", "params", "ema", "weights")
"""Under which name training scripts put the state dict into what they save."""
_NO_WEIGHTS = "whole numbers, which are no weights"


def read_safetensors(path: Path) -> Source:
    """Read a file of safetensors. Files that PyTorch's users write have their tensors in the order of the names."""
    data = read_file(path)
    arrays, _ = safetensors.decode(data, str(path))
    kinds = safetensors.dtypes(data)
    left_out = {name: _NO_WEIGHTS for name in arrays if kinds[name].startswith(("int", "uint"))}
    tensors = [Tensor(name, values, kinds[name]) for name, values in arrays.items() if name not in left_out]
    names = [(kinds[tensor.name], tensor.name) for tensor in tensors]
    return Source(by_name(tensors), ordered=not _by_name(names), left_out=left_out)


def _by_name(tensors: list[tuple[str, str]]) -> bool:
    """Whether tensors of each type stand in the order of their names, as the library safetensors writes them."""
    by_kind: dict[str, list[str]] = {}
    for kind, name in tensors:
        by_kind.setdefault(kind, []).append(name)
    return all(names == sorted(names) for names in by_kind.values())


def read_torch(path: Path) -> Source:
    """Read a .pt or .pth file: a state dict, or what a training script has saved around one.

    No code in the file is run: what torch takes for more than tensors, lists and dictionaries is refused.
    """
    try:
        import torch
    except ImportError as error:
        raise WeightsError(
            f"{path}: reading {path.suffix} files needs PyTorch: pip install torch. Or save the state dict as "
            ".safetensors, which segcaffe reads by itself."
        ) from error
    _check_archive(path)
    try:
        with opened(path) as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:
        raise WeightsError(_refused(path, error)) from None
    return _source(_state(content, path), path)


def _check_archive(path: Path) -> None:
    """Raise LimitError for an archive that unfolds to more than its size allows; older files are none."""
    try:
        with opened(path) as file:
            if not zipfile.is_zipfile(file):
                return
            budget = Budget(str(path), file.seek(0, 2), AS_STORED)
            for info in zipfile.ZipFile(file).infolist():
                budget.take(info.file_size, f'"{info.filename}"')
    except SegcaffeError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    except (zipfile.BadZipFile, ValueError) as error:
        raise WeightsError(f"{path}: the archive is damaged ({error}). Copy or download it again.") from None


def _refused(path: Path, error: Exception) -> str:
    text = str(error)
    if "weights_only" in text.lower() or "unsupported" in text.lower():
        return (
            f"{path}: the file holds more than tensors, for example a whole model or code, which is not run. Load it "
            "in PyTorch, if you trust it, and save its state dict alone: torch.save(model.state_dict(), FILE)."
        )
    reason = text.strip().splitlines()[0][:200] if text.strip() else type(error).__name__
    return f"{path}: PyTorch cannot read the file; it is damaged, or no file of PyTorch ({reason})."


def _state(content: Any, path: Path) -> Mapping[str, Any]:
    """The state dict, out of what a script may have put around it."""
    import torch

    for _ in range(3):
        if isinstance(content, Mapping) and any(isinstance(value, torch.Tensor) for value in content.values()):
            return {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
        inner = [content[name] for name in _WRAPPERS if isinstance(content, Mapping) and name in content]
        if not inner:
            break
        content = inner[0]
    keys = f" with the keys {', '.join(map(str, list(content)[:8]))}" if isinstance(content, Mapping) else ""
    raise WeightsError(
        f"{path}: no state dict, names with their tensors, was found. Received: {type(content).__name__}{keys}. "
        "Save one: torch.save(model.state_dict(), FILE)."
    )


def _source(state: Mapping[str, Any], path: Path) -> Source:
    import torch

    tensors, left_out = [], {}
    for name, value in state.items():
        if value.is_quantized:
            raise WeightsError(
                f'{path}: "{name}" is quantized ({value.dtype}). Give the state dict of the model before it was '
                "quantized, or call dequantize() on its tensors."
            )
        kind = str(value.dtype).removeprefix("torch.")
        if not value.dtype.is_floating_point:
            left_out[name] = _NO_WEIGHTS
            continue
        plain = value.detach().to_dense() if value.is_sparse else value.detach()
        wide = plain.to(torch.float64 if value.dtype == torch.float64 else torch.float32)
        tensors.append(Tensor(name, np.array(wide.contiguous().numpy()), kind))
    return Source(by_name(tensors), ordered=True, left_out=left_out)
