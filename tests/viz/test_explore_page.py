"""The page to look through masks, in a browser: its numbers are the net's; pointer, keys, touch and sliders work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcaffe.functional import local_distance
from segcaffe.net.net import Net
from segcaffe.predict.explorer import write_page
from segcaffe.proto import caffe_pb2
from segcaffe.viz.explore.pack import pack, pack_all
from segcaffe.viz.explore.page import page
from segcaffe.viz.explore.scene import Array, Scene, View
from tests.predict.masked_nets import SIDE, WIDTH, explorer, scene_image, write_nets
from tools.browser import Browser, find

pytestmark = pytest.mark.skipif(find() is None, reason="needs Chromium to run the page in")
RECTANGLE = "$('{}').getBoundingClientRect()"
WEIGHTS = "windowMask(grid(), ...cell(), { ...state.view, dilation: stepped(state.view) }).map(tap => tap.weight)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


class Shown:
    """The page of the net with masks and a CRF, and the net itself."""

    def __init__(self, folder: Path) -> None:
        write_nets(folder)
        looked = explorer(folder, "crf")
        truth = np.zeros((SIDE, WIDTH), np.uint8)
        self.scenes = [
            looked.look(name, scene_image(folder)[::step], truth[::step]) for name, step in (("a", 1), ("b", 2))
        ]
        self.views = looked.views(self.scenes)
        self.path = write_page(looked, self.scenes, folder / "page.html", "Masks")
        looked.look("a", scene_image(folder))
        self.net = Net(folder / "crf.prototxt", caffe_pb2.TEST)
        self.net.copy_from(str(folder / "crf.caffemodel"))
        self.net.blobs["data"].data[...] = looked.input.data
        self.net.forward()


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return Shown(tmp_path_factory.mktemp("page"))


@pytest.fixture
def opened(browser: Browser, shown: Shown) -> Browser:
    browser.open(shown.path)
    return browser


def _middle(browser: Browser, panel: str, x: float, y: float) -> tuple[float, float]:
    """The window's place of a pixel in a panel."""
    browser.evaluate(f"$('{panel}').scrollIntoView()")
    box = browser.evaluate(
        f"(({{x, y, width, height}}) => [x, y, width, height])($('{panel}').getBoundingClientRect())"
    )
    return box[0] + (x + 0.5) / WIDTH * box[2], box[1] + (y + 0.5) / SIDE * box[3]


def _place(browser: Browser) -> list[int]:
    return list(browser.evaluate("[Math.round(state.x), Math.round(state.y)]"))


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(("x", "y"), [(0, 0), (12, 20), (36, 40)])
def test_masks_are_those_of_the_net(browser: Browser, shown: Shown, number: int, x: int, y: int) -> None:
    browser.open(shown.path, f"mask={number}&x={x}&y={y}")
    row, col = browser.evaluate("cell()")
    assert (row, col) == (round(y / 4), round(x / 4))
    mask = shown.net.blobs[f"{shown.views[number].name}_mask"].data[0, :, row, col]
    # The page has the embeddings as 16-bit floats.
    np.testing.assert_allclose(browser.evaluate(WEIGHTS), mask, atol=2e-3)
    assert browser.evaluate(WEIGHTS) != pytest.approx(1)


@pytest.mark.parametrize("number", range(5))
def test_masks_are_those_of_the_values_it_has(browser: Browser, shown: Shown, number: int) -> None:
    view = shown.views[number]
    browser.open(shown.path, f"mask={number}&x=5&y=30")
    row, col = browser.evaluate("cell()")
    values = pack(shown.scenes[0].embeddings[view.embedding], 1 << 30).values()[None].astype(np.float64)
    distance = local_distance(values, view.kernel, view.dilation, view.norm, remove_center=view.remove_center,
                              remove_bounds=view.remove_bounds)[0, :, row, col]  # fmt: skip
    mask = np.exp(-view.scale * distance)
    expected = view.sum_to * mask / mask.sum() if view.sum_to else mask
    np.testing.assert_allclose(browser.evaluate(WEIGHTS), expected, rtol=1e-5, atol=1e-12)
    far = browser.evaluate("[...far.values]")
    difference = values[0] - values[0][:, row, col][:, None, None]
    whole = np.abs(difference).sum(0) if view.norm == "l1" else 0.5 * (difference**2).sum(0)
    np.testing.assert_allclose(far, whole.ravel(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("part", [0.7, 0.2])
def test_what_is_reduced_is_read_as_it_was_written(browser: Browser, tmp_path: Path, part: float) -> None:
    rng = np.random.default_rng(0)
    blobs: dict[str, Array] = {"emb": rng.normal(size=(6, 60, 80)).astype(np.float32)}
    scene = Scene("s", np.zeros((60, 80, 3), np.uint8), (60, 80), blobs)
    path = tmp_path / "page.html"
    text = page("t", [scene], [View("v", "emb", dilation=6)], scene_bytes=45_000 + int(2 * part * blobs["emb"].size))
    path.write_text(text)
    browser.open(path)
    step, bits = browser.evaluate("[stored().step, stored().bits]")
    assert bits == 8
    assert (step == 1) == (part > 0.5)
    kept = -(-60 // step) * -(-80 // step) * 6
    packed = pack_all(blobs, kept)["emb"]
    assert packed.step == step
    values = np.array(browser.evaluate("[...grid().values]")).reshape(packed.data.shape)
    np.testing.assert_allclose(values.transpose(2, 0, 1), packed.values(), atol=1e-6)
    assert browser.evaluate("stepped(state.view)") == round(6 / step)


def test_it_asks_for_nothing_and_has_no_errors(opened: Browser) -> None:
    for key in "mmmmmnpc[]-+,. ":
        opened.key(key)
    assert opened.errors == []
    assert {address.partition(":")[0] for address in opened.requests} == {"file", "data"}
    assert not [address for address in opened.requests if address.startswith("file") and "page.html" not in address]


def test_the_pointer_moves_and_a_click_holds(opened: Browser) -> None:
    for panel in ("image", "distance", "embedding", "prediction", "truth"):
        for x, y in ((9, 14), (36, 40)):
            opened.mouse("mouseMoved", *_middle(opened, panel, x, y))
            assert _place(opened) == [x, y]
    opened.mouse("mouseMoved", *_middle(opened, "image", 9, 14))
    assert opened.evaluate("$('reading').textContent").startswith("Column 9, row 14: before the CRF ")
    opened.click(*_middle(opened, "image", 9, 14))
    opened.mouse("mouseMoved", *_middle(opened, "image", 20, 20))
    assert _place(opened) == [9, 14]
    assert opened.evaluate("$('reading').textContent").endswith(" Held.")
    opened.click(*_middle(opened, "image", 20, 20))
    opened.mouse("mouseMoved", *_middle(opened, "image", 25, 22))
    assert _place(opened) == [25, 22]


def test_a_second_pixel_is_compared_with_the_one_held(opened: Browser, shown: Shown) -> None:
    opened.click(*_middle(opened, "image", 9, 14))
    values = pack(shown.scenes[0].embeddings["emb"], 1 << 30).values().astype(np.float64)
    for panel, x, y, where in (("image", 12, 15, "; counts"), ("truth", 30, 2, "; outside the window")):
        opened.mouse("mouseMoved", *_middle(opened, panel, x, y))
        far = np.abs(values[:, y, x] - values[:, 14, 9]).sum()
        said = opened.evaluate("$('pair').textContent")
        assert said.startswith(f"Beside column {x}, row {y}: distance {far:.3g}, exp(")
        assert where in said
        assert float(said.partition(" = ")[2].split(";")[0]) == pytest.approx(
            np.exp(-shown.views[0].scale * far), rel=1e-2
        )
    opened.mouse("mouseMoved", *_middle(opened, "image", 9, 14))
    opened.click(*_middle(opened, "image", 9, 14))


def test_the_pointer_reads_the_mask_tap_by_tap(opened: Browser) -> None:
    opened.evaluate("moveTo(20, 20)")
    opened.drawn()
    opened.evaluate("$('mask').scrollIntoView()")
    box = opened.evaluate("(({x, y, width, height}) => [x, y, width, height])($('mask').getBoundingClientRect())")
    for down, across in ((-8, -8), (3, -2), (8, 8)):
        place = (box[0] + (across + 8.5) / 17 * box[2], box[1] + (down + 8.5) / 17 * box[3])
        opened.mouse("mouseMoved", *place)
        said = opened.evaluate("$('pair').textContent")
        assert said.startswith(f"Beside column {20 + across}, row {20 + down}: distance")
        counts = opened.evaluate(WEIGHTS)[(down + 8) * 17 + across + 8]
        assert float(said.rpartition(" counts ")[2].rstrip(".")) == pytest.approx(counts, rel=1e-2)
    opened.evaluate("moveTo(0, 0)")
    opened.drawn()
    opened.mouse("mouseMoved", box[0] + 2, box[1] + 2)
    assert "Beside" not in opened.evaluate("$('pair').textContent")


def test_keys(opened: Browser) -> None:
    opened.evaluate("moveTo(20, 20)")
    opened.key("ArrowRight")
    opened.key("ArrowDown", shift=True)
    assert _place(opened) == [21, 30]
    opened.key("+")
    opened.key(".")
    assert opened.evaluate("[state.view.kernel, state.view.dilation]") == [19, 2]
    before = opened.evaluate("state.view.scale")
    opened.key("]")
    assert opened.evaluate("state.view.scale") > before
    opened.key("[")
    opened.key("[")
    assert opened.evaluate("state.view.scale") < before
    opened.key("m")
    assert opened.evaluate("[state.chosen, state.view.kernel, $('view').value]") == [1, 3, "1"]
    opened.key("n")
    assert opened.evaluate("[state.scene, $('scene').value]") == [1, "1"]
    opened.key("c")
    assert opened.evaluate("state.wipe") == 0


def test_arrows_and_space_are_the_pages_outside_pictures(opened: Browser) -> None:
    assert opened.evaluate("document.activeElement.id") == "image"
    opened.evaluate("moveTo(20, 20)")
    opened.evaluate("$('scale').focus()")
    before = opened.evaluate("state.view.scale")
    for key in ("ArrowRight", "ArrowDown", " "):
        opened.key(key)
    assert _place(opened) == [20, 20]
    assert not opened.evaluate("state.held")
    opened.key("]")
    assert opened.evaluate("state.view.scale") > before
    opened.evaluate("$('truth').focus()")
    opened.key(" ")
    assert opened.evaluate("state.held")
    opened.key(" ")


def test_what_can_be_reached_has_a_name(opened: Browser) -> None:
    unnamed = "[...document.querySelectorAll('canvas[role], select, input, button, a, summary')].filter(one => " \
              "!(one.ariaLabel || one.textContent.trim() || one.labels?.length)).map(one => one.id)"  # fmt: skip
    assert opened.evaluate(unnamed) == []
    assert opened.evaluate("[...document.querySelectorAll('canvas:not(.swatch)')].every(one => one.ariaLabel)")
    assert opened.evaluate("[...document.querySelectorAll('[tabindex]')].length") == 5


def test_dark_and_light(opened: Browser) -> None:
    colours = "[document.body].map(it => getComputedStyle(it)).flatMap(it => [it.color, it.backgroundColor])"
    levels = {}
    try:
        for scheme in ("light", "dark"):
            opened.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            levels[scheme] = [int(one.split("(")[1].split(",")[0]) for one in opened.evaluate(colours)]
    finally:
        opened.send("Emulation.setEmulatedMedia", features=[])
    assert levels["light"][0] + 150 < levels["light"][1]
    assert levels["dark"][0] > levels["dark"][1] + 150


def test_touch(browser: Browser, shown: Shown) -> None:
    browser.resize(400, 800, mobile=True)
    try:
        browser.open(shown.path)
        browser.touch(*_middle(browser, "distance", 30, 11))
        assert _place(browser) == [30, 11]
        assert browser.evaluate("document.documentElement.scrollWidth") <= 400
        for panel in ("image", "truth"):
            browser.evaluate(f"$('{panel}').scrollIntoView({{ block: 'center' }})")
            top, bottom = browser.evaluate("(({top, bottom}) => [top, bottom])($('mask').getBoundingClientRect())")
            assert top >= 0
            assert bottom <= 800
    finally:
        browser.resize(1280, 1000)


def test_sliders_and_the_net_again(opened: Browser) -> None:
    def slide(name: str, value: Any) -> None:
        opened.evaluate(f"{{ const it = $('{name}'); it.value = '{value}'; "
                        "it.dispatchEvent(new Event(it.tagName === 'SELECT' ? 'change' : 'input')); }")  # fmt: skip

    for name, value in (("scale", 0), ("kernel", 5), ("dilation", 3), ("norm", "l2"), ("wipe", 100)):
        slide(name, value)
    opened.drawn()
    assert opened.evaluate("[state.view.scale, state.view.kernel, state.view.dilation, state.view.norm]") == [
        0,
        5,
        3,
        "l2",
    ]
    assert opened.evaluate(WEIGHTS) == [1] * 25
    opened.evaluate("$('numbers').open = true")
    opened.drawn()
    cells = opened.evaluate("[...document.querySelectorAll('#numbers td')].map(cell => cell.textContent)")
    assert cells == ["1.000"] * 25
    opened.evaluate("$('reset').click()")
    assert opened.evaluate("state.view.kernel") == 17


@pytest.mark.parametrize(
    ("scale", "kernel", "dilation", "norm"), [(123, 7, 2, "l1"), (300, 5, 3, "l2"), (40, 3, 1, "l2")]
)
def test_masks_follow_the_sliders(
    opened: Browser, shown: Shown, scale: int, kernel: int, dilation: int, norm: str
) -> None:
    for name, value in (("scale", scale), ("kernel", kernel), ("dilation", dilation), ("norm", norm)):
        opened.evaluate(f"{{ const it = $('{name}'); it.value = '{value}'; it.dispatchEvent(new Event('"
                        f"{'change' if name == 'norm' else 'input'}')); }}")  # fmt: skip
    opened.evaluate("moveTo(3, 31)")
    opened.drawn()
    values = pack(shown.scenes[0].embeddings["emb"], 1 << 30).values()[None].astype(np.float64)
    distance = local_distance(values, kernel, dilation, norm)[0, :, 31, 3]
    factor = opened.evaluate("state.view.scale")
    assert opened.evaluate("Number($('scale-value').textContent)") == pytest.approx(factor, rel=1e-3)
    np.testing.assert_allclose(opened.evaluate(WEIGHTS), np.exp(-factor * distance), rtol=1e-5, atol=1e-12)
    assert opened.evaluate("$('kernel-value').textContent").split() == [str(kernel), "\u00d7", str(kernel), "pixels"]


def test_a_link_leads_to_the_same_view(browser: Browser, shown: Shown) -> None:
    fragment = "scene=0&mask=2&x=7&y=33&scale=0.125&kernel=5&dilation=2&norm=l2&wipe=30&colours=own"
    browser.open(shown.path, fragment)
    assert browser.evaluate("$('link').hash") == f"#{fragment}"
    told = browser.evaluate(WEIGHTS)
    browser.open(shown.path, "scene=99&mask=-1&x=1e9&kernel=4&norm=l3&scale=nan")
    assert browser.evaluate("[state.scene, state.chosen, state.x, state.view.kernel, state.view.norm]") == [
        0, 0, WIDTH - 1, 5, "l1"
    ]  # fmt: skip
    assert browser.evaluate(WEIGHTS) != told
    assert browser.errors == []


def test_the_wiper_shows_the_prediction_before_the_crf(opened: Browser, shown: Shown) -> None:
    def column(x: int) -> Any:
        zoom = opened.evaluate("$('prediction').width") // WIDTH
        return opened.evaluate(f"(() => {{ const at = $('prediction').getContext('2d').getImageData({x * zoom}, 0, 1, "
                               f"{SIDE * zoom}).data; const found = []; for (let y = 0; y < {SIDE}; y++) found.push("
                               f"[...at.slice(4 * y * {zoom}, 4 * y * {zoom} + 3)]); return found; }})()")  # fmt: skip

    palette = np.array(opened.evaluate("palette()"))
    opened.evaluate("moveTo(0, 0)")
    for wipe, kind in ((100, "before"), (0, "prediction")):
        opened.evaluate(f"state.wipe = {wipe}; show()")
        opened.drawn()
        for x in (15, 30):
            np.testing.assert_array_equal(column(x), palette[shown.scenes[0].labels[kind][:, x]])
