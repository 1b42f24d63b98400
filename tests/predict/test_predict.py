"""Prediction: padded, cropped back, averaged; files written once."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe.blob.proto import from_array
from segcaffe.data.files import BadItems
from segcaffe.data.label_files import read_labels
from segcaffe.data.mat import read_mat
from segcaffe.errors import DataError, GraphError, PrototxtError
from segcaffe.net.net import Net
from segcaffe.predict.deploy import deploy
from segcaffe.predict.files import Results, class_names
from segcaffe.predict.loaded import MEAN, Settings
from segcaffe.predict.notes import parse_notes
from segcaffe.predict.pictures import find_pictures
from segcaffe.predict.predictor import Predictor, resize_scores
from segcaffe.predict.result_folder import SETTINGS
from segcaffe.predict.run import predict_all
from segcaffe.proto import caffe_pb2
from segcaffe.proto.placed import PlacedNet
from segcaffe.proto.text import parse, read_net

# Scores: a product of the pixel, then 3 x 3 neighbourhoods, so that padding matters at the borders.
BODY = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 STRIDE weight_filler { type: "gaussian" std: 0.1 } } }
"""
DEPLOY = 'input: "data" input_shape { dim: 1 dim: 3 dim: 17 dim: 17 }' + BODY
TRAIN_TEST = (
    """
layer { name: "data" type: "ImageSegData" top: "data" top: "label" top: "size" include { phase: TEST }
  transform_param { crop_size: 17 scale: 0.5 mean_value: 1 mean_value: 2 mean_value: 3 }
  image_data_param { source: "absent.txt" label_type: PIXEL } }
layer { name: "data" type: "ImageSegData" top: "data" top: "label" include { phase: TRAIN }
  image_data_param { source: "absent.txt" label_type: PIXEL } }
"""
    + BODY
    + """
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "conv" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "conv" bottom: "label" top: "accuracy" }
layer { name: "write" type: "MatWrite" bottom: "conv" mat_write_param { prefix: "never/" } }
layer { name: "silence" type: "Silence" bottom: "label" bottom: "size" }
"""
)


def write_net(folder: Path, text: str, stride: int = 1) -> Path:
    path = folder / "net.prototxt"
    path.write_text(text.replace("STRIDE", f"stride: {stride}"))
    return path


def make(folder: Path, text: str = DEPLOY, stride: int = 1, **settings: object) -> Predictor:
    predictor = Predictor(write_net(folder, text, stride), [], Settings(**settings))  # type: ignore[arg-type]
    weights = predictor.net.params["conv"][0].data
    weights[...] = np.random.default_rng(0).normal(size=weights.shape)
    return predictor


def image(height: int, width: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8)


def reference(predictor: Predictor, values: np.ndarray, height: int, width: int) -> np.ndarray:  # type: ignore[type-arg]
    """Scores of an image (H, W, 3), mean subtracted, padded by zeros to a size, by plain loops over the window."""
    padded = np.zeros((height + 2, width + 2, 3), np.float32)
    padded[1 : 1 + values.shape[0], 1 : 1 + values.shape[1]] = values
    weights, bias = (blob.data for blob in predictor.net.params["conv"])
    windows = [padded[i : i + height, j : j + width] @ weights[:, :, i, j].T for i in range(3) for j in range(3)]
    return (sum(windows) + bias).transpose(2, 0, 1)[:, : values.shape[0], : values.shape[1]]


@pytest.mark.parametrize("size", [(17, 17), (9, 14), (18, 40), (60, 5)])
def test_padded_and_cropped_back(size: tuple[int, int], tmp_path: Path) -> None:
    predictor, pixels = make(tmp_path), image(*size)
    expected = reference(
        predictor, pixels - np.float32(MEAN), *(17 if n <= 17 else 17 + 32 * -(-(n - 17) // 32) for n in size)
    )
    np.testing.assert_allclose(predictor.scores(pixels), expected, rtol=1e-4, atol=1e-2)


def test_coarse_scores_are_resized_with_aligned_corners(tmp_path: Path) -> None:
    predictor = make(tmp_path, stride=2)
    scores = predictor.scores(image(17, 13))
    coarse = predictor.net.blobs["conv"].data[0]
    assert coarse.shape == (4, 9, 9)
    np.testing.assert_allclose(scores[:, ::2, ::2], coarse[:, :, :7], rtol=1e-5)
    np.testing.assert_allclose(scores[:, 1::2, ::2], (coarse[:, :-1, :7] + coarse[:, 1:, :7]) / 2, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(("height", "width"), [(33, 33), (7, 20), (5, 1), (9, 9)])
def test_resizing_is_that_of_interp(height: int, width: int) -> None:
    scores = np.random.default_rng(0).normal(size=(3, 9, 11)).astype(np.float32)
    text = f"""input: "data" input_shape {{ dim: 1 dim: 3 dim: 9 dim: 11 }}
    layer {{ name: "i" type: "Interp" bottom: "data" top: "i" interp_param {{ height: {height} width: {width} }} }}"""
    net = Net(parse(text, caffe_pb2.NetParameter()), caffe_pb2.TEST)
    expected = net.forward(data=scores[None])["i"][0]
    np.testing.assert_allclose(resize_scores(scores, height, width), expected, atol=1e-5)


def test_scales_and_mirroring_are_averaged(tmp_path: Path) -> None:
    predictor, pixels = make(tmp_path, scales=(1.0, 0.5), mirror=True), image(17, 16)
    values = pixels - np.float32(MEAN)
    small = cv2.resize(pixels, (8, 8)) - np.float32(MEAN)
    runs = []
    for part in (values, small):
        runs.append(resize_scores(reference(predictor, part, 17, 17), 17, 16))
        runs.append(resize_scores(reference(predictor, part[:, ::-1], 17, 17)[:, :, ::-1], 17, 16))
    np.testing.assert_allclose(predictor.scores(pixels), np.mean(runs, axis=0), rtol=1e-4, atol=1e-2)


def test_a_train_and_test_file_becomes_ready_for_images(tmp_path: Path) -> None:
    predictor, pixels = make(tmp_path, TRAIN_TEST), image(10, 12)
    assert [layer.type for layer in predictor.net.layers] == ["Input", "Convolution", "Silence"]
    expected = reference(predictor, (pixels - np.float32((1, 2, 3))) * np.float32(0.5), 17, 17)
    np.testing.assert_allclose(predictor.scores(pixels), expected, rtol=1e-4, atol=1e-2)
    assert predictor.net.blobs["size"].data.ravel().tolist() == [10, 12]


def test_a_net_without_a_place_for_images() -> None:
    text = 'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 1 } } }'
    with pytest.raises(GraphError, match="no place for an image"):
        deploy(PlacedNet.of(parse(text, caffe_pb2.NetParameter())))


def test_layers_stand_where_they_do_in_the_file(tmp_path: Path) -> None:
    ready = deploy(read_net(write_net(tmp_path, TRAIN_TEST))).net
    assert [layer.name for layer in ready.message.layer] == ["data", "conv", "silence"]
    assert [place and place.line for place in ready.places] == [2, 8, 14]


def test_which_blob(tmp_path: Path) -> None:
    two = DEPLOY + BODY.replace('"conv"', '"other"')
    with pytest.raises(GraphError, match=r"--blob.*conv, other"):
        make(tmp_path, two)
    assert make(tmp_path, two, blob="other").blob == "other"
    with pytest.raises(GraphError, match='no blob "x"'):
        make(tmp_path, blob="x")


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"mean": (1.0, 2.0)}, "one mean value, or 3"), ({"scales": (0.0,)}, "positive"), ({"step": 0}, "at least 1")],
)
def test_settings_that_cannot_be(settings: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        make(tmp_path, **settings)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a.png", "b.jpg", "c.png"):
        cv2.imwrite(str(folder / name), image(12, 14))
    (folder / "notes.md").write_text("no image")
    return folder


def test_files(pictures: Path, tmp_path: Path) -> None:
    predictor, out = make(tmp_path), tmp_path / "out"
    found = find_pictures(str(pictures))
    assert [picture.id for picture in found] == ["a", "b", "c"]
    assert predict_all(predictor, found, Results(out, {}, overlay=True, scores="npy")) == 3
    scores = np.load(out / "scores" / "a.npy")
    np.testing.assert_array_equal(scores, predictor.scores(cv2.imread(str(pictures / "a.png"))))
    np.testing.assert_array_equal(read_labels(out / "a.png", "t"), scores.argmax(axis=0))
    assert cv2.imread(str(out / "overlay" / "a.jpg")).shape == (12, 14, 3)
    predict_all(predictor, found, Results(out, {}, scores="mat"))
    np.testing.assert_array_equal(read_mat(out / "scores" / "a.mat", "t")[0], scores)


@pytest.mark.parametrize("name", ["a.png", "overlay/a.jpg", "scores/a.npy"])
def test_a_link_among_the_results_is_not_followed(name: str, pictures: Path, tmp_path: Path) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    (out / name).parent.mkdir(parents=True)
    (out / name).symlink_to(outside)
    results = Results(out, {}, overlay=True, scores="npy", overwrite=True)
    with pytest.raises(DataError, match="through links"):
        predict_all(make(tmp_path), find_pictures(str(pictures)), results)
    assert not outside.exists()


def test_the_folders_of_results_may_be_links(pictures: Path, tmp_path: Path) -> None:
    out, large = tmp_path / "out", tmp_path / "large"
    large.mkdir()
    out.mkdir()
    (out / "scores").symlink_to(large)
    assert predict_all(make(tmp_path), find_pictures(str(pictures)), Results(out, {}, scores="npy")) == 3
    assert (large / "a.npy").is_file()


def test_goes_on_where_it_stopped(pictures: Path, tmp_path: Path) -> None:
    predictor, out = make(tmp_path), tmp_path / "out"
    found = find_pictures(str(pictures))
    good = (pictures / "b.jpg").read_bytes()
    (pictures / "b.jpg").write_bytes(good[:200])
    with pytest.raises(DataError, match=r"b\.jpg"):
        predict_all(predictor, found, Results(out, {"net": 1}))
    assert (out / "a.png").exists()
    before = (out / "a.png").stat().st_mtime_ns
    bad = BadItems(1)
    assert predict_all(predictor, found, Results(out, {"net": 1}), bad) == 1
    (pictures / "b.jpg").write_bytes(good)
    assert predict_all(predictor, found, Results(out, {"net": 1})) == 1
    assert (out / "a.png").stat().st_mtime_ns == before
    with pytest.raises(DataError, match=r"other settings \(net\).*--overwrite"):
        Results(out, {"net": 2})
    assert len(Results(out, {"net": 2}, overwrite=True).missing(found)) == 3


@pytest.mark.parametrize("content", ["[]", "1", "null", "{", "[" * 100_000, '{"class_names": 3}'])
def test_a_record_of_other_types(tmp_path: Path, content: str) -> None:
    Results(tmp_path, {"net": 1})
    (tmp_path / SETTINGS).write_text(content)
    assert class_names(tmp_path) == []
    with pytest.raises(DataError, match="--overwrite"):
        Results(tmp_path, {"net": 1})


def test_images_of_one_name(pictures: Path) -> None:
    cv2.imwrite(str(pictures / "a.bmp"), image(3, 3))
    with pytest.raises(DataError, match=r"a\.bmp.*a\.png.*both"):
        find_pictures(str(pictures))


def test_a_list_and_a_file(pictures: Path) -> None:
    (pictures / "list.txt").write_text("/a.png /x.png\n/b.jpg /y.png\n")
    found = find_pictures(f"{pictures}/list.txt", str(pictures))
    assert [picture.path for picture in found] == [f"{pictures}/a.png", f"{pictures}/b.jpg"]
    assert [picture.id for picture in find_pictures(f"{pictures}/c.png")] == ["c"]
    (pictures / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        find_pictures(f"{pictures}/empty")


GRAY = """
layer { name: "data" type: "SOURCE" top: "data" top: "label" OPTIONS }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: AVE kernel_size: 1 } }
layer { name: "conv" type: "Convolution" bottom: "pool" top: "conv" convolution_param { num_output: 2 kernel_size: 1 } }
"""


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("MemoryData", "memory_data_param { batch_size: 4 channels: 1 height: 20 width: 30 }"),
        ("Data", 'data_param { source: "absent" batch_size: 2 } transform_param { scale: 0.5 mean_value: 9 }'),
        ("Data", 'data_param { source: "absent" batch_size: 2 } transform_param { force_gray: true crop_size: 20 }'),
        ("HDF5Data", 'hdf5_data_param { source: "absent" batch_size: 2 }'),
        ("ImageData", 'image_data_param { source: "absent" is_color: false }'),
    ],
)
def test_nets_of_one_channel_get_gray_images(source: str, options: str, tmp_path: Path) -> None:
    """The channels are those that the data layer states, or else those of the first convolution's weights."""
    stored = caffe_pb2.NetParameter()
    stored.layer.add(name="conv").blobs.extend(
        [from_array(np.array([1, -1], np.float32).reshape(2, 1, 1, 1)), from_array(np.zeros(2, np.float32))]
    )
    (tmp_path / "w.caffemodel").write_bytes(stored.SerializeToString())
    path = write_net(tmp_path, GRAY.replace("SOURCE", source).replace("OPTIONS", options))
    predictor = Predictor(path, [tmp_path / "w.caffemodel"])
    assert not predictor.color
    assert not predictor.assumed
    gray = image(6, 7)[:, :, :1]
    mean, scale = (9, 0.5) if "mean_value" in options else (0, 1)
    np.testing.assert_allclose(predictor.scores(gray)[0], (gray[:, :, 0] - np.float32(mean)) * scale, rtol=1e-5)
    if source == "MemoryData":
        assert predictor.size == (20, 30)


STATED = """# segcaffe.channel_order: RGB
# segcaffe.class_names: ${NAMES}
#   segcaffe.palette: 1 2 3, 4 5 6,7 8 9,10 11 12
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 17 dim: 17 } }
  transform_param { mean_value: 1 mean_value: 2 mean_value: 3 scale: 0.25 } }
"""


def test_a_deploy_file_says_how_images_are_prepared(pictures: Path, tmp_path: Path) -> None:
    path = write_net(tmp_path, STATED + BODY)
    predictor = Predictor(path, [], Settings(), {"NAMES": "a, b, c, d"})
    weights = predictor.net.params["conv"][0].data
    weights[...] = np.random.default_rng(0).normal(size=weights.shape)
    pixels = image(17, 17)
    expected = reference(predictor, (pixels[:, :, ::-1] - np.float32((1, 2, 3))) * np.float32(0.25), 17, 17)
    np.testing.assert_allclose(predictor.scores(pixels), expected, rtol=1e-4, atol=1e-3)
    assert predictor.notes.class_names == ("a", "b", "c", "d")
    out = Results(
        tmp_path / "out", {"class_names": list(predictor.notes.class_names)}, colours=predictor.notes.colours()
    )
    predict_all(predictor, find_pictures(str(pictures)), out)
    labels = read_labels(tmp_path / "out" / "a.png", "t")
    colours = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]])
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out" / "a.png"))[:, :, ::-1], colours[labels])
    assert class_names(tmp_path / "out") == ["a", "b", "c", "d"]


def test_settings_overrule_what_a_file_says(tmp_path: Path) -> None:
    predictor = Predictor(write_net(tmp_path, STATED + BODY), [], Settings(mean=(5.0,), scale=2.0))
    assert (predictor.mean.tolist(), float(predictor.scale)) == ([5.0], 2.0)
    # A template without a value leaves the names open.
    assert predictor.notes.class_names == ()


def test_a_mean_file_is_its_mean_pixel(tmp_path: Path) -> None:
    np.save(tmp_path / "mean.npy", np.arange(12, dtype=np.float32).reshape(3, 2, 2))
    text = STATED.replace("mean_value: 1 mean_value: 2 mean_value: 3", f'mean_file: "{tmp_path}/mean.npy"')
    predictor = Predictor(write_net(tmp_path, text + BODY), [])
    assert predictor.mean.tolist() == [1.5, 5.5, 9.5]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("# segcaffe.colour: x", "net:3: # segcaffe.colour: is none of the names there are: channel_order"),
        ("# segcaffe.channel_order: GBR", "is BGR or RGB. Received: GBR"),
        ("# segcaffe.class_names: a,,b", "is names separated by commas. Received: a,,b"),
        ("# segcaffe.palette: 1 2, 3", "at most 256 colours R G B"),
        ("# segcaffe.palette: 1 2 300", "at most 256 colours R G B"),
    ],
)
def test_comments_that_cannot_be(line: str, told: str) -> None:
    with pytest.raises(PrototxtError) as caught:
        parse_notes(f'# a net\nname: "n"\n{line}\n', None, "net")
    assert told in str(caught.value)


def test_known_data_sets_have_names() -> None:
    notes = parse_notes("# segcaffe.class_names: ${DATASET}\n# segcaffe.palette: voc", {"DATASET": "voc12"})
    assert len(notes.class_names) == 21
    assert notes.palette is None
    notes = parse_notes("# segcaffe.class_names: cityscapes\n# segcaffe.palette: cityscapes")
    assert (len(notes.class_names), notes.colours()[0].tolist()) == (19, [128, 64, 128])
    assert parse_notes("# segcaffe.class_names: ${DATASET}", {"DATASET": "mine"}).class_names == ()
