"""Lines on the terminal, and bars in notebooks: no other process can stop them."""

from __future__ import annotations

import os
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

from segcaffe.text import bars

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

NOTEBOOK = """
import sys
from types import ModuleType, SimpleNamespace
sys.modules["ipykernel.zmqshell"] = ModuleType("zmqshell")
sys.modules["IPython"] = SimpleNamespace(get_ipython=lambda: None, utils=None)
sys.modules["ipywidgets"] = None
from segcaffe.glog import shows_progress
from segcaffe.text.bars import bar_type
assert shows_progress()
with bar_type()(total=2, file=sys.stdout, desc="here") as bar:
    bar.update(2)
assert "tqdm.auto" in sys.modules
"""
TERMINAL = """
import sys
from segcaffe.text.bars import bar_type, in_notebook
bar_type()
assert not in_notebook() and "asyncio" not in sys.modules
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


def test_a_notebook_without_widgets_gets_bars_of_text() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", NOTEBOOK], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "here: 100%" in done.stdout


def test_a_notebook_gets_the_bars_that_tqdm_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    class Chosen:
        """In the place of tqdm's widget."""

        @classmethod
        def set_lock(cls, lock: object) -> None:
            """Take any."""

    monkeypatch.setitem(sys.modules, "ipykernel.zmqshell", ModuleType("zmqshell"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", SimpleNamespace(tqdm=Chosen))
    assert issubclass(bars.bar_type.__wrapped__(), Chosen)


def test_commands_start_without_what_notebooks_need() -> None:
    subprocess.run([sys.executable, "-c", TERMINAL], check=True, timeout=60)
