"""Scripts as people have them for OpenCV 4, with one import changed, give what OpenCV 4.14 gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.dnn.nets import weights

HERE = Path(__file__).parent
SCRIPTS = sorted((HERE / "scripts").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_with_one_import_changed(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = script.read_text(encoding="utf-8")
    weights(text.splitlines()[0].removeprefix("# Net: "), tmp_path)
    monkeypatch.chdir(tmp_path)
    changed = text.replace("\nimport cv2\n", "\nfrom segcaffe.dnn import cv2\n")
    assert changed != text
    found: dict[str, np.ndarray] = {"__name__": script.stem}
    exec(compile(changed, str(script), "exec"), found)
    with np.load(HERE / "opencv.npz") as recorded:
        wanted = recorded[f"script {script.stem}"]
    assert found["result"].shape == wanted.shape
    assert np.abs(found["result"] - wanted).max() <= 1e-5 * max(1, np.abs(wanted).max())
