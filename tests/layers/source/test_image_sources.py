"""What the sources over image lists share, and what each adds."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe import device
from segcaffe.blob import Blob
from segcaffe.errors import DataError
from segcaffe.layers.source.prefetching import PrefetchingSource
from segcaffe.testing import LayerCase

COUNT = 5


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five images of different sizes with label maps, and lists; it is the working directory."""
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        size = (8 + i, 14 - i)
        cv2.imwrite(str(tmp_path / f"i{i}.png"), rng.integers(0, 256, (*size, 3), np.uint8))
        cv2.imwrite(str(tmp_path / f"l{i}.png"), rng.integers(0, 21, size, np.uint8))
    (tmp_path / "two.txt").write_text("".join(f"i{i}.png l{i}.png\n" for i in range(COUNT)))
    (tmp_path / "labelled.txt").write_text("".join(f"i{i}.png {i}\n" for i in range(COUNT)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def build(type_name: str, options: str, tops: int = 2, phase: str = "TRAIN") -> tuple[PrefetchingSource, list[Blob]]:
    layer, _, top = LayerCase(type_name, options, (), tops, phase).build()
    assert isinstance(layer, PrefetchingSource)
    return layer, top


def run(layer: PrefetchingSource, top: list[Blob], passes: int) -> list[list[np.ndarray]]:
    batches = []
    for _ in range(passes):
        layer.forward([], top)
        batches.append([blob.data.copy() for blob in top])
    return batches


RANDOM = """image_data_param { source: "two.txt" batch_size: 3 shuffle: true }
transform_param { crop_size: 6 mirror: true mean_value: 100 }"""


def test_a_restored_source_continues_as_if_never_stopped(folder: Path) -> None:
    device.set_random_seed(7)
    whole = run(*build("TwoImageData", RANDOM), 8)
    device.set_random_seed(7)
    first, top = build("TwoImageData", RANDOM)
    run(first, top, 3)
    state = json.loads(json.dumps(first.state()))
    first.close()
    device.set_random_seed(8)
    second, top = build("TwoImageData", RANDOM)
    second.restore(state)
    for found, expected in zip(run(second, top, 5), whole[3:], strict=True):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_source_of_one_seed_does_not_depend_on_what_else_draws(folder: Path) -> None:
    batches = []
    for others in (0, 50):
        device.set_random_seed(7)
        layer, top = build("TwoImageData", RANDOM)
        device.generator().random(others)
        batches.append(run(layer, top, 2)[1])
    np.testing.assert_array_equal(batches[0][0], batches[1][0])


def test_shapes_are_known_before_the_first_batch(folder: Path) -> None:
    _, top = build("TwoImageData", 'image_data_param { source: "two.txt" }')
    assert [blob.shape for blob in top] == [(1, 3, 8, 14), (1, 1, 8, 14)]


def test_without_a_crop_each_batch_has_its_size(folder: Path) -> None:
    layer, top = build("ImageData", 'image_data_param { source: "labelled.txt" }')
    assert [batch[0].shape[2:] for batch in run(layer, top, 3)] == [(8, 14), (9, 13), (10, 12)]


def test_a_batch_of_different_sizes_needs_a_crop(folder: Path) -> None:
    layer, top = build("ImageData", 'image_data_param { source: "labelled.txt" batch_size: 2 }')
    with pytest.raises(DataError, match=r"labelled.txt:1 has 3 x 8 x 14, labelled.txt:2 has 3 x 9 x 13"):
        layer.forward([], top)


def test_an_image_and_a_label_map_of_different_size_are_both_named(folder: Path) -> None:
    (folder / "two.txt").write_text("i0.png l0.png\ni1.png l2.png\n")
    layer, top = build("TwoImageData", 'image_data_param { source: "two.txt" }')
    layer.forward([], top)
    with pytest.raises(DataError, match=r'two.txt:2.*"i1.png" 9 x 13, "l2.png" 10 x 12'):
        layer.forward([], top)


def test_a_missing_image_is_named_when_its_batch_is_due(folder: Path) -> None:
    (folder / "i1.png").unlink()
    layer, top = build("TwoImageData", 'image_data_param { source: "two.txt" }')
    layer.forward([], top)
    with pytest.raises(DataError, match=r'layer "layer" \(TwoImageData\): two.txt:2: cannot read "i1.png": No such'):
        layer.forward([], top)


def test_a_name_without_its_label_map_is_told_at_setup(folder: Path) -> None:
    (folder / "two.txt").write_text("i0.png l0.png\n\ni1.png\n")
    with pytest.raises(DataError, match=r'two.txt:3: .*Received: 3 names; "i1.png" begins'):
        build("TwoImageData", 'image_data_param { source: "two.txt" }')


@pytest.mark.parametrize(("type_name", "count"), [("TwoImageData", 2), ("FourImageData", 4)])
def test_lists_are_streams_of_names(folder: Path, type_name: str, count: int) -> None:
    names = [f"{kind}{i}.png" for i in (0, 0, 1, 1) for kind in "il"]
    if count == 4:
        names = [f"{kind}{i}.png" for i in (0, 1) for kind in "iill"]
    lines = [" ".join(names[i : i + count]) + "\n" for i in range(0, len(names), count)]
    batches = []
    for text in ("".join(lines), " ".join(names), "\n".join(names), lines[0] + " ".join(names[count:])):
        (folder / "stream.txt").write_text(text)
        batches.append(run(*build(type_name, 'image_data_param { source: "stream.txt" }', phase="TEST"), 3))
    for other in batches[1:]:
        for expected, found in zip(batches[0], other, strict=True):
            np.testing.assert_array_equal(expected[0], found[0])
            np.testing.assert_array_equal(expected[1], found[1])


def test_images_without_labels_have_label_0(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "names.txt").write_text("i0.png\ni1.png\n\ni2.png\n")
    layer, top = build("ImageData", 'image_data_param { source: "names.txt" }')
    assert [batch[1].tolist() for batch in run(layer, top, 3)] == [[0]] * 3
    assert caplog.text == ""
    (folder / "names.txt").write_text("i0.png 3\ni1.png\n")
    layer, top = build("ImageData", 'image_data_param { source: "names.txt" }')
    assert [batch[1].tolist() for batch in run(layer, top, 2)] == [[3], [0]]
    assert "names.txt:2: 1 of 2 lines have no label" in caplog.text


def test_names_that_are_no_text(folder: Path) -> None:
    """Names are bytes to the system: GBK here, read from a list and a folder that are not UTF-8."""
    name = b"\xd1\xd0\xbe\xbf"
    inside = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
    inside.mkdir()
    (inside / "a.png").write_bytes((folder / "i0.png").read_bytes())
    (folder / "names.txt").write_bytes(name + b"/a.png 1\n" + name + b"/b.png 1\n")
    layer, top = build("ImageData", 'image_data_param { source: "names.txt" }')
    layer.forward([], top)
    assert top[0].shape == (1, 3, 8, 14)
    with pytest.raises(DataError, match=r"names.txt:2: cannot read .*/b.png"):
        layer.forward([], top)


def test_gray_pictures_may_be_made_of_colours(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where the first is asked for in gray, the second may be no label map."""
    (folder / "two.txt").write_text("i0.png i0.png\n")
    options = 'image_data_param { source: "two.txt" }'
    layer, top = build("TwoImageData", options + " two_image_data_param { first_is_color: false }")
    layer.forward([], top)
    np.testing.assert_array_equal(top[0].data, top[1].data)
    assert caplog.text.count("is in colour; its brightness is taken") == 1
    with pytest.raises(DataError, match="--palette"):
        build("TwoImageData", options)


def test_new_height_needs_new_width(folder: Path) -> None:
    with pytest.raises(DataError, match="new_height and new_width together"):
        build("TwoImageData", 'image_data_param { source: "two.txt" new_height: 5 }')


@pytest.mark.parametrize("type_name", ["TwoImageData", "ImageSegData"])
def test_resized_label_maps_are_warned_about(folder: Path, type_name: str, caplog: pytest.LogCaptureFixture) -> None:
    options = 'image_data_param { source: "two.txt" new_height: 5 new_width: 6 label_type: PIXEL }'
    with caplog.at_level(logging.WARNING):
        _, top = build(type_name, options)
    assert "bilinearly" in caplog.text
    assert top[1].shape == (1, 1, 5, 6)


def test_a_forgotten_label_type_is_warned_about(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        layer, top = build("ImageSegData", 'image_data_param { source: "two.txt" }')
    assert "label_type: PIXEL" in caplog.text
    layer.forward([], top)
    assert not top[1].data.any()


def test_names_where_label_type_image_is_asked_for(folder: Path) -> None:
    with pytest.raises(DataError, match=r"two.txt:1: label_type IMAGE takes an integer.*Write label_type: PIXEL"):
        build("ImageSegData", 'image_data_param { source: "two.txt" label_type: IMAGE }')


def test_an_image_label_fills_the_map_and_ignore_label_the_padding(folder: Path) -> None:
    options = 'image_data_param { source: "labelled.txt" ignore_label: 99 } transform_param { crop_size: 20 }'
    layer, top = build("ImageSegData", options, tops=3)
    labels, sizes = run(layer, top, 3)[2][1:]
    assert (labels[0, 0, :10, :12] == 2).all()
    assert (labels[0, 0, 10:] == 99).all()
    assert (labels[0, 0, :, 12:] == 99).all()
    assert sizes.tolist() == [[[[10, 12]]]]


def test_a_line_without_what_label_type_needs(folder: Path) -> None:
    (folder / "two.txt").write_text("i0.png\n")
    with pytest.raises(DataError, match=r"two.txt:1: .*the name of a label map .or set label_type: NONE"):
        build("ImageSegData", 'image_data_param { source: "two.txt" label_type: PIXEL }')
    layer, top = build("ImageSegData", 'image_data_param { source: "two.txt" label_type: NONE ignore_label: 7 }')
    layer.forward([], top)
    assert (top[1].data == 7).all()


def test_image_seg_data_takes_no_mean_file(folder: Path) -> None:
    with pytest.raises(DataError, match="takes mean_value, not mean_file"):
        build("ImageSegData", 'image_data_param { source: "two.txt" } transform_param { mean_file: "x" }')


def test_four_images_need_one_mean_or_one_a_channel(folder: Path) -> None:
    (folder / "four.txt").write_text("i0.png i0.png l0.png l0.png\n")
    options = 'image_data_param { source: "four.txt" } four_image_data_param { second_is_color: false } '
    layer, top = build("FourImageData", options + "transform_param { mean_value: [1, 2, 3, 4] }")
    layer.forward([], top)
    assert (top[0].shape, top[1].shape) == ((1, 4, 8, 14), (1, 2, 8, 14))
    with pytest.raises(DataError, match="each of the 4 channels"):
        build("FourImageData", options + "transform_param { mean_value: [1, 2, 3] }")
