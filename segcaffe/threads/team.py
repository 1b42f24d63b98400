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
import sys
import threading
from typing import Any

import numpy as np

from segcaffe.jit.stretch import add_code, loop_code

_TICKET, _WORK, _OPEN, _DONE, FAILED, _ALARM, _ASLEEP = 8, 9, 10, 16, 24, 25, 26
"""Where, in a team's words, stand the ticket, the address of the announced work, whether somebody plays, the number of
pieces that are done, whether one has failed, what sleepers wait for to change, and how many there are. The bell of the
pool is the first word."""
WORDS = 32
_LINE = 64
ENDED, LATE, WRONG = 0, 1, 2
"""Why `play` came back: at the table's end, because others still work, because a call has failed."""

_X86 = "call void @llvm.x86.sse2.pause()", "declare void @llvm.x86.sse2.pause()"
_ARM = "call void @llvm.aarch64.hint(i32 1)", "declare void @llvm.aarch64.hint(i32)"
_PAUSES = {"x86_64": _X86, "AMD64": _X86, "aarch64": _ARM, "arm64": _ARM}
"""The instruction that tells the processor that its thread is waiting, and its declaration, by machine."""
_CALLS = {"x86_64": 202, "aarch64": 98}
"""Linux's number of the call `futex`, by machine."""
_WAIT, _WAKE = 128, 129
"""What it is asked for: to sleep while 32 bits have a value, to wake those who sleep; within one process."""
_DECLARED_CALL = "declare i64 @syscall(i64, ...)"
SLEEPS = sys.platform == "linux" and sys.byteorder == "little" and platform.machine() in _CALLS
"""Whether helpers sleep in generated code: then nobody needs the GIL to wake one, or to begin after that."""
_ALL = (1 << 31) - 1
_CODE = """
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

define i64 @attend_{KIND}(i64* %team, i64 %seat, i64 %rung, i64 %idle, i64 %busy, i64 %settling) {
begin:
  %open = getelementptr i64, i64* %team, i64 {OPEN}
  br label %look
look:
  %spent = phi i64 [ 0, %begin ], [ 0, %working ], [ %more, %wait ], [ 0, %tired ]{WOKEN}
  %was = phi i1 [ 0, %begin ], [ 1, %working ], [ %on, %wait ], [ %on, %tired ]{WOKEN}
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
  %goes_on = icmp eq i1 %on, %was
  %counted = select i1 %goes_on, i64 %spent, i64 0
  %over = icmp sge i64 %counted, %limit
  br i1 %over, label %tired, label %wait
wait:
  {PAUSE}
  %more = add i64 %counted, 1
  br label %look
tired:
  %alarm = getelementptr i64, i64* %team, i64 {ALARM}
  %asleep = getelementptr i64, i64* %team, i64 {ASLEEP}
  %hour = load atomic i64, i64* %alarm acquire, align 8
  %rings = load atomic i64, i64* %team acquire, align 8
  %quiet = icmp eq i64 %rings, %rung
  %opened = load atomic i64, i64* %open acquire, align 8
  %closed = icmp eq i64 %opened, 0
  %rest = and i1 %quiet, %closed
  br i1 %rest, label %sleep, label %look
sleep:
  {SLEEP}
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

define i64 @ring_{KIND}(i64* %team, i64 %sleepers) {
begin:
  %alarm = getelementptr i64, i64* %team, i64 {ALARM}
  %asleep = getelementptr i64, i64* %team, i64 {ASLEEP}
  %before = atomicrmw add i64* %alarm, i64 1 seq_cst
  %sleeping = load atomic i64, i64* %asleep seq_cst, align 8
  %any = icmp ne i64 %sleeping, 0
  br i1 %any, label %wake, label %end
wake:
  {WAKE}
  br label %end
end:
  ret i64 0
}

define i64 @play_{KIND}(i64* %team, i64* %table, i64 %count, i64 %from, i64* %why, i64 %patience, i64 %sleepers) {
begin:
  %open.place = getelementptr i64, i64* %team, i64 {OPEN}
  %resumes = load i64, i64* %why
  %alone = icmp slt i64 %patience, 0
  %ticket = getelementptr i64, i64* %team, i64 {TICKET}
  %place = getelementptr i64, i64* %team, i64 {WORK}
  %done = getelementptr i64, i64* %team, i64 {DONE}
  %failure = getelementptr i64, i64* %team, i64 {FAILED}
  store atomic i64 1, i64* %open.place seq_cst, align 8
  %wakes = icmp ne i64 %sleepers, 0
  br i1 %wakes, label %rouse, label %start
rouse:
  %woken = call i64 @ring_{KIND}(i64* %team, i64 %sleepers)
  br label %start
start:
  br label %test
test:
  %i = phi i64 [ %from, %start ], [ %next, %made ]
  %again = phi i64 [ %resumes, %start ], [ 0, %made ]
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
  store atomic i64 0, i64* %open.place release, align 8
  store i64 2, i64* %why
  ret i64 %i
ended:
  store atomic i64 0, i64* %open.place release, align 8
  store i64 0, i64* %why
  ret i64 %i
}
"""


class Team:
    """The words that a pool's threads share, and what they do with them. The caller has seat 0.

    Attributes
    ----------
    words:
        What the generated code works on; the first is the pool's bell.
    address:
        Where they are.
    lock:
        Is held by who plays.
    sleeps:
        Whether helpers sleep in `attend`.
    play:
        Plays the rows of a table. Takes the words' address, the table's, its length, the row to begin with, the address
        of the reason for which it comes back, how many pauses to wait for others, and how many sleepers to wake first;
        returns where it stopped. If others were late, it is to be called again with what it left as the reason. With a
        negative patience it works alone, on words of the caller's own.
    """

    def __init__(self) -> None:
        memory = np.zeros(WORDS + _LINE // 8, np.int64)
        start = -memory.ctypes.data % _LINE // 8
        self.words = memory[start : start + WORDS]
        self.lock = threading.Lock()
        self.address = self.words.ctypes.data
        self._asleep = ctypes.c_int64.from_address(self.address + 8 * _ASLEEP)
        self._open = ctypes.c_int64.from_address(self.address + 8 * _OPEN)
        self.sleeps = SLEEPS
        self._attend, self._ring, self.play = _functions(self.sleeps)

    @property
    def sleepers(self) -> int:
        """How many helpers sleep."""
        return self._asleep.value

    def count_sleepers(self, change: int) -> None:
        """Say that a helper goes to sleep (1) or has woken (-1), where they do so in Python."""
        self._asleep.value += change

    def ring(self) -> None:
        """Wake all helpers that sleep in `attend`."""
        self._ring(self.address, _ALL)

    def attend(self, seat: int, rung: int, limits: tuple[int, int, int]) -> int:
        """Take pieces until the bell is not ``rung`` any more; returns the bell.

        When there was nothing to do for long it sleeps, where it can (`sleeps`), and comes back otherwise. ``limits``
        are, in pauses, how long to wait when nobody plays and when somebody does, and how much longer to wait after the
        bell has rung.
        """
        return int(self._attend(self.address, seat, rung, *limits))

    @property
    def is_playing(self) -> bool:
        """Whether somebody plays."""
        return bool(self._open.value)


def ticket_of(pieces: int, seats: int) -> int:
    """The ticket of so many pieces, for so many seats: bits 0 to 23 are the number of the next piece to be taken."""
    return seats << 48 | pieces << 24


@functools.cache
def _functions(sleeps: bool) -> tuple[Any, Any, Any]:
    """`attend`, `ring` and `play` as functions of Python, which release the GIL; helpers sleep in them or do not."""
    machine = platform.machine()
    places = {"TICKET": _TICKET, "WORK": _WORK, "OPEN": _OPEN, "DONE": _DONE, "FAILED": FAILED}
    values = {name: str(place) for name, place in (places | {"ALARM": _ALARM, "ASLEEP": _ASLEEP}).items()}
    pause, declared = _PAUSES.get(machine, ("", ""))
    values |= {"PAUSE": pause, "KIND": "asleep" if sleeps else "awake"} | _sleeping(_CALLS[machine] if sleeps else None)
    declarations = declared, _DECLARED_CALL if sleeps else ""
    code = "\n".join([*declarations, loop_code("make", "internal"), _CODE])
    for name, value in values.items():
        code = code.replace("{" + name + "}", value)
    names = (f"{name}_{values['KIND']}" for name in ("attend", "ring", "play"))
    addresses = add_code(code, *names)
    word = ctypes.c_int64
    attend, ring, play = (
        ctypes.CFUNCTYPE(word, *[word] * count)(address) for count, address in zip((6, 2, 7), addresses, strict=True)
    )
    return attend, ring, play


def _sleeping(number: int | None) -> dict[str, str]:
    """The parts of the code that put helpers to sleep and wake them, by the system call of this number."""
    if number is None:
        return {"SLEEP": "br label %end", "WOKEN": "", "WAKE": ""}
    call = "call i64 (i64, ...) @syscall(i64 {0}, i64* %alarm, i64 {1}, i64 {2}, i64 0, i64 0, i64 0)"
    wait = [
        "%going = atomicrmw add i64* %asleep, i64 1 seq_cst",
        "%slept = " + call.format(number, _WAIT, "%hour"),
        "%gone = atomicrmw sub i64* %asleep, i64 1 seq_cst",
        "br label %look",
    ]
    wake = "%told = " + call.format(number, _WAKE, "%sleepers")
    return {"SLEEP": "\n  ".join(wait), "WOKEN": ", [ 0, %sleep ]", "WAKE": wake}
