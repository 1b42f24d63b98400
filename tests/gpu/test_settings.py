"""What holds for passes on a GPU: one object, replaced as a whole."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest

from segcaffe import device
from segcaffe.cli.main import main
from segcaffe.errors import DeviceError


def test_settings_are_replaced_and_brought_back() -> None:
    before = device.configure(math="tf32", graphs=True)
    assert before == device.Settings()
    assert device.settings() == device.Settings("tf32", False, True)
    device.configure(**vars(before))
    assert device.settings() == before
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.graphs = True  # type: ignore[misc]


def test_an_unknown_arithmetic_changes_nothing() -> None:
    with pytest.raises(DeviceError, match="is fp32 or tf32"):
        device.configure(math="fp16", autotune=True)
    assert device.settings() == device.Settings()


def test_own_settings_hold_while_they_are_used_in_this_thread_only() -> None:
    own = device.Settings("tf32")
    with device.using(own), device.using(None), ThreadPoolExecutor(1) as other:
        assert device.settings() is own
        assert other.submit(device.settings).result() == device.Settings()
    assert device.settings() == device.Settings()


def test_commands_set_them(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        main(["time", "--model", "no_such.prototxt", "--math", "tf32", "--graphs", "--autotune", "--cpu"])
        assert device.settings() == device.Settings("tf32", True, True)
    finally:
        device.configure(**vars(device.Settings()))
