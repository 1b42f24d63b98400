"""Memory: how much of a GPU's is in use, and the error when there is not enough, there or on the host."""

from __future__ import annotations

import re
from dataclasses import dataclass

from segcaffe.device import mode
from segcaffe.device.host_memory import HostMemoryError, in_units
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


def out_of_memory(
    where: str, error: MemoryError, layer: str = "", place: Place | None = None, sizes: str = ""
) -> DeviceError:
    """The error to raise where ``error`` stopped a layer: who asked for how much, what is in use, what would help.

    ``sizes`` is a sentence on what the layer makes.
    Memory that no array uses is given back, so that the process can go on with a smaller net.
    """
    free_unused()
    advice = f"{sizes} {_HELP}".lstrip()
    if mode.get_mode() == "CPU" or isinstance(error, HostMemoryError):
        about = f" ({error})" if str(error) else ""
        return DeviceError(f"{where}: the machine has not enough memory{about}. {advice}", layer=layer, place=place)
    asked = re.search(r"allocating ([\d,]+) bytes", str(error))
    wanted = f"{in_units(int(asked[1].replace(',', '')))} more" if asked else "more memory"
    now = usage()
    return DeviceError(
        f"{where}: needs {wanted} than GPU {mode.current_device()} has. Its memory is {in_units(now.total)}; this "
        f"process's arrays take {in_units(now.used)}, and {in_units(now.free)} are free. {advice}",
        layer=layer,
        place=place,
    )


_HELP = (
    "A smaller batch_size helps (with iter_size to make up for it), and so does a smaller crop_size; "
    "in training, --recompute auto takes less memory for more time; `segcaffe net FILE` prints what each layer takes."
)
