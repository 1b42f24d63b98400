"""No rank hangs: where one fails, all of them end, with a sentence that names it (see `segcaffe.parallel.witness`)."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from segcaffe.parallel.group import Group
from segcaffe.parallel.witness import END, keep_alive

_log = logging.getLogger("segcaffe")
_PROGRAM = Path(__file__).with_name("witness.py")
_PATIENCE = 10.0
"""Seconds to wait for a connection, and at the end for the witness."""
_FAILED = 1
HERE = "127.0.0.1"


class Watch:
    """A rank's connection to the witness.

    Parameters
    ----------
    ranks:
        The ranks, all of which make one.
    command:
        What sentences begin with: ``segcaffe train``.
    """

    def __init__(self, ranks: Group, command: str) -> None:
        self._ranks, self.rank, self.host = ranks, ranks.rank, socket.gethostname()
        hosts = ranks.gather(self.host)
        self._process: subprocess.Popen[bytes] | None = None
        call = self._start(ranks.size, command, len(set(hosts)) == 1) if self.rank == 0 else None
        addresses, port, token = ranks.gather(call)[0] or ([], 0, "")
        self._leaving = self._failing = False
        self._told = threading.Event()
        self._connection = self._connect([HERE] if self.host == hosts[0] else addresses, port)
        if self._connection is not None:
            self._say({"token": token, "rank": self.rank, "process": os.getpid(), "host": self.host})
            threading.Thread(target=self._listen, daemon=True, name="segcaffe-watch").start()
        # From here on the witness knows all.
        ranks.gather(None)

    def fault(self, text: str) -> None:
        """Tell why this rank ends, and have all end; returns when it has been told.

        Not earlier: where one rank has gone the launcher kills the others, and the witness, just started perhaps,
        might hear of that first.
        """
        self._failing = True
        self._say({"fault": text})
        if self._connection is not None:
            self._told.wait(_PATIENCE)

    def farewell(self) -> None:
        """Tell that this rank has done its work."""
        self._say({"farewell": True})

    def close(self) -> None:
        """Go; when all have gone, so does the witness."""
        self._leaving = True
        if self._connection is not None:
            # A close alone would wait for the thread that listens.
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
            self._connection.close()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE)

    def _start(self, size: int, command: str, one_machine: bool) -> tuple[list[str], int, str]:
        """Start the witness; returns the addresses that it can be reached at, its port and the ranks' token."""
        token = secrets.token_hex(16)
        with socket.create_server((HERE if one_machine else "", 0), backlog=size) as listener:
            number = listener.fileno()
            line = [sys.executable, "-I", "-S", str(_PROGRAM), str(number), str(size), token, command]
            # A session of its own: launchers end whatever shares the rank's.
            self._process = subprocess.Popen(
                line, pass_fds=[number], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
            )
            return _addresses(), int(listener.getsockname()[1]), token

    def _connect(self, addresses: list[str], port: int) -> socket.socket | None:
        for address in addresses:
            with contextlib.suppress(OSError):
                connection = socket.create_connection((address, port), _PATIENCE)
                connection.settimeout(None)
                keep_alive(connection)
                return connection
        _log.warning(
            "Rank %d on %s cannot reach rank 0's machine (%s, port %d): where it is killed, all ranks end only if the "
            "launcher sees to it.", self.rank, self.host, ", ".join(addresses), port,
        )  # fmt: skip
        return None

    def _say(self, message: dict[str, object]) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.sendall(json.dumps(message).encode() + b"\n")

    def _listen(self) -> None:
        """Note who has done its work; end the process when the witness says so, or has gone."""
        assert self._connection is not None
        told = ""
        with contextlib.suppress(OSError), self._connection.makefile(encoding="utf-8") as lines:
            for told in lines:
                if told == END:
                    break
                self._ranks.gone = told.strip()
        self._told.set()
        if self._leaving or self._failing:
            return
        if told != END:
            text = f"rank {self.rank} on {self.host} ends: the witness beside rank 0 has gone, with its machine.\n"
            os.write(2, text.encode())
        leave(_FAILED)


def leave(status: int) -> NoReturn:
    """End the process here and now: MPI's own end would wait for the other ranks."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


@contextlib.contextmanager
def watched(ranks: Group, command: str) -> Iterator[Watch | None]:
    """While it lasts no rank can fail alone; at the end all wait for each other."""
    if not ranks.joint:
        yield None
        return
    watch = Watch(ranks, command)
    yield watch
    watch.farewell()
    ranks.end()
    watch.close()


def _addresses() -> list[str]:
    """The names and numbers of this machine that another may know it by."""
    found = [socket.getfqdn(), socket.gethostname()]
    with contextlib.suppress(OSError):
        found += [str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    return list(dict.fromkeys(found))
