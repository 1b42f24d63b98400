"""`segcaffe reproduce` in small: it resumes, and its report has the figures that were evaluated."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segcaffe.cli.main import main
from segcaffe.errors import DataError
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST
from segcaffe.recipes.demo import Progress, no_progress
from segcaffe.recipes.study import page
from segcaffe.recipes.study.images import Sample, read_kept
from segcaffe.recipes.study.study import Plan, Study
from segcaffe.recipes.study.tables import PAIRS, Results, ablated, scores
from segcaffe.recipes.study.variants import (
    CASCADE,
    CONTROL,
    EMBEDDINGS,
    MASKS,
    PHOTOGRAPHS,
    PLAIN,
    SCENES,
    Schedule,
    ablations,
    chosen,
    compared,
    planned,
)  # fmt: skip
from segcaffe.recipes.tiny import Masks, deploy
from segcaffe.surgery import Subject

SMALL = Schedule(iterations=(2, 2, 2), batch_size=1, crop_size=33)


def plan(folder: Path, seeds: int = 2) -> Plan:
    return Plan(folder, seeds, sample=Sample(train=2, test=2, size=48), schedule=SMALL)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Results]:
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patched:
        # Curves take longer than all else.
        patched.setattr(page, "_curves", lambda *_: None)
        return folder, Study(plan(folder)).carry_out()[0]


def test_figures_are_those_of_eval(finished: tuple[Path, Results], capsys: pytest.CaptureFixture[str]) -> None:
    folder, results = finished
    own = folder / "seed_2"
    for variant in compared(SCENES)[1:]:
        words = ["eval", own / variant.name / "predicted", own / "data" / "test.txt", "--root", f"{own}/data/"]
        assert main([*map(str, words), "--classes", "3", "--json", "-"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found == results.figures[variant.name][1]


def test_the_report_has_the_figures(finished: tuple[Path, Results]) -> None:
    folder, results = finished
    kept = [json.loads((folder / f"seed_{seed}" / CONTROL / "figures.json").read_text()) for seed in (1, 2)]
    values = [100 * figures["trimap"]["5"]["mean_iou"] for figures in kept]
    cell = f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"
    table = scores(results)
    row = next(row for row in table.rows if row[0] == "plain, stage 2")
    assert row[table.header.index("5 px")] == cell
    shown = (folder / "report" / "index.html").read_text()
    assert f"<td>{cell}</td>" in shown
    assert cell in (folder / "report" / "table.md").read_text()
    numbers = json.loads((folder / "report" / "results.json").read_text())
    assert numbers["mean_iou"][CONTROL]["5"] == values
    about = "Each seed has 2 images for training and 2 for testing, of 3 classes."
    assert results.about == numbers["about"] == about
    assert f"<p>{about}</p>" in shown
    for picture in re.findall(r'<img src="([^"]+)"', shown):
        assert (folder / "report" / picture).is_file()


def test_what_was_damaged_since_is_told(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    for content in ("{", "[1]", "\x80"):
        file.write_bytes(content.encode("latin-1"))
        with pytest.raises(DataError, match=r'figures\.json".*Delete it'):
            read_kept(file)


def test_a_single_seed_has_no_deviation(finished: tuple[Path, Results]) -> None:
    _, both = finished
    one = Results(both.variants, {name: figures[:1] for name, figures in both.figures.items()})
    assert "±" in scores(both).text()
    assert "±" not in scores(one).text()


def test_all_nets_of_a_comparison_are_trained_equally_long() -> None:
    """Counted along the plain net's weights; the cascade has no parameters."""
    named = {variant.name: variant for variant in planned(SCENES, True, ("*",), 3)}

    def length(name: str) -> int:
        variant = named[name]
        before = max((length(other) for other in variant.begins_with if other != EMBEDDINGS), default=0)
        return before + Schedule().of(variant)[0]

    for name, other in PAIRS:
        assert length(name) == length(other) > length(PLAIN)
    # Those masks that are not trained have the weights of a net that was.
    assert all(length(variant.name) == length(variant.against) for variant in ablations(SCENES))


def test_ablations_say_what_they_have_over_the_plain_net() -> None:
    kept = {MASKS: 70.0, CONTROL: 60.0, "l1": 68.0}
    variants = [variant for variant in planned(SCENES, False, ("*",), 3) if variant.name in kept]
    figures = {
        name: [{"mean_iou": value / 100, "trimap": {width: {"mean_iou": value / 100} for width in ("2", "5")}}]
        for name, value in kept.items()
    }
    table = ablated(Results(variants, figures))
    assert table.rows == [["L1 distances", "masks, stage 2", "-2.0", "-2.0", "-2.0", "-", "+8.0"]]
    assert table.header[-1] == "over plain, 5 px"


@pytest.mark.parametrize("masks", [SCENES, PHOTOGRAPHS])
def test_all_nets_of_the_plan_take_the_weights_they_begin_with(masks: Masks) -> None:
    nets: dict[str, Net] = {}
    for variant in planned(masks, True, ("*",), 2):
        if variant.model is not None:
            net = Net(Subject.parse(deploy((17, 21), (9, 11), variant.model, named=False)).net, TEST)
            for name in set(variant.begins_with) - {EMBEDDINGS}:
                net.copy_trained_layers(nets[name].to_proto())
            if any(variant.name in other.begins_with for other in planned(masks, True, ("*",), 2)):
                nets[variant.name] = net


def test_what_a_variant_begins_with_comes_before_it() -> None:
    seen: set[str] = set()
    for variant in planned(PHOTOGRAPHS, True, ("*",), 5):
        assert seen >= set(variant.begins_with)
        seen.add(variant.name)
        assert variant.model is None or variant.model.classes == 5


def _stopping(after: int) -> Progress:
    """Progress that ends as Ctrl-C does, once so many runs are done."""

    @contextmanager
    def progress(total: int, unit: str) -> Iterator[Callable[[], object]]:
        done = []

        def advance() -> None:
            done.append(unit)
            if len(done) == after:
                raise KeyboardInterrupt

        yield advance

    return progress


def test_it_goes_on_where_it_was_stopped(
    finished: tuple[Path, Results], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "_curves", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        Study(plan(tmp_path, 1), _stopping(after=4)).carry_out()
    kept = {path: path.stat().st_mtime_ns for path in sorted(tmp_path.glob("seed_1/*/figures.json"))}
    assert [path.parent.name for path in kept] == sorted((EMBEDDINGS, PLAIN, CONTROL, CASCADE))
    results, _ = Study(plan(tmp_path, 1), no_progress).carry_out()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert {name: found[0] for name, found in results.figures.items()} == {
        name: found[0] for name, found in finished[1].figures.items()
    }


def test_the_crf_can_be_left_out_and_made_later(finished: tuple[Path, Results]) -> None:
    folder, whole = finished
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(page, "_curves", lambda *_: None)
        results, report = Study(replace(plan(folder), crf=False)).carry_out()
    assert results.pairs() == [(MASKS, CONTROL), (CASCADE, CONTROL)]
    assert results.figures == {name: whole.figures[name] for name in (PLAIN, CONTROL, CASCADE, MASKS)}
    assert "CRF" not in re.sub(r"<p>.*?</p>", "", report.read_text())


def test_other_settings_are_refused(finished: tuple[Path, Results]) -> None:
    folder, _ = finished
    other = Plan(folder, 2, sample=Sample(train=3, test=2, size=48), schedule=SMALL)
    with pytest.raises(DataError, match=r"made with another sample .* Choose another --out"):
        Study(other).carry_out()


def test_missing_weights_are_told(finished: tuple[Path, Results]) -> None:
    """The last test that reads the folder: it takes a net's weights away."""
    folder, _ = finished
    for path in (folder / "seed_1" / CONTROL).glob("*.caffemodel"):
        path.unlink()
    (folder / "seed_1" / CASCADE / "figures.json").unlink()
    with pytest.raises(DataError, match="has figures but no weights"):
        Study(plan(folder)).carry_out()


def test_ablations_are_chosen_by_name() -> None:
    assert [variant.name for variant in chosen(SCENES, ("crf_f*", "l1"))] == ["l1", "crf_five"]
    assert not chosen(SCENES, ())


def test_ablations_that_there_are_not_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--ablation", "l1", "--ablation", "l3", "--out", str(tmp_path / "out")]) == 2
    assert 'No ablation is called "l3". There are: l1, conv3, conv5,' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_options_of_data_sets_are_refused_without_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--ignore", "11"]) == 2
    assert "--ignore is for --data" in capsys.readouterr().err
