"""The end of a convolution's results that the tiles of registers do not do: another array's values, slopes of channels.

It is done to runs of pixels when they have been written, while they are in the first-level cache.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import cgutils

from segcaffe.jit.compiled import njit
from segcaffe.kernels.convolution.depthwise.runs import Runs, run_code


@run_code
def end_rows(runs, target, at, rows, stride, count, ending, kind, channel):
    """End ``count`` results, from ``at`` on, of each of some channels, which are ``stride`` apart.

    ``ending`` is (addend, slopes): an array like ``target``, flat, and the slope of each channel, beginning with
    ``channel`` here. ``kind`` is 0 where nothing is left to do, 1 where there is nothing to add, else 2.
    """
    builder = runs.builder
    addend, slopes = ending
    target, addend, slopes = runs.at(target, at), runs.at(addend, at), runs.at(slopes, channel)
    with (
        builder.if_then(builder.icmp_signed(">", kind, runs.index(0))),
        cgutils.for_range(builder, rows) as row,
    ):
        line, slope = builder.mul(row.index, stride), builder.load(runs.at(slopes, row.index))
        place = runs.at(target, line)
        with builder.if_else(builder.icmp_signed(">", kind, runs.index(1))) as (adds, rectifies):
            with adds:
                _change(runs, place, runs.at(addend, line), slope, count)
            with rectifies:
                _change(runs, place, None, slope, count)


def _change(runs: Runs, target: Any, addend: Any, slope: Any, count: Any) -> None:
    """Code for whole vectors, and then for what is left in some lanes of one."""
    builder = runs.builder

    def change(first: Any, load: Callable[[Any], Any], store: Callable[[Any, Any], None]) -> None:
        place = runs.at(target, first)
        value = load(place)
        if addend is not None:
            value = builder.fadd(value, load(runs.at(addend, first)))
        (value,) = runs.rectify([value], slope)
        store(value, place)

    whole = builder.and_(count, runs.index(-runs.length))
    with cgutils.for_range_slice(builder, runs.index(0), whole, runs.index(runs.length), whole.type) as (first, _):
        change(first, runs.load, runs.store)
    with builder.if_then(builder.icmp_signed("<", whole, count)):
        lanes = runs.inside(whole, count)
        change(whole, lambda place: runs.load_lanes(place, lanes), lambda v, place: runs.store_lanes(v, place, lanes))


@njit(inline="always")
def kind_of(ending):
    """What `end_rows` has to do: 0, 1 or 2."""
    return (ending[1].size > 0) + (ending[0].size > 0)
