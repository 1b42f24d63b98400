"""Threads that play recorded calls together, without the interpreter between them.

A caller that plays a table of calls (`together.py`) comes to work that is divided into pieces. It announces them: it
writes their number into one word, the ticket, and takes pieces itself, one after the other. Helpers that watch the
ticket take pieces as well; whoever adds one to the ticket has the piece of the number before. So the caller begins at
once, a helper that comes late takes what is left, and handing over costs the time that a line of the cache takes from
one core to the other. When no piece is left the caller waits, awake, for those that others have taken.

All of it is a few generated instructions; no thread holds the GIL.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import threading
from typing import Any

import numpy as np

from segcaffe.jit.stretch import add_code

TICKET, WORK, OPEN, DONE, FAILED = 8, 9, 10, 16, 24
"""Where, in a team's words, stand the ticket, the address of the announced work, whether somebody plays, the number of
pieces that are done, and whether one has failed. The bell of the pool is the first word."""
WORDS = 32
_LINE = 64
Array = np.ndarray[Any, Any]
ENDED, LATE, WRONG = 0, 1, 2
"""Why `play` came back: at the table's end, because others still work, because a call has failed."""

_PAUSES = {
    "x86_64": "call void @llvm.x86.sse2.pause()",
    "AMD64": "call void @llvm.x86.sse2.pause()",
    "aarch64": "call void @llvm.aarch64.hint(i32 1)",
    "arm64": "call void @llvm.aarch64.hint(i32 1)",
}
_DECLARED = {
    "x86_64": "declare void @llvm.x86.sse2.pause()",
    "AMD64": "declare void @llvm.x86.sse2.pause()",
    "aarch64": "declare void @llvm.aarch64.hint(i32)",
    "arm64": "declare void @llvm.aarch64.hint(i32)",
}
_CODE = """
define internal i64 @make(i64* %table, i64 %count) {
begin:
  br label %test
test:
  %i = phi i64 [ 0, %begin ], [ %next, %made ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %call, label %end
call:
  %row = shl i64 %i, 1
  %place = getelementptr i64, i64* %table, i64 %row
  %following = getelementptr i64, i64* %place, i64 1
  %code = load i64, i64* %place
  %words = load i64, i64* %following
  %function = inttoptr i64 %code to i32 (i64)*
  %status = call i32 %function(i64 %words)
  %failed = icmp ne i32 %status, 0
  br i1 %failed, label %end, label %made
made:
  %next = add i64 %i, 1
  br label %test
end:
  ret i64 %i
}

define internal i64 @take(i64* %team, i64 %seat) {
begin:
  %place = getelementptr i64, i64* %team, i64 {TICKET}
  br label %look
look:
  %ticket = load atomic i64, i64* %place acquire, align 8
  %piece = and i64 %ticket, 16777215
  %above = lshr i64 %ticket, 24
  %pieces = and i64 %above, 16777215
  %seats = lshr i64 %ticket, 48
  %some = icmp ult i64 %piece, %pieces
  %seated = icmp ult i64 %seat, %seats
  %may = and i1 %some, %seated
  br i1 %may, label %try, label %none
try:
  %after = add i64 %ticket, 1
  %both = cmpxchg i64* %place, i64 %ticket, i64 %after acq_rel acquire
  %taken = extractvalue { i64, i1 } %both, 1
  br i1 %taken, label %mine, label %look
mine:
  ret i64 %piece
none:
  ret i64 -1
}

define internal void @work(i64* %team, i64 %seat, i64 %piece) {
begin:
  %place = getelementptr i64, i64* %team, i64 {WORK}
  %address = load i64, i64* %place
  %work = inttoptr i64 %address to i64*
  %own = add i64 %seat, 1
  %first = getelementptr i64, i64* %work, i64 %own
  %tables = load i64, i64* %first
  %rows = inttoptr i64 %tables to i64*
  %twice = shl i64 %piece, 1
  %row = getelementptr i64, i64* %rows, i64 %twice
  %behind = getelementptr i64, i64* %row, i64 1
  %calls = load i64, i64* %row
  %count = load i64, i64* %behind
  %table = inttoptr i64 %calls to i64*
  %made = call i64 @make(i64* %table, i64 %count)
  %well = icmp eq i64 %made, %count
  br i1 %well, label %count_it, label %tell
tell:
  %failed = getelementptr i64, i64* %team, i64 {FAILED}
  store atomic i64 1, i64* %failed release, align 8
  br label %count_it
count_it:
  %done = getelementptr i64, i64* %team, i64 {DONE}
  %before = atomicrmw add i64* %done, i64 1 acq_rel
  ret void
}

define i64 @attend(i64* %team, i64 %seat, i64 %rung, i64 %idle, i64 %busy, i64 %settling) {
begin:
  %open = getelementptr i64, i64* %team, i64 {OPEN}
  br label %look
look:
  %spent = phi i64 [ 0, %begin ], [ 0, %working ], [ %more, %wait ]
  %piece = call i64 @take(i64* %team, i64 %seat)
  %got = icmp sge i64 %piece, 0
  br i1 %got, label %working, label %listen
working:
  call void @work(i64* %team, i64 %seat, i64 %piece)
  br label %look
listen:
  %bell = load atomic i64, i64* %team acquire, align 8
  %same = icmp eq i64 %bell, %rung
  br i1 %same, label %patience, label %called
patience:
  %playing = load atomic i64, i64* %open acquire, align 8
  %on = icmp ne i64 %playing, 0
  %limit = select i1 %on, i64 %busy, i64 %idle
  %over = icmp sge i64 %spent, %limit
  br i1 %over, label %end, label %wait
wait:
  {PAUSE}
  %more = add i64 %spent, 1
  br label %look
called:
  %late = icmp sgt i64 %spent, 0
  br i1 %late, label %settle, label %end
settle:
  %paused = phi i64 [ 0, %called ], [ %longer, %still ]
  %enough = icmp sge i64 %paused, %settling
  br i1 %enough, label %end, label %still
still:
  {PAUSE}
  %longer = add i64 %paused, 1
  br label %settle
end:
  %heard = load atomic i64, i64* %team acquire, align 8
  ret i64 %heard
}

define i64 @play(i64* %team, i64* %table, i64 %count, i64 %from, i64* %why, i64 %patience) {
begin:
  %resumes = load i64, i64* %why
  %alone = icmp slt i64 %patience, 0
  %ticket = getelementptr i64, i64* %team, i64 {TICKET}
  %place = getelementptr i64, i64* %team, i64 {WORK}
  %done = getelementptr i64, i64* %team, i64 {DONE}
  %failure = getelementptr i64, i64* %team, i64 {FAILED}
  br label %test
test:
  %i = phi i64 [ %from, %begin ], [ %next, %made ]
  %again = phi i64 [ %resumes, %begin ], [ 0, %made ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %row, label %ended
row:
  %twice = shl i64 %i, 1
  %first = getelementptr i64, i64* %table, i64 %twice
  %second = getelementptr i64, i64* %first, i64 1
  %code = load i64, i64* %first
  %words = load i64, i64* %second
  %divided = icmp eq i64 %code, 0
  br i1 %divided, label %many, label %one
one:
  %status = call i64 @make(i64* %first, i64 1)
  %well = icmp eq i64 %status, 1
  br i1 %well, label %made, label %wrong
many:
  %work = inttoptr i64 %words to i64*
  %sizes = load i64, i64* %work
  %above = lshr i64 %sizes, 24
  %pieces = and i64 %above, 16777215
  %resumed = icmp ne i64 %again, 0
  br i1 %resumed, label %waiting, label %announce
announce:
  store atomic i64 0, i64* %done monotonic, align 8
  store i64 %words, i64* %place
  br i1 %alone, label %serial, label %open
serial:
  %k = phi i64 [ 0, %announce ], [ %following, %serial_work ]
  %left = icmp ult i64 %k, %pieces
  br i1 %left, label %serial_work, label %all_done
serial_work:
  call void @work(i64* %team, i64 0, i64 %k)
  %following = add i64 %k, 1
  br label %serial
open:
  store atomic i64 %sizes, i64* %ticket release, align 8
  br label %take
take:
  %piece = call i64 @take(i64* %team, i64 0)
  %got = icmp sge i64 %piece, 0
  br i1 %got, label %working, label %waiting
working:
  call void @work(i64* %team, i64 0, i64 %piece)
  br label %take
waiting:
  %spent = phi i64 [ 0, %take ], [ 0, %many ], [ %longer, %wait ]
  %counted = load atomic i64, i64* %done acquire, align 8
  %finished = icmp eq i64 %counted, %pieces
  br i1 %finished, label %all_done, label %impatient
impatient:
  %over = icmp sge i64 %spent, %patience
  br i1 %over, label %late, label %wait
wait:
  {PAUSE}
  %longer = add i64 %spent, 1
  br label %waiting
all_done:
  %failed = load atomic i64, i64* %failure acquire, align 8
  %bad = icmp ne i64 %failed, 0
  br i1 %bad, label %wrong, label %made
made:
  %next = add i64 %i, 1
  br label %test
late:
  store i64 1, i64* %why
  ret i64 %i
wrong:
  store i64 2, i64* %why
  ret i64 %i
ended:
  store i64 0, i64* %why
  ret i64 %i
}
"""


class Team:
    """The words that a pool's threads share, and what they do with them.

    Attributes
    ----------
    words:
        What the generated code works on; the first is the pool's bell.
    asleep:
        By seat, whether a helper sleeps. The caller has seat 0.
    lock:
        Is held by who plays.
    """

    def __init__(self) -> None:
        memory = np.zeros(WORDS + _LINE // 8, np.int64)
        start = -memory.ctypes.data % _LINE // 8
        self.words = memory[start : start + WORDS]
        self.asleep: set[int] = set()
        self.lock = threading.Lock()
        self._address = self.words.ctypes.data
        self._attend, self._play = _functions()

    def attend(self, seat: int, rung: int, limits: tuple[int, int, int]) -> int:
        """Take pieces until the bell is not ``rung`` any more, or there was nothing to do for long; returns the bell.

        ``limits`` are, in pauses, how long to wait when nobody plays and when somebody does, and how much longer to
        wait after the bell has rung.
        """
        return int(self._attend(self._address, seat, rung, *limits))

    def play(self, words: Array, table: Array, first: int, why: Array, patience: int) -> int:
        """Play the rows of a table from the first on; returns where it stopped, and in ``why[0]`` for what reason.

        It waits so many pauses for others, and then is to be called again with what it left in ``why``. With a negative
        patience it works alone, on words of its own.
        """
        return int(self._play(words.ctypes.data, table.ctypes.data, len(table), first, why.ctypes.data, patience))


def ticket_of(pieces: int, seats: int) -> int:
    """The ticket of so many pieces, for so many seats: bits 0 to 23 are the number of the next piece to be taken."""
    return seats << 48 | pieces << 24


@functools.cache
def _functions() -> tuple[Any, Any]:
    """`attend` and `play` as functions of Python, which release the GIL."""
    machine = platform.machine()
    code = _DECLARED.get(machine, "") + _CODE.replace("{PAUSE}", _PAUSES.get(machine, ""))
    for name, place in {"TICKET": TICKET, "WORK": WORK, "OPEN": OPEN, "DONE": DONE, "FAILED": FAILED}.items():
        code = code.replace("{" + name + "}", str(place))
    addresses = add_code(code, "attend", "play")
    word = ctypes.c_int64
    attend, play = (ctypes.CFUNCTYPE(word, *[word] * 6)(address) for address in addresses)
    return attend, play
