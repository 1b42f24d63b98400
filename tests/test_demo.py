"""The demo: what it tells, and its page."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import cv2
import pytest

from segcaffe.data.synthetic import write_set
from segcaffe.recipes import demo
from segcaffe.recipes.demo import AUC, Demo, Plan

PAGE = 72 * 16 - 2 * 16
"""Width of the page's text in pixels."""


def test_the_demo_in_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "write_set", partial(write_set, test=1, size=72))
    said: list[str] = []
    run = Demo(Plan(tmp_path, scenes=2, iterations=2, batch_size=1, crop_size=33), said.append)
    solver = run.prepare()
    run.train(solver)
    outcome = run.report(run.test(solver))
    assert len(outcome.losses) == 2
    before, after = outcome.held_out
    assert before != after
    assert f"The same loss on held-out images: {before:.2f} before training, {after:.2f} after." in said
    page = outcome.page.read_text()
    assert AUC in page
    assert '<a href="masks.html">' in page
    assert "before training" in (outcome.page.parent / "masks.html").read_text()
    widths = [cv2.imread(str(outcome.page.parent / name)).shape[1] for name in re.findall(r"mask_\w+\.png", page)]
    # Three figures, each with its border and margin.
    assert widths
    assert all(3 * (width + 2 + 0.6 * 16) <= PAGE for width in widths)
