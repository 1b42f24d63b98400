"""Nets as PyTorch modules: source that a person would have written, and the module that it makes."""

from __future__ import annotations

from segcaffe.export.torch.module import state_of, to_module
from segcaffe.export.torch.writer import Written, write

__all__ = ["Written", "state_of", "to_module", "write"]
