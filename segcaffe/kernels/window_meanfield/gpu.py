"""Mean-field inference with windows on the GPU: tap by tap."""

from __future__ import annotations

from segcaffe.kernels.window_meanfield.taps import backward, forward

__all__ = ["backward", "forward"]
