"""Chromium without a window, driven over a pipe: pages from disk are opened, looked at, clicked and photographed.

Speaks the DevTools protocol, messages of JSON that end in a zero byte, on the file descriptors 3 and 4 of the browser.
Source: the protocol's documentation, and what `--remote-debugging-pipe` says in Chromium's list of switches.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
_SWITCHES = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-extensions", "--disable-background-networking", "--disable-component-update",
             "--force-color-profile=srgb", "--hide-scrollbars", "--mute-audio")  # fmt: skip


def find() -> str | None:
    """The path of a Chromium, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """A running Chromium with one page; a context manager.

    Attributes
    ----------
    errors:
        What the page's scripts threw or logged as errors, and what it was refused.
    requests:
        Addresses that the page asked for.
    """

    def __init__(self, width: int = 1280, height: int = 1000) -> None:
        path = find()
        if path is None:
            raise FileNotFoundError(f"there is no {', no '.join(NAMES)} on this machine")
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._count = 0
        self._folder = tempfile.TemporaryDirectory(prefix="browser", ignore_cleanup_errors=True)
        self._start(path)
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.resize(width, height)

    def _start(self, path: str) -> None:
        """Start it with two pipes: its descriptor 3 reads commands, 4 writes answers."""
        their_in, self._out = os.pipe()
        self._in, their_out = os.pipe()
        self._session = ""
        # Both above 4, so that one is not overwritten before it is copied.
        command = f'exec "$0" "$@" 3<&{their_in} 4>&{their_out}'
        words = [path, *_SWITCHES, "--remote-debugging-pipe", f"--user-data-dir={self._folder.name}"]
        self._process = subprocess.Popen(
            ["bash", "-c", command, *words], pass_fds=(their_in, their_out), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(their_in)
        os.close(their_out)
        self._rest = b""

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the browser."""
        os.close(self._out)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        self._folder.cleanup()

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command and wait for its answer."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._in, 1 << 16)
            if not part:
                raise RuntimeError("the browser has ended")
            self._rest += part
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        told = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(told["exceptionDetails"])[:2000])
        elif event.get("method") == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.errors.append(told["entry"]["text"])
        elif event.get("method") == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])

    def resize(self, width: int, height: int, mobile: bool = False) -> None:
        """Give the page another size; as ``mobile`` it is touched."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.send("Emulation.setTouchEmulationEnabled", enabled=mobile)

    def open(self, path: Path, fragment: str = "") -> None:
        """Open a page from disk, and wait until it has drawn."""
        self.send("Page.navigate", url=path.resolve().as_uri() + (f"#{fragment}" if fragment else ""))
        end = time.monotonic() + 60
        while self.evaluate("document.readyState") != "complete":
            if time.monotonic() > end:
                raise TimeoutError(f"{path} is not there after a minute")
            time.sleep(0.02)
        self.drawn()

    def drawn(self) -> None:
        """Wait until what was asked for so far is drawn."""
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def evaluate(self, expression: str) -> Any:
        """What a line of JavaScript is in the page; promises are waited for."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression[:200]}: {json.dumps(answer['exceptionDetails'])[:2000]}")
        return answer["result"].get("value")

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Send ``mouseMoved``, ``mousePressed`` or ``mouseReleased``, in pixels of the window."""
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)
        self.drawn()

    def click(self, x: float, y: float) -> None:
        """Press and release the left button."""
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    def touch(self, x: float, y: float) -> None:
        """Tap."""
        self.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        self.drawn()

    def key(self, key: str, shift: bool = False) -> None:
        """Press a key, named as in JavaScript's ``event.key``."""
        named = {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, modifiers=8 if shift else 0,
                      **(named if kind == "keyDown" else {}))  # fmt: skip
        self.drawn()

    def picture(self, path: Path, whole: bool = False) -> None:
        """Write what is seen, or the ``whole`` page, as .png."""
        answer = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))
