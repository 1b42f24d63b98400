"""Layer types that are not written as ONNX, each with its reason; docs/export.md lists them."""

from __future__ import annotations

REASONS: dict[str, str] = {}
"""By type; what is neither here nor registered fails the conformance test."""
