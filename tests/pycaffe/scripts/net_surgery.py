"""Net surgery: the weights of inner products go into a fully convolutional net, which then reads larger images."""

import caffe
import numpy as np
from caffe import layers as L
from caffe import params as P

caffe.set_mode_cpu()


def classifier_net():
    n = caffe.NetSpec()
    n.data = L.Input(input_param=dict(shape=dict(dim=[1, 3, 12, 12])))
    n.conv1 = L.Convolution(n.data, kernel_size=3, num_output=4, weight_filler=dict(type="xavier"))
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.fc6 = L.InnerProduct(n.pool1, num_output=6, weight_filler=dict(type="xavier"))
    n.relu6 = L.ReLU(n.fc6, in_place=True)
    n.fc7 = L.InnerProduct(n.fc6, num_output=5, weight_filler=dict(type="xavier"))
    n.prob = L.Softmax(n.fc7)
    return n.to_proto()


def convolutional_net():
    n = caffe.NetSpec()
    n.data = L.Input(input_param=dict(shape=dict(dim=[1, 3, 20, 20])))
    n.conv1 = L.Convolution(n.data, kernel_size=3, num_output=4)
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n["fc6-conv"] = L.Convolution(n.pool1, kernel_size=5, num_output=6)
    n.relu6 = L.ReLU(n["fc6-conv"], in_place=True)
    n["fc7-conv"] = L.Convolution(n["fc6-conv"], kernel_size=1, num_output=5)
    n.prob = L.Softmax(n["fc7-conv"])
    return n.to_proto()


with open("fc.prototxt", "w") as f:
    f.write(str(classifier_net()))
with open("conv.prototxt", "w") as f:
    f.write(str(convolutional_net()))

net = caffe.Net("fc.prototxt", caffe.TEST)
net.save("fc.caffemodel")
params = ["fc6", "fc7"]
fc_params = {pr: (net.params[pr][0].data, net.params[pr][1].data) for pr in params}
for fc in params:
    print("{} weights are {} dimensional and biases are {} dimensional".format(
        fc, fc_params[fc][0].shape, fc_params[fc][1].shape))

net_full_conv = caffe.Net("conv.prototxt", "fc.caffemodel", caffe.TEST)
params_full_conv = ["fc6-conv", "fc7-conv"]
conv_params = {pr: (net_full_conv.params[pr][0].data, net_full_conv.params[pr][1].data) for pr in params_full_conv}
for pr, pr_conv in zip(params, params_full_conv):
    conv_params[pr_conv][0].flat = fc_params[pr][0].flat
    conv_params[pr_conv][1][...] = fc_params[pr][1]
net_full_conv.save("full_conv.caffemodel")

image = np.random.RandomState(0).rand(1, 3, 20, 20).astype(np.float32)
dense = net_full_conv.forward(data=image)["prob"]
assert dense.shape == (1, 5, 5, 5)
for y in range(5):
    for x in range(5):
        net.blobs["data"].data[...] = image[:, :, 2 * y : 2 * y + 12, 2 * x : 2 * x + 12]
        single = net.forward()["prob"]
        assert np.allclose(dense[0, :, y, x], single[0], atol=1e-5)
