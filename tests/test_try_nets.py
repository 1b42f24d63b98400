"""tools/try_nets.py: which public nets parse and build."""

from __future__ import annotations

import csv
import logging
import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = str(Path(__file__).parents[1] / "tools" / "try_nets.py")
SCORES = 'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 2 } }'
DATA = 'layer { name: "d" type: "Data" top: "data" top: "label" data_param { source: "nowhere" batch_size: 64 } }'
LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }'
PAIRS = """layer { name: "d" type: "Data" top: "pair" include { phase: TRAIN stage: "a" } data_param { batch_size: 1 } }
layer { name: "s" type: "Slice" bottom: "pair" top: "x" top: "y" slice_param { slice_point: 1 } }
layer { name: "e" type: "EuclideanLoss" bottom: "x" bottom: "y" top: "e" }"""
FILES = {
    "trained.prototxt": "\n".join((DATA, SCORES, LOSS)),
    "again.prototxt": "\n".join((DATA, SCORES, LOSS)),
    "pairs.prototxt": PAIRS,
    "no_type.prototxt": DATA + SCORES.replace("InnerProduct", "OuterProduct"),
    "no_text.prototxt": DATA + 'layer { name: "x }',
    "solver.prototxt": 'net: "trained.prototxt" base_lr: 0.1 lr_policy: "fixed"',
    "labelmap.prototxt": 'item { name: "cat" label: 1 }',
}


def test_each_file_once_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, table = tmp_path / "nets", tmp_path / "table.csv"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    monkeypatch.setattr(sys, "argv", [SCRIPT, str(folder), "--reasons", "--csv", str(table)])
    logger = logging.getLogger("segcaffe")
    level = logger.level
    try:
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(SCRIPT, run_name="__main__")
    finally:
        logger.setLevel(level)
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert "| nets | 5 | 4 | 3 | 0 |" in out
    assert 'unknown layer type "OuterProduct"' in out
    rows = {row["file"]: row for row in csv.DictReader(table.read_text().splitlines())}
    assert set(rows) == set(FILES) - {"trained.prototxt", "labelmap.prototxt"}
    assert [rows[name]["builds"] for name in ("again.prototxt", "pairs.prototxt", "solver.prototxt")] == ["True"] * 3
    assert rows["no_text.prototxt"]["parses"] == "False"
