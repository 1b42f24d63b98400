"""Lines on the terminal: no other process can stop them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

KILLED = """
import logging, os, signal, sys
from tqdm import tqdm
from segcaffe.glog import Verbosity, start_log, terminal_log, tell
from segcaffe.text.bars import bar_type

with terminal_log(Verbosity.NORMAL), start_log(None, "x"):
    child = os.fork()
    if not child:
        # Killed while it prints: it has every lock that printing takes, ours and tqdm's own, which processes share.
        bar_type().get_lock().acquire()
        tqdm.get_lock().acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    logging.getLogger("segcaffe").info("after")
    with bar_type()(total=2, file=sys.stdout) as bar:
        bar.update()
    tell("told")
"""
FORKED = """
import os, threading
from segcaffe.text.bars import bar_type

bar_type().get_lock().acquire()
thread = threading.Thread(target=lambda: None)
child = os.fork()
if not child:
    # In a process of its own the lock is free, also for threads.
    done = []
    thread = threading.Thread(target=lambda: (bar_type().write("x"), done.append(1)))
    thread.start()
    thread.join(20)
    os._exit(0 if done else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are forked")
def test_a_worker_killed_as_it_prints_keeps_no_one_waiting() -> None:
    # tqdm's own lock is made first, as a program that shows bars of its own does; else it would not be shared.
    code = KILLED.replace("with terminal_log", "tqdm.get_lock()\nwith terminal_log", 1)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "] after" in done.stderr
    assert "told" in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are forked")
def test_a_forked_process_has_a_lock_of_its_own() -> None:
    assert subprocess.run([sys.executable, "-c", FORKED], timeout=60).returncode == 0
