"""What the page to look through masks holds: embeddings in few bytes, colours, where it starts, its size."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from segcaffe.functional import local_distance
from segcaffe.viz.embedding import principal_colours
from segcaffe.viz.explore.pack import far, loss, pack, pack_all, principal_axes
from segcaffe.viz.explore.page import page, safe_colours
from segcaffe.viz.explore.scene import Array, Scene, View
from segcaffe.viz.explore.start import first_pixel


def _smooth(channels: int, height: int, width: int) -> Array:
    y, x = np.mgrid[:height, :width].astype(np.float32) / 10
    steps = np.arange(1, channels + 1, dtype=np.float32)[:, None, None]
    return np.asarray(np.sin(steps * y / 3) + np.cos(steps * x / 5) * steps / channels)


def test_what_fits_is_held_in_16_bits() -> None:
    embedding = _smooth(8, 12, 20)
    packed = pack(embedding, 2 * embedding.size)
    assert (packed.bits, packed.step, packed.data.nbytes) == (16, 1, 2 * embedding.size)
    np.testing.assert_array_equal(packed.values(), embedding.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("part", [1.99, 1, 0.3, 0.05])
def test_what_does_not_fit_is_held_in_8_bits_and_then_on_a_coarser_grid(part: float) -> None:
    embedding = _smooth(8, 40, 60)
    packed = pack(embedding, int(part * embedding.size))
    assert packed.bits == 8
    assert packed.data.nbytes <= part * embedding.size
    assert (packed.step == 1) == (part >= 1)
    kept = embedding[:, :: packed.step, :: packed.step]
    largest = (embedding.max(axis=(1, 2)) - embedding.min(axis=(1, 2)))[:, None, None] / 255
    assert (np.abs(packed.values() - kept) <= 0.501 * largest).all()


def test_numbers_beyond_16_bit_floats_are_held_in_8_bits() -> None:
    embedding = _smooth(3, 9, 9) * 1e6
    assert pack(embedding, 1 << 20).bits == 8


def test_a_constant_channel_stays_what_it_is() -> None:
    embedding = np.full((2, 5, 5), 3.25, np.float32)
    np.testing.assert_array_equal(pack(embedding, embedding.size).values(), embedding)


def test_several_share_what_there_is() -> None:
    blobs = {"fine": _smooth(8, 40, 60), "coarse": _smooth(8, 10, 15)}
    most = blobs["fine"].size + 2 * blobs["coarse"].size
    packed = pack_all(blobs, most)
    assert (packed["coarse"].bits, packed["fine"].bits, packed["fine"].step) == (16, 8, 1)
    assert sum(one.data.nbytes for one in packed.values()) <= most


def test_the_loss_is_that_of_the_masks() -> None:
    embedding, view = _smooth(8, 20, 30), View("v", "emb", 3, scale=0.7)
    packed = pack(embedding, embedding.size)
    masks = [np.exp(-0.7 * local_distance(one[None], 3, 1, "l1")) for one in (embedding, packed.values())]
    told = loss(embedding, packed, view)
    assert told.most == pytest.approx(np.abs(masks[0] - masks[1]).max())
    assert 0 < told.mean < told.most < 0.1
    assert loss(embedding, pack(embedding, 4 * embedding.size), view).most < told.most / 10


def test_colours_are_those_of_the_other_pictures() -> None:
    embedding = _smooth(16, 30, 40)
    axes, offsets = principal_axes(embedding)
    parts = np.tensordot(axes, embedding, 1) + offsets[:, None, None]
    expected = principal_colours(embedding)[..., ::-1].transpose(2, 0, 1)
    assert np.abs(255 * parts.clip(0, 1) - expected).max() < 1.01


def test_two_channels_have_two_axes() -> None:
    axes, offsets = principal_axes(_smooth(2, 9, 9))
    assert (axes[2] == 0).all()
    assert offsets[2] == 0.5


def test_far_is_a_distance_that_few_exceed() -> None:
    embedding = np.random.default_rng(1).normal(size=(4, 30, 30)).astype(np.float32)
    cells = embedding.reshape(4, -1)
    distances = np.abs(cells[:, :, None] - cells[:, None, ::7]).sum(0)
    assert (distances > far(embedding, "l1")).mean() == pytest.approx(0.02, abs=0.01)
    assert far(np.zeros((2, 3, 3), np.float32), "l2") == 1


def test_safe_colours_are_near_to_the_classes_own() -> None:
    blue, green, red = safe_colours(np.array([(70, 110, 220), (80, 180, 90), (215, 80, 75)], np.uint8))
    assert (blue, green, red) == ([86, 180, 233], [0, 158, 115], [213, 94, 0])
    many = safe_colours(np.zeros((24, 3), np.uint8))
    assert len({tuple(colour) for colour in many}) == 24


def _data(text: str) -> dict[str, object]:
    found = re.search('<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


def test_names_cannot_end_the_data_or_the_title() -> None:
    name = "</script><b>@TITLE@\x01"
    embedding = _smooth(2, 8, 8)
    scene = Scene(name, np.zeros((8, 8, 3), np.uint8), (8, 8), {name: embedding})
    text = page(name, [scene], [View(name, name, 3)], [name])
    assert text.count("</script>") == 2
    assert "<b>@" not in text
    assert "\x01" not in text
    assert _data(text)["classes"] == [name]


def test_it_starts_beside_a_boundary() -> None:
    label = np.zeros((40, 60), np.uint8)
    label[:, 45:] = 1
    scene = Scene("s", np.zeros((40, 60, 3), np.uint8), (40, 60), {"emb": _smooth(2, 40, 60)}, {"truth": label})
    (stored,) = _data(page("t", [scene], [View("v", "emb", 3)]))["scenes"]  # type: ignore[misc]
    col, row = stored["start"]
    assert label[row, col - 5 : col + 6].max() == 1
    assert label[row, col - 2 : col + 3].max() == label[row, col - 2 : col + 3].min()


def test_it_starts_where_the_mask_is_part_bright_part_dark() -> None:
    embedding = np.zeros((2, 40, 60), np.float32)
    embedding[0, 20:, 30:] = 5
    scene = Scene("s", np.zeros((40, 60, 3), np.uint8), (40, 60), {"emb": embedding})
    col, row = first_pixel(scene, View("v", "emb", 9))
    window = embedding[0, row - 4 : row + 5, col - 4 : col + 5] == embedding[0, row, col]
    assert window.shape == (9, 9)
    assert 0.2 < window.mean() < 0.8
    small = Scene("s", np.zeros((4, 6, 3), np.uint8), (4, 6), {"emb": _smooth(2, 4, 6)})
    assert first_pixel(small, View("v", "emb", 9)) == [3, 2]


def test_safe_colours_differ_for_all_eyes() -> None:
    """Simulated dichromats still see them apart. Matrices of linear light: Viénot, Brettel and Mollon 1999."""
    lms = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]])
    missing = {
        "red": [[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]],
        "green": [[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]],
    }
    colours = (np.array(safe_colours(np.zeros((8, 3), np.uint8))) / 255) ** 2.2
    for matrix in missing.values():
        seen = colours @ (np.linalg.inv(lms) @ np.array(matrix) @ lms).T
        seen = seen.clip(0, 1) ** (1 / 2.2)
        apart = np.abs(seen[:, None] - seen).max(-1) + np.eye(8)
        assert apart.min() > 0.06


def test_an_image_of_321_pixels_with_64_channels_stays_below_10_megabytes() -> None:
    rng = np.random.default_rng(0)
    embedding = rng.normal(size=(64, 321, 321)).astype(np.float32)
    label = np.zeros((321, 321), np.uint8)
    image = rng.integers(0, 256, (321, 321, 3), np.uint8)
    scene = Scene("s", image, (321, 321), {"emb": embedding}, dict.fromkeys(("truth", "prediction", "before"), label))
    text = page("t", [scene], [View("v", "emb", 3, scale=0.1)])
    assert len(text.encode()) < 10_000_000
    assert "64 numbers for each of 321 x 321 cells; held as 8 bits for each number" in text
    assert re.search(r"Masks differ from the net&#x27;s by \d\.\de-\d\d on average, \d\.\de-\d\d at most", text)
