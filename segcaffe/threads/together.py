"""Recorded calls of which some are divided among threads, played by all of them without the interpreter in between."""

from __future__ import annotations

import ctypes
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from segcaffe.jit.stretch import Lookup, Stretch, is_compiled, table_of
from segcaffe.threads import parallel
from segcaffe.threads.recording import Call, Divided
from segcaffe.threads.team import ENDED, FAILED, LATE, WORDS, WRONG, Team, ticket_of

Made = Call | Divided
_SERIAL_PLAYS = 3
"""Times that a short pass is made by the caller alone, to know how long that takes."""
_WORTH_WAKING = 1.5e-4
"""Seconds of one thread's work for which a sleeping helper is woken, which costs the caller about a tenth of it."""
_LONG = 10
"""How many times that a first pass takes of which nobody needs to know more."""
_ALONE, _FOREVER = -1, 1 << 62
"""How many pauses to wait for others."""
_NAP = 5e-5
"""Seconds to sleep between looks at work that another thread has not finished for long."""


class Together:
    """Calls of compiled functions, some of which are divided into pieces for the threads of the pool.

    Parameters
    ----------
    calls:
        Those for which `is_playable` holds.
    """

    def __init__(self, calls: Sequence[Made]) -> None:
        self._calls = tuple(calls)
        self._kept: list[Any] = []
        look_up = Lookup()
        self._table = np.array([self._row(call, look_up) for call in calls], np.int64)
        self._rows = self._table.ctypes.data, len(self._table)
        self._why, self._at = ctypes.c_int64(ENDED), 0
        self._own = (ctypes.c_int64 * WORDS)()
        self._helpers = max(len(call.seats) for call in calls if isinstance(call, Divided)) - 1
        self._measures, self._takes, self._ended = 0, float("inf"), 0.0

    def __call__(self) -> None:
        """Make the calls; what one raises is raised."""
        begin = time.perf_counter()
        pool = parallel.shared_pool(self._helpers)
        team = pool.team
        if self._measures or not team.lock.acquire(blocking=False):
            self._play(team, ctypes.addressof(self._own), _ALONE, 0)
            self._takes = min(self._takes, time.perf_counter() - begin)
            self._measures = max(0, self._measures - 1)
            return
        first = self._ended == 0
        try:
            wakes = self._takes > _WORTH_WAKING or begin - self._ended < 1e-6 * parallel.WATCH
            sleepers = team.sleepers if wakes else 0
            if sleepers:
                pool.prepare_to_wake()
            self._play(team, team.address, pool.patience, sleepers)
        finally:
            if self._why.value == LATE:
                # Interrupted while it slept: helpers still work for this pass.
                self._continue(team, team.address, _FOREVER, 0)
            self._ended = time.perf_counter()
            team.lock.release()
            if first and self._ended - begin < _LONG * _WORTH_WAKING:
                self._measures = _SERIAL_PLAYS

    def _play(self, team: Team, words: int, patience: int, sleepers: int) -> None:
        """Play the table to its end, on the words at an address."""
        self._at, self._why.value = 0, ENDED
        self._continue(team, words, patience, sleepers)
        while self._why.value == LATE:
            time.sleep(_NAP)
            self._continue(team, words, patience, 0)
        if self._why.value == WRONG:
            ctypes.c_int64.from_address(words + 8 * FAILED).value = 0
            self._repeat(self._at)

    def _continue(self, team: Team, words: int, patience: int, sleepers: int) -> None:
        why = ctypes.addressof(self._why)
        self._at = team.play(words, *self._rows, self._at, why, patience, sleepers)

    def _repeat(self, first: int) -> None:
        """Make the failing call once more, through Numba's wrapper, which makes an exception of its status."""
        for call in self._calls[first:]:
            pieces = [[call]] if isinstance(call, Call) else call.seats[0]
            for function, arguments in itertools.chain.from_iterable(pieces):
                function(*arguments)

    def _row(self, call: Made, look_up: Lookup) -> tuple[int, int]:
        """Code and the address of its words; for divided work 0, and the address of what tells its pieces.

        That is a ticket, and for each seat the address of a list of its pieces: where the rows of a piece are, and how
        many.
        """
        if isinstance(call, Call):
            table = self._keep(*table_of([call], look_up))
            return int(table[0, 0]), int(table[0, 1])
        work = [ticket_of(len(call.seats[0]), len(call.seats))]
        for pieces in call.seats:
            tables = [self._keep(*table_of(piece, look_up)) for piece in pieces]
            rows = np.array([(table.ctypes.data, len(table)) for table in tables], np.int64)
            work.append(self._keep(rows).ctypes.data)
        told = self._keep(np.array(work, np.int64))
        return 0, told.ctypes.data

    def _keep(self, array: np.ndarray[Any, Any], *others: Any) -> np.ndarray[Any, Any]:
        self._kept += [array, *others]
        return array


def joined(calls: Sequence[Made]) -> Callable[[], None]:
    """Playable calls as one."""
    alone = [call for call in calls if isinstance(call, Call)]
    return Stretch(alone) if len(alone) == len(calls) else Together(calls)


def is_playable(call: Made) -> bool:
    """Whether all that a call or divided work is made of are functions of Numba's compiled for just such arguments."""
    if isinstance(call, Call):
        return is_compiled(*call)
    look_up, pieces = Lookup(), itertools.chain.from_iterable(call.seats)
    return bool(call.seats) and all(look_up(*each) is not None for piece in pieces for each in piece)
