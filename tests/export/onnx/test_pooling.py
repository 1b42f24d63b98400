"""Windows that hang over, hold padding alone, or begin beyond the image: sizes, means and places are Caffe's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from segcaffe.errors import ShapeError
from segcaffe.export.source import build_source
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from tests.export.onnx.running import check, model_of

NET = """
layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 2 dim: {side} dim: 5 }} }} }}
layer {{ name: "pool" type: "Pooling" bottom: "x" top: "y" {more} pooling_param {{ kernel_size: {kernel} {options} }} }}
"""
FORMS = {
    "max": ("pool: MAX", ""),
    "places": ("pool: MAX", 'top: "places"'),
    "places_dilated": ("pool: MAX dilation: 2", 'top: "places"'),
    "mean": ("pool: AVE", ""),
    "mean_of_pixels": ("pool: AVE avg_include_pad: false", ""),
    "mean_dilated": ("pool: AVE dilation: 2", ""),
    "rounded_down": ("pool: AVE ceil_mode: false", ""),
}


@pytest.mark.parametrize("form", FORMS)
def test_sizes_strides_and_paddings(form: str) -> None:
    options, more = FORMS[form]
    tried = 0
    for side, kernel, stride, pad in itertools.product((1, 4, 7), (1, 2, 3), (1, 2, 4), (0, 1, 2)):
        sizes = f"{options} stride: {stride} pad: {pad}"
        text = NET.format(side=side, kernel=kernel, options=sizes, more=more)
        try:
            source = build_source(parse(text, caffe_pb2.NetParameter()))
        except ShapeError:
            continue
        tried += 1
        values = np.random.default_rng(tried).standard_normal((2, 2, side, 5)).astype(np.float32)
        check(source.net, model_of(source, batch="fixed"), {"x": values})
    assert tried > 30
