"""Which masks are found in a net, and that what the page holds makes the net's own."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from segcaffe.cli.main import main
from segcaffe.errors import GraphError, ShapeError
from segcaffe.functional import local_distance
from segcaffe.net.net import Net
from segcaffe.predict.explorer import Explorer
from segcaffe.predict.net_views import embedding_blobs, mean_field_input, views_of
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.recipes import resnet, vgg16
from segcaffe.viz.explore.scene import View
from tests.predict.masked_nets import SIDE, WIDTH, explorer, scene_image, write_nets


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explorer")
    write_nets(folder)
    return folder


def test_masks_are_the_nets(folder: Path) -> None:
    net = Net(folder / "crf.prototxt", caffe_pb2.TEST)
    net.copy_from(str(folder / "crf.caffemodel"))
    looked = explorer(folder, "crf")
    scene = looked.look("scene", scene_image(folder))
    views = looked.views([scene])
    assert [view.name for view in views] == ["emb (all pixels)", "conv3", "conv4", "conv5", "crf (CRF)"]
    assert [view.embedding for view in views] == ["emb", *["emb_shrink4"] * 3, "embxy"]
    assert [view.scale for view in views[1:4]] == [pytest.approx(0.4), pytest.approx(0.2), pytest.approx(0.9)]
    assert views[0].scale == views[1].scale
    net.blobs["data"].data[...] = looked.input.data
    net.forward()
    for view in views[1:4]:
        values = scene.embeddings[view.embedding]
        mask = np.exp(-view.scale * local_distance(values[None], view.kernel, view.dilation, view.norm))
        np.testing.assert_allclose(mask, net.blobs[f"{view.name}_mask"].data, rtol=1e-5, atol=1e-6)
    assert views[4] == View("crf (CRF)", "embxy", 7, 3, 1.0, "l2", 1, True, True, views[4].about)


def test_normalized_masks_are_the_nets(folder: Path) -> None:
    looked = explorer(folder, "normalized")
    looked.net.params["conv4"][2].data[...] = 0.7
    scene = looked.look("scene", scene_image(folder))
    finest, *views = looked.views([scene])
    assert (finest.embedding, finest.norm, finest.sum_to) == ("emb", "l2", 0)
    assert [(view.name, view.norm, view.sum_to) for view in views] == [
        ("conv3", "l2", 9), ("conv4", "l2", 9), ("conv5", "l2", 9)
    ]  # fmt: skip
    assert views[1].scale == pytest.approx(0.7)
    # Where memory is shared, weights are not there any more.
    net = Net(folder / "normalized.prototxt", caffe_pb2.TEST)
    net.copy_from(str(folder / "normalized.caffemodel"))
    layer = net.layer_dict["conv4"]
    layer.blobs[2].data[...] = 0.7
    net.forward(data=looked.input.data)
    values = scene.embeddings["emb_shrink4"][None]
    mask = np.exp(-0.7 * local_distance(values, 3, 2, "l2"))
    np.testing.assert_allclose(9 * mask / mask.sum(1, keepdims=True), layer.gain * layer.weights, rtol=1e-5)


def test_predictions_before_and_after_the_crf(folder: Path) -> None:
    looked = explorer(folder, "crf")
    scene = looked.look("scene", scene_image(folder))
    assert scene.extent == (SIDE, SIDE)
    assert scene.image.shape == (SIDE, WIDTH, 3)
    assert {name: label.shape for name, label in scene.labels.items()} == {
        "prediction": (SIDE, WIDTH), "before": (SIDE, WIDTH)
    }  # fmt: skip
    without = explorer(folder, "masked")
    for name in ("emb", "conv3", "conv4", "conv5", "score", "emb1", "emb2", "emb3", "conv1", "conv2"):
        for mine, theirs in zip(without.net.params[name], looked.net.params[name], strict=True):
            mine.data[...] = theirs.data
    for name in ("conv3", "conv4", "conv5"):
        without.net.params[f"{name}_sharpness"][0].data[...] = looked.net.params[f"{name}_sharpness"][0].data
    plain = without.look("scene", scene_image(folder))
    assert "before" not in plain.labels
    # Resized by 2 and by 2, or by 4 at once.
    assert (plain.labels["prediction"] == scene.labels["before"]).mean() > 0.97


def test_a_net_of_embeddings_alone_has_no_prediction(folder: Path) -> None:
    looked = explorer(folder, "embs", embeddings="emb")
    scene = looked.look("scene", scene_image(folder), np.zeros((SIDE, WIDTH), np.uint8))
    assert set(scene.labels) == {"truth"}
    (view,) = looked.views([scene])
    values = scene.embeddings["emb"]
    apart = np.abs(values[:, :, 5:] - values[:, :, :-5]).sum(0).mean()
    assert (view.embedding, view.norm) == ("emb", "l1")
    assert view.scale == pytest.approx(1 / apart)


def test_what_cannot_be_looked_at(folder: Path) -> None:
    with pytest.raises(GraphError, match=r"compares no embeddings.*--embeddings"):
        explorer(folder, "plain")
    with pytest.raises(GraphError, match='no blob "nothing"'):
        explorer(folder, "masked", embeddings="nothing")
    looked = explorer(folder, "embs", embeddings="emb")
    looked.net.params["emb"][1].data[0] = np.nan
    with pytest.raises(GraphError, match='"emb" must be finite'):
        looked.look("scene", scene_image(folder))


def test_an_image_larger_than_a_layer_that_states_its_size(folder: Path) -> None:
    looked, image = explorer(folder, "crf"), scene_image(folder)
    expected = looked.scores(image)
    with pytest.raises(ShapeError, match=r"from images of 41 x 41 to 105 x 41 .* \(Concat\).*up to 41 x 41") as raised:
        looked.scores(np.concatenate([image, image]))
    assert raised.value.layer == "embxy"
    np.testing.assert_array_equal(looked.scores(image), expected)


def test_more_classes_than_a_page_has_colours_for(folder: Path, tmp_path: Path) -> None:
    text = (folder / "masked.prototxt").read_text().replace("num_output: 3 ", "num_output: 256 ")
    (tmp_path / "many.prototxt").write_text(text)
    looked = Explorer(tmp_path / "many.prototxt", [folder / "embs.caffemodel"], allow_partial=True)
    with pytest.raises(GraphError, match=r'up to 255 classes\. Received: scores "scores" of 256'):
        looked.look("scene", scene_image(folder))


class Parameter(NamedTuple):
    """A blob, as far as views look at it."""

    data: np.ndarray


def test_the_papers_nets() -> None:
    nets = [parse(text, caffe_pb2.NetParameter()) for text in (
        vgg16.deploy(33, 33, 21, "voc"), resnet.deploy(resnet.Size(33, 33, 17, 17), 21, "voc")
    )]  # fmt: skip
    weights = [{one.name: [Parameter(np.full((), 0.05))] for one in net.layer if one.type == "Scale"} for net in nets]
    views, resnet_views = (views_of(net, of) for net, of in zip(nets, weights, strict=True))
    convolutions = {one.name for one in nets[0].layer if one.convolution_param.bottom_is_im2col}
    assert len(convolutions) == 14
    assert {view.name for view in views} == convolutions
    assert {(view.norm, view.scale) for view in views} == {("l1", 0.05)}
    assert embedding_blobs(nets[0])[0] == "emb"
    assert {view.kernel: view.sum_to for view in resnet_views} == {13: 1, 9: 0}
    assert mean_field_input(nets[1]) == "unary"


def test_other_layers_between_are_followed_or_left_alone() -> None:
    text = """
    layer { name: "d" type: "Im2dist" bottom: "e" top: "d" convolution_param { kernel_size: 5 pad: 4 dilation: 2 } }
    layer { name: "p" type: "Power" bottom: "d" top: "p" power_param { scale: 3 } }
    layer { name: "x" type: "Exp" bottom: "p" top: "x" exp_param { scale: -0.5 } }
    layer { name: "q" type: "Power" bottom: "d" top: "q" power_param { power: 2 } }
    layer { name: "y" type: "Exp" bottom: "q" top: "y" exp_param { scale: -1 } }
    layer { name: "half" type: "Im2dist" bottom: "e" top: "half" convolution_param { kernel_size: 3 pad: 1 stride: 2 } }
    layer { name: "z" type: "Exp" bottom: "half" top: "z" exp_param { scale: -1 } }
    """
    message = parse(text, caffe_pb2.NetParameter())
    (view,) = views_of(message, {})
    assert (view.name, view.kernel, view.dilation, view.scale, view.norm) == ("x", 5, 2, 1.5, "l2")
    assert mean_field_input(message) == ""


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    line = ["explore", "crf.prototxt", "crf.caffemodel", "scene.png"]
    assert main([*line, "--labels", "labels", "--out", "new/page.html", "--title", "A & B"]) == 0
    assert capsys.readouterr().out.startswith("new/page.html: 1 image, 0.")
    assert "<title>A &amp; B</title>" in Path("new/page.html").read_text()
    for words, says in (
        (["--out", "page.png"], "--out names a file .html"),
        (["--out", "page.html", "--megabytes", "0"], "--megabytes must be at least 0.2"),
        (["--out", "page.html", "--labels", "new"], "has no label map scene.png"),
        (["--out", "page.html", "--embeddings", "data2"], 'no blob "data2"'),
    ):
        assert main([*line, *words]) == 2
        assert says in " ".join(capsys.readouterr().err.split())
    assert not Path("page.html").exists()
    net = Path("own.html")
    net.write_bytes(Path("crf.prototxt").read_bytes())
    assert main(["explore", str(net), "", "scene.png", "--out", "./own.html"]) == 2
    assert "own.html is one of the files that are read" in " ".join(capsys.readouterr().err.split())
    assert net.read_bytes() == Path("crf.prototxt").read_bytes()
    assert main(["explore", "crf.prototxt", "", "scene.png", "--out", "page.html"]) == 0
    assert "begin with random or zero values" in " ".join(capsys.readouterr().err.split())
