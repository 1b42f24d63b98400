"""The witness of a training on several ranks: a small process beside rank 0 that tells which rank failed, and why.

A rank that is killed can say nothing, the others wait for it in MPI for ever or are ended by the launcher before they
can speak. The witness is no rank: each of them holds a connection to it, and the first that closes without a farewell
is the one that failed. It says so on the terminal and has the others end. Run by `segcaffe.parallel.watch` as a file,
with nothing but the standard library, so that it starts at once and takes little memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import sys
import time
from typing import Any

LONGEST_LINE = 1 << 16
END = "end\n"
"""What ranks are told that must end; any other line names a rank that has done its work."""
FIRST_CALL = 120.0
"""Seconds in which ranks must have come, or the witness gives up."""
LAST_CALL = 5.0
"""Seconds in which ranks that were told to end must have gone."""
KEEPALIVE = (("TCP_KEEPIDLE", 3), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 3))
"""When the other end is looked for whose machine has gone, in seconds, and how often."""


class Rank:
    """A connection, and what its rank has said of itself."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.unread = b""
        self.hello: dict[str, Any] = {}
        self.left = False

    @property
    def name(self) -> str:
        """``rank 1 (process 4711 on node7)``."""
        return f"rank {self.hello['rank']} (process {self.hello['process']} on {self.hello['host']})"


class Witness:
    """Listens to all ranks until they have gone."""

    def __init__(self, listener: socket.socket, size: int, token: str, command: str) -> None:
        self.listener, self.size, self.token, self.command = listener, size, token, command
        self.selector = selectors.DefaultSelector()
        self.selector.register(listener, selectors.EVENT_READ, None)
        self.ranks: list[Rank] = []
        self.come = 0
        self.told = False

    def run(self) -> None:
        """Listen; what happened first comes first, as the kernel reports it."""
        deadline = time.monotonic() + FIRST_CALL
        while self.come < self.size or self.ranks:
            limited = self.come < self.size or self.told
            events = self.selector.select(max(0.0, deadline - time.monotonic()) if limited else None)
            if not events and limited:
                return
            for key, _ in events:
                if key.data is None:
                    self._accept()
                else:
                    self._hear(key.data)
            if self.told and not limited:
                deadline = time.monotonic() + LAST_CALL

    def _accept(self) -> None:
        connection = self.listener.accept()[0]
        keep_alive(connection)
        self.selector.register(connection, selectors.EVENT_READ, rank := Rank(connection))
        self.ranks.append(rank)

    def _hear(self, rank: Rank) -> None:
        try:
            received = rank.connection.recv(LONGEST_LINE)
        except OSError:
            received = b""
        *lines, rank.unread = (rank.unread + received).split(b"\n")
        for line in lines:
            if not self._understand(rank, line):
                received = b""
        if not received or len(rank.unread) > LONGEST_LINE:
            self._lose(rank)

    def _understand(self, rank: Rank, line: bytes) -> bool:
        """Take in what a rank says; whether it may go on speaking."""
        try:
            message = json.loads(line)
        except ValueError:
            return False
        if not rank.hello:
            if not isinstance(message, dict) or message.get("token") != self.token:
                return False
            rank.hello = message
            self.come += 1
        elif "fault" in message:
            rank.left = True
            self._tell(message["fault"])
        elif "farewell" in message:
            rank.left = True
            self._send(f"{rank.name}\n", [other for other in self.ranks if other is not rank])
        return True

    def _lose(self, rank: Rank) -> None:
        self.selector.unregister(rank.connection)
        rank.connection.close()
        self.ranks.remove(rank)
        if rank.hello and not rank.left:
            self._tell(
                f"{rank.name} has ended without a word: it was killed, or the machine had no memory left. All ranks "
                "end; snapshots that were written are whole."
            )

    def _tell(self, text: str) -> None:
        """Say what happened first, and have all ranks end."""
        if self.told:
            return
        self.told = True
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), f"{self.command}: {text}\n".encode())
        self._send(END, self.ranks)

    def _send(self, line: str, ranks: list[Rank]) -> None:
        for rank in ranks:
            with contextlib.suppress(OSError):
                rank.connection.sendall(line.encode())


def keep_alive(connection: socket.socket) -> None:
    """Have the kernel notice that the other end's machine has gone."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE:
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def allow_many_files() -> None:
    """Allow as many connections as the machine does."""
    import resource

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> None:
    """Arguments: the listening socket's number, how many ranks, their token, the command's name."""
    number, size, token, command = sys.argv[1:5]
    allow_many_files()
    Witness(socket.socket(fileno=int(number)), int(size), token, command).run()


if __name__ == "__main__":
    main()
