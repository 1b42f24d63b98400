"""Statistics of batches folded into the blobs of SegNet's BN layers, for prediction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from segcaffe import device
from segcaffe.blob.proto import from_array
from segcaffe.errors import WeightsError
from segcaffe.graph.rules import filter_net, net_state
from segcaffe.layers.normalize.bn import BN
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.placed import PlacedNet


def on_training_data(net: PlacedNet) -> Net:
    """Build a net's layers of phase TRAIN in phase TEST: training's batches, nothing dropped."""
    filtered = filter_net(net, net_state(caffe_pb2.TRAIN, 0, ()))
    for layer in filtered.message.layer:
        layer.ClearField("include")
        layer.ClearField("exclude")
    return Net(filtered, phase=caffe_pb2.TEST, fuse=False)


def fold(net: Net, iterations: int, advance: Callable[[], object] = lambda: None) -> caffe_pb2.NetParameter:
    """Run batches; return the net's weights with the average statistics folded into its BN layers.

    The layers of the message say bn_mode: INFERENCE. Variances are made unbiased by the number of values that a batch
    has of each channel. ``advance`` is called after each batch. Raises WeightsError for a net without BN layers of
    bn_mode LEARN.
    """
    layers = [layer for layer in net.layer_list if isinstance(layer, BN) and layer.of_batch]
    if not layers:
        raise WeightsError("the net has no BN layer with bn_mode: LEARN, whose statistics could be folded.")
    sums = {layer.name: np.zeros((2, layer.channels)) for layer in layers}
    for _ in range(iterations):
        net.forward()
        for layer in layers:
            count = layer.layout[0] * layer.layout[2]
            mean, variance = (device.to_host(blob.array) for blob in (layer.mean, layer.variance))
            sums[layer.name] += mean, variance * count / max(count - 1, 1)
        advance()
    message = net.to_proto()
    stored = {layer.name: layer for layer in message.layer}
    for layer in layers:
        mean, variance = sums[layer.name] / iterations
        scale, shift = (blob.data.astype(np.float64) for blob in layer.blobs)
        scale = scale / np.sqrt(variance + layer.eps).reshape(scale.shape)
        values = scale, shift - scale * mean.reshape(scale.shape)
        folded = stored[layer.name]
        folded.bn_param.bn_mode = caffe_pb2.BNParameter.INFERENCE
        del folded.blobs[:]
        folded.blobs.extend(from_array(value.astype(layer.dtype)) for value in values)
    return message
