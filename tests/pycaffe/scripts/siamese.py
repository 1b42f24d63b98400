"""A siamese net: two towers that share parameters by name, and a contrastive loss."""

import caffe
import numpy as np
from caffe import layers as L


def tower(n, bottom, suffix):
    shared = lambda name: [dict(name=name + "_w", lr_mult=1), dict(name=name + "_b", lr_mult=2)]
    conv = L.Convolution(bottom, kernel_size=3, num_output=4, param=shared("conv"), weight_filler=dict(type="xavier"))
    n["conv" + suffix] = conv
    n["relu" + suffix] = L.ReLU(conv, in_place=True)
    n["feat" + suffix] = L.InnerProduct(n["relu" + suffix], num_output=2, param=shared("feat"),
                                        weight_filler=dict(type="xavier"))
    return n["feat" + suffix]


n = caffe.NetSpec()
n.pair_data, n.sim = L.Input(ntop=2, input_param=dict(shape=[dict(dim=[6, 2, 8, 8]), dict(dim=[6])]))
n.data, n.data_p = L.Slice(n.pair_data, slice_param=dict(slice_dim=1, slice_point=1), ntop=2)
left, right = tower(n, n.data, ""), tower(n, n.data_p, "_p")
n.loss = L.ContrastiveLoss(left, right, n.sim, contrastive_loss_param=dict(margin=1))
with open("siamese.prototxt", "w") as f:
    f.write(str(n.to_proto()))

net = caffe.Net("siamese.prototxt", caffe.TRAIN)
for layer in ("conv", "feat"):
    net.params[layer][0].data[...] += 0.1
    assert np.array_equal(net.params[layer][0].data, net.params[layer + "_p"][0].data)
pair = np.random.RandomState(0).rand(6, 2, 8, 8)
net.blobs["pair_data"].data[...] = pair
net.blobs["sim"].data[...] = [1, 0, 1, 0, 1, 0]
loss = net.forward()["loss"].copy()
a, b = net.blobs["feat"].data.copy(), net.blobs["feat_p"].data.copy()
distance = np.sqrt(((a - b) ** 2).sum(1))
similar = np.array([1, 0, 1, 0, 1, 0])
expected = (similar * distance**2 + (1 - similar) * np.maximum(1 - distance, 0) ** 2).sum() / 12
assert abs(loss - expected) < 1e-5, (loss, expected)
net.clear_param_diffs()
net.backward()
assert np.array_equal(net.params["conv"][0].diff, net.params["conv_p"][0].diff)
assert np.abs(net.params["conv"][0].diff).max() > 0
