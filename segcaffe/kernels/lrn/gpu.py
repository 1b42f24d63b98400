"""LRN on the GPU."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.cuda.compile import launch
from segcaffe.kernels.lrn import Response


def forward(bottom: Array, scale: Array, top: Array, response: Response) -> None:
    factor = response.alpha / _elements(response)
    numbers = (*bottom.shape[1:], *_region(response), factor, response.beta, response.k)
    launch("lrn", "forward", top.size, bottom, scale, top, *numbers, top.size)


def backward(bottom: Array, scale: Array, top: Array, top_grad: Array, bottom_grad: Array, response: Response) -> None:
    factor = 2 * response.alpha * response.beta / _elements(response)
    numbers = (*bottom.shape[1:], *_region(response), factor, response.beta)
    launch("lrn", "backward", top.size, bottom, scale, top, top_grad, bottom_grad, *numbers, top.size)


def _region(response: Response) -> tuple[int, int, int]:
    """Channels, rows and columns."""
    return (response.size, 1, 1) if response.across else (1, response.size, response.size)


def _elements(response: Response) -> int:
    return response.size if response.across else response.size**2
