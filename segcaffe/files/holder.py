"""Who holds a lock, as its file says."""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from segcaffe.files import process

_LONGEST = 4096
"""Bytes that are read of a file of a lock."""


@dataclass(frozen=True)
class Holder:
    """A process that writes somewhere.

    Attributes
    ----------
    process:
        Its number.
    host:
        The name of its machine.
    doing:
        What it does there.
    since:
        When it began.
    place, kernel, machine:
        See `segcaffe.files.process`.
    """

    process: int
    host: str
    doing: str = ""
    since: str = ""
    place: str = ""
    kernel: str = ""
    machine: str = ""

    @classmethod
    def this_process(cls, doing: str) -> Holder:
        """What others are told of this process."""
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        return cls(
            os.getpid(), socket.gethostname(), doing, since, process.place(), process.kernel(), process.machine()
        )

    @classmethod
    def unknown(cls) -> Holder:
        """One that has not said yet who it is."""
        return cls(0, "")

    @classmethod
    def read(cls, descriptor: int) -> Holder | None:
        """The holder that an open file names, `unknown` where it does not say; None where the file is empty."""
        os.lseek(descriptor, 0, os.SEEK_SET)
        content = os.read(descriptor, _LONGEST).strip(b"\0\n")
        if not content:
            # Its writer was killed, or the machine stopped, before it was written.
            return None
        try:
            return cls(**json.loads(content))._checked()
        except (ValueError, TypeError, RecursionError):
            return cls.unknown()

    def encode(self) -> bytes:
        """The content of the file, one line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    def keeps(self, system_knows: bool) -> bool:
        """Whether the lock is the holder's though the system has given it to us, or (not ``system_knows``) has none."""
        if not self.on_this_machine():
            return True
        # Without the system's word a process in another container of the machine may live.
        return not system_knows and (self.place != process.place() or process.runs(self.process))

    def on_this_machine(self) -> bool:
        """Whether it is, or was, a process of this machine, in whatever container, before its last start or since."""
        if self.kernel and self.kernel == process.kernel():
            return True
        return self.host == socket.gethostname() and self.machine == process.machine()

    def sentence(self, file: Path) -> str:
        """Who is writing, and what to do about it, up to what else may be done."""
        if not self.process:
            return (
                f'another process is writing there, but its lock "{file}" does not say which. Wait until it has ended, '
                "remove the file if there is none, or"
            )
        who = f'process {self.process} on "{self.host}" ({self.doing}, since {self.since})'
        if self.on_this_machine():
            return f'{who} is writing there; its lock is "{file}". Wait until it has ended, or'
        return (
            f'{who} is writing there, or was: from "{socket.gethostname()}" that cannot be seen. If it has ended, '
            f'remove its lock "{file}"; or'
        )

    def _checked(self) -> Holder:
        texts = (self.host, self.doing, self.since, self.place, self.kernel, self.machine)
        if not isinstance(self.process, int) or not all(isinstance(text, str) for text in texts):
            raise ValueError("of other types")
        return self
