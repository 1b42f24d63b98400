"""Images with boxes: what is cut out, resized and changed, and where the boxes lie then."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.data.annotated import policies, sampling
from segcaffe.data.annotated.boxed import Boxed, BoxRows, read_boxed
from segcaffe.errors import DataError
from segcaffe.proto import caffe_pb2
from segcaffe.proto.caffe_pb2 import BatchSampler, EmitConstraint, ResizeParameter, SampleConstraint
from segcaffe.proto.text import parse

FACTS = np.array([[1, 0, 0], [2, 5, 1]])


def boxed(height: int = 40, width: int = 80) -> Boxed:
    """A black image with a blue and a green box, both on whole pixels."""
    image = np.zeros((height, width, 3), np.uint8)
    image[8:24, 16:40, 0] = 200
    image[20:40, 40:72, 1] = 200
    return Boxed(image, FACTS, np.array([[16, 8, 40, 24], [40, 20, 72, 40]]) / [width, height, width, height])


def seen(picture: Boxed, channel: int) -> np.ndarray:
    """The box of the pixels that are mostly of that colour, in parts of the image."""
    rows, columns = np.nonzero(picture.image[:, :, channel] > 100)
    height, width = picture.image.shape[:2]
    return np.array(
        [columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height]
    )


def message(**more: object) -> caffe_pb2.AnnotatedDatum:
    values = np.arange(3 * 4 * 5, dtype=np.uint8)
    datum = caffe_pb2.Datum(channels=3, height=4, width=5, data=values.tobytes())
    found = caffe_pb2.AnnotatedDatum(datum=datum, type=caffe_pb2.AnnotatedDatum.BBOX, **more)
    for label, instance, difficult in FACTS.tolist():
        box = caffe_pb2.NormalizedBBox(xmin=0.1, ymin=0.2, xmax=0.5, ymax=0.9, difficult=bool(difficult))
        found.annotation_group.add(group_label=label).annotation.add(instance_id=instance).bbox.CopyFrom(box)
    return found


def test_reading() -> None:
    found = read_boxed(message().SerializeToString(), None, "layer")
    np.testing.assert_array_equal(found.image, np.arange(60).reshape(3, 4, 5).transpose(1, 2, 0))
    np.testing.assert_array_equal(found.facts, FACTS)
    np.testing.assert_allclose(found.boxes, [[0.1, 0.2, 0.5, 0.9]] * 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff\xff", "is not an AnnotatedDatum"),
        (b"", "must hold a datum"),
        (caffe_pb2.Datum(channels=1, height=1, width=1, data=b"1").SerializeToString(), "AnnotatedDatum"),
    ],
)
def test_what_is_no_annotated_datum(content: bytes, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read_boxed(content, None, "layer")


def test_corners_that_are_no_numbers() -> None:
    bad = message()
    bad.annotation_group[0].annotation[0].bbox.xmin = float("nan")
    with pytest.raises(DataError, match="corners of a box must be numbers"):
        read_boxed(bad.SerializeToString(), None, "layer")


def test_rows_of_a_batch() -> None:
    one, two = (BoxRows(FACTS, boxed().boxes, np.float32) for _ in range(2))
    none = BoxRows(FACTS[:0], boxed().boxes[:0], np.float32)
    joined = BoxRows.join([none, one, two])
    assert joined.shape == (1, 1, 4, 8)
    np.testing.assert_allclose(joined[0, 0, :, 0], [1, 1, 2, 2])
    np.testing.assert_allclose(joined[0, 0, 1], [1, 2, 5, 0.5, 0.5, 0.9, 1, 1])
    assert BoxRows.join([none, none]).tolist() == [[[[-1.0] * 8]]]


@pytest.mark.parametrize("mode", ["WARP", "FIT_SMALL_SIZE", "FIT_LARGE_SIZE_AND_PAD"])
@pytest.mark.parametrize("size", [(60, 60), (40, 160), (90, 50)])
def test_boxes_go_along_with_the_size(mode: str, size: tuple[int, int]) -> None:
    policy = parse(f"resize_mode: {mode} height: {size[0]} width: {size[1]} pad_value: 60", ResizeParameter())
    made = policies.resize(boxed(), policy, np.random.default_rng(0), "layer")
    height, width = made.image.shape[:2]
    assert (height, width) == size or mode == "FIT_SMALL_SIZE"
    assert height >= size[0]
    assert width >= size[1]
    if mode != "WARP":
        # The boxes keep their shapes.
        box = made.boxes[0] * (width, height, width, height)
        assert (box[2] - box[0]) / (box[3] - box[1]) == pytest.approx(24 / 16, rel=0.05)
    for channel, box in enumerate(made.boxes):
        np.testing.assert_allclose(seen(made, channel), box, atol=2.5 / min(height, width))


def test_a_frame_and_a_part() -> None:
    random = np.random.default_rng(3)
    policy = caffe_pb2.ExpansionParameter(max_expand_ratio=3)
    framed = policies.expand(boxed(), policy, np.array([10.0, 20, 30]), random)
    assert framed.image.shape[0] > 40
    assert framed.image[0, 0].tolist() == [10, 20, 30]
    np.testing.assert_allclose(seen(framed, 0), framed.boxes[0], atol=1e-9)
    never = caffe_pb2.ExpansionParameter(max_expand_ratio=3, prob=0)
    assert policies.expand(boxed(), never, None, random).image.shape == (40, 80, 3)
    part = boxed().part(boxed().image[10:30, 20:60], np.array([0.25, 0.25, 0.75, 0.75]))
    np.testing.assert_allclose(part.boxes[0], [0, 0, 0.5, 0.7])
    beyond = boxed().part(boxed().image[:8], np.array([0, 0, 1, 0.2]))
    assert not len(beyond.boxes)


def test_sampled_parts_meet_their_constraint() -> None:
    text = """sampler { min_scale: 0.3 max_scale: 0.9 min_aspect_ratio: 0.5 max_aspect_ratio: 2 }
              sample_constraint { min_jaccard_overlap: 0.3 } max_sample: 2 max_trials: 200"""
    batch_sampler = parse(text, BatchSampler())
    picture = boxed(400, 800)
    whole = Boxed(np.zeros((400, 800, 3), np.uint8), FACTS, picture.boxes * (10, 10, 10, 10))
    sizes = set()
    for seed in range(20):
        made = sampling.sample(whole, [batch_sampler], np.random.default_rng(seed))
        sizes.add(made.image.shape[:2])
        assert len(made.boxes)
        share = made.image.shape[0] * made.image.shape[1] / (400 * 800)
        assert 0.08 < share < 0.82
    assert len(sizes) > 15
    nothing = BatchSampler(sample_constraint=SampleConstraint(min_jaccard_overlap=2.0))
    assert sampling.sample(whole, [nothing], np.random.default_rng(0)) is whole


def test_constraints() -> None:
    part, boxes = np.array([0, 0, 0.5, 0.5]), np.array([[0.25, 0.25, 0.75, 0.5], [0.9, 0.9, 1, 1]])
    shares = {"jaccard_overlap": 0.0625 / 0.3125, "sample_coverage": 0.25, "object_coverage": 0.5}
    for name, share in shares.items():
        for low, high, expected in ((share - 0.01, None, True), (share + 0.01, None, False), (None, 1.0, True)):
            given = {f"min_{name}": low, f"max_{name}": high}
            constraint = SampleConstraint(**{key: value for key, value in given.items() if value is not None})
            assert sampling.meets(part, boxes, constraint) == expected, (name, low, high)
    assert sampling.meets(part, boxes[:0], SampleConstraint())
    assert not sampling.meets(part, boxes[:0], SampleConstraint(min_jaccard_overlap=0.0))


def test_what_a_crop_emits() -> None:
    crop = np.array([0, 0, 0.5, 0.5])
    boxes = np.array([[0.3, 0.3, 0.6, 0.6], [0.3, 0.3, 0.9, 0.9], [0.1, 0.1, 0.2, 0.2]])
    assert sampling.emitted(boxes, crop, EmitConstraint()).tolist() == [True, False, True]
    enough = EmitConstraint(emit_type=EmitConstraint.MIN_OVERLAP, emit_overlap=0.5)
    assert sampling.emitted(boxes, crop, enough).tolist() == [False, False, True]


@pytest.mark.parametrize(
    "bad", ["min_scale: 0", "max_scale: 1.5", "min_scale: 0.9 max_scale: 0.5", "min_aspect_ratio: 2"]
)
def test_samplers_that_cannot_be(bad: str) -> None:
    sampler = parse(f"sampler {{ {bad} }}", BatchSampler())
    with pytest.raises(DataError, match="batch_sampler 0 needs 0 < min_"):
        sampling.check_samplers([sampler], "layer")


def test_colours() -> None:
    image = boxed().image
    image[25, 50] = 128
    random = np.random.default_rng(0)
    still = policies.distort(image, caffe_pb2.DistortionParameter(), random)
    np.testing.assert_array_equal(still, image)
    brighter = caffe_pb2.DistortionParameter(brightness_prob=1, brightness_delta=32)
    values = {int(policies.distort(image, brighter, random)[25, 50, 0]) for _ in range(50)}
    assert min(values) >= 96
    assert max(values) <= 160
    assert len(values) > 20
    contrast = caffe_pb2.DistortionParameter(contrast_prob=1, contrast_lower=0.5, contrast_upper=0.5)
    assert policies.distort(image, contrast, random)[25, 50].tolist() == [64] * 3
    red = np.full((4, 4, 3), (20, 40, 200), np.uint8)
    gray = caffe_pb2.DistortionParameter(saturation_prob=1, saturation_lower=0, saturation_upper=0)
    assert np.ptp(policies.distort(red, gray, random)) == 0
    turned = caffe_pb2.DistortionParameter(hue_prob=1, hue_delta=36)
    assert any(not np.array_equal(policies.distort(red, turned, random), red) for _ in range(5))
    swapped = caffe_pb2.DistortionParameter(random_order_prob=1)
    assert sorted(policies.distort(red, swapped, random)[0, 0].tolist()) == [20, 40, 200]


def test_noise() -> None:
    image, random = boxed().image, np.random.default_rng(0)

    def made(text: str) -> np.ndarray:
        return policies.noise(image, parse(text, caffe_pb2.NoiseParameter()), random, "layer")

    np.testing.assert_array_equal(made(""), image)
    np.testing.assert_array_equal(made("inverse: true"), 255 - image)
    assert set(np.unique(made("posterize: true"))) <= {32, 96, 160, 224}
    for text in ("hist_eq: true", "clahe: true", "gauss_blur: true", "erode: true", "jpeg: 30", "convert_to_hsv: true"):
        assert made(text).shape == image.shape
        assert not np.array_equal(made(text), image), text
    salted = made("saltpepper: true saltpepper_param { fraction: 0.5 value: 7 }")
    assert 0.2 < (salted == 7).all(axis=2).mean() < 0.5
    with pytest.raises(DataError, match="one for each of the 3 channels"):
        made("saltpepper: true saltpepper_param { fraction: 0.5 value: 7 value: 8 }")
