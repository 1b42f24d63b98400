"""GPU memory: what is in use, and the error when there is not enough."""

from __future__ import annotations

import re
from dataclasses import dataclass

from segcaffe.device import mode
from segcaffe.errors import DeviceError, Place


@dataclass(frozen=True)
class Usage:
    """Bytes of the current GPU: in arrays, kept by this process for more, free, and altogether."""

    used: int
    held: int
    free: int
    total: int


def usage() -> Usage:
    """Memory of the current GPU; DeviceError in CPU mode."""
    if mode.get_mode() == "CPU":
        raise DeviceError("GPU memory can be asked for in GPU mode only: call set_mode_gpu first.")
    gpu = mode.xp()
    pool = gpu.get_default_memory_pool()
    free, total = gpu.cuda.runtime.memGetInfo()
    return Usage(int(pool.used_bytes()), int(pool.total_bytes()), int(free), int(total))


def free_unused() -> None:
    """Give memory that no array uses back to the GPU, for other processes; nothing to do in CPU mode."""
    if mode.get_mode() == "GPU":
        mode.xp().get_default_memory_pool().free_all_blocks()


def out_of_memory(where: str, error: MemoryError, layer: str = "", place: Place | None = None) -> DeviceError:
    """The error to raise where ``error`` stopped a layer: who asked for how much, what is in use, what would help.

    Memory that no array uses is given back, so that the process can go on with a smaller net.
    """
    free_unused()
    if mode.get_mode() == "CPU":
        return DeviceError(f"{where}: the machine has not enough memory ({error}). {_HELP}", layer=layer, place=place)
    asked = re.search(r"allocating ([\d,]+) bytes", str(error))
    wanted = f"{_size(int(asked[1].replace(',', '')))} more" if asked else "more memory"
    now = usage()
    return DeviceError(
        f"{where}: needs {wanted} than GPU {mode.current_device()} has. Its memory is {_size(now.total)}; this "
        f"process's arrays take {_size(now.used)}, and {_size(now.free)} are free. {_HELP}",
        layer=layer,
        place=place,
    )


_HELP = (
    "A smaller batch_size helps (with iter_size to make up for it), and so does a smaller crop_size; "
    "in training, --recompute auto takes less memory for more time; `segcaffe net FILE` prints what each layer takes."
)


def _size(count: int) -> str:
    """Bytes in the unit that suits: ``1.5 GiB``."""
    value, units = float(count), ["bytes", "KiB", "MiB", "GiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.0f} {units[0]}" if units[0] == "bytes" else f"{value:.1f} {units[0]}"
