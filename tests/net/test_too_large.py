"""Nets that no memory holds: a sentence names the layer, the shape and the bytes, before anything is allocated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 dim: 8 dim: 8 } } }\n'
TOO_LARGE = {
    'type: "InnerProduct" inner_product_param { num_output: 2147483647 }': r"shape \(2147483647, 256\) takes 2\.0 TiB",
    'type: "Convolution" convolution_param { num_output: 2147483647 kernel_size: 3 }': r"\(2147483647, 4, 3, 3\) takes",
    'type: "Convolution" convolution_param { num_output: 2 kernel_size: 1048576 pad: 1048576 }': r"4, 1048576, 1048576",
    'type: "Convolution" convolution_param { num_output: 2 kernel_size: 1073741824 pad: 8 }': "kernel_size must be",
    'type: "Convolution" convolution_param { num_output: 2 kernel_size: 3 pad: 4294967295 }': "pad must be 1048576 at",
    'type: "Convolution" convolution_param { num_output: 2 kernel_size: 1 dilation: 4294967295 }': "dilation must be",
    'type: "Pooling" pooling_param { kernel_size: 2 stride: 4294967295 }': "stride must be 1048576 at most",
    'type: "Deconvolution" convolution_param { num_output: 2 kernel_size: 3 stride: 1048576 }': r"x\d+ \(\d+\.\d TiB",
    'type: "Tile" tile_param { tiles: 2147483647 }': r"1x8589934588x8x8 \(2\.0 TiB\)",
    'type: "Replicate" replicate_param { num_copies: 2147483647 }': r"\(2\.0 TiB\)",
    'type: "Interp" interp_param { height: 2147483647 width: 2147483647 }': "asked for at once|64.0 EiB|PiB",
    'type: "ResizeBilinear" resize_bilinear_param { scale_height: inf data_format: "NCHW" }': "GiB are asked for|EiB",
    'type: "SpatialPyramidPooling" spatial_pyramid_pooling_param { spatial_bin: 1048576 }': "spatial_bin must be 1 or",
    'type: "SPP" spp_param { pyramid_height: 2147483647 }': "pyramid_height, the number of levels, must be 1 or more",
    'type: "Im2col" convolution_param { kernel_size: 3 pad: 1048576 }': "TiB",
}


def _write(folder: Path, layer: str) -> Path:
    path = folder / "net.prototxt"
    path.write_text(INPUT + f'layer {{ name: "big" bottom: "x" top: "y" {layer} }}\n')
    return path


@pytest.mark.parametrize(("layer", "says"), TOO_LARGE.items(), ids=range(len(TOO_LARGE)))
def test_sizes_of_layers(layer: str, says: str, tmp_path: Path) -> None:
    path = _write(tmp_path, layer)
    with pytest.raises(SegcaffeError) as caught:
        Net(str(path), TEST).forward()
    assert str(caught.value).startswith(f'{path}:2: layer "big"')
    assert re.search(says, str(caught.value)), str(caught.value)


@pytest.mark.parametrize("extents", [[2**40, 2**40], [0, 2**40, 2**40], [2**62]])
def test_inputs_that_no_array_can_be(extents: list[int], tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    shape = " ".join(f"dim: {extent}" for extent in extents)
    path.write_text(f'layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ {shape} }} }} }}')
    with pytest.raises(SegcaffeError, match=r'layer "in" \(Input\).*blob of shape'):
        Net(str(path), TEST)


def test_a_net_that_is_too_large_can_be_looked_at(tmp_path: Path) -> None:
    net = Net(str(_write(tmp_path, 'type: "Tile" tile_param { tiles: 1000000000 }')), TEST, share_memory=True)
    assert net.blobs["y"].nbytes == 1024 * 10**9
    with pytest.raises(SegcaffeError, match=r'layer "big" \(Tile\).* tops are 1x4000000000x8x8'):
        net.forward()
    net.blobs["x"].reshape(2**60, 1, 1, 1)
    with pytest.raises(SegcaffeError, match=r'layer "big" \(Tile\).*would take'):
        net.reshape()
