"""A fully convolutional net on images of several sizes."""

import caffe
import numpy as np

with open("fcn.prototxt", "w") as f:
    f.write("""
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 16 dim: 16 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 5 kernel_size: 3 pad: 1 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "up" type: "Deconvolution" bottom: "conv" top: "up"
  convolution_param { num_output: 5 kernel_size: 4 stride: 2 pad: 1 group: 5 bias_term: false
    weight_filler { type: "bilinear" } } }
layer { name: "score" type: "Crop" bottom: "up" bottom: "data" top: "score" crop_param { axis: 2 offset: 0 } }
""")

net = caffe.Net("fcn.prototxt", caffe.TEST)
for height, width in [(16, 16), (24, 30), (10, 12), (16, 16)]:
    image = np.random.RandomState(height).rand(3, height, width).astype(np.float32)
    net.blobs["data"].reshape(1, *image.shape)
    net.blobs["data"].data[...] = image
    net.forward()
    out = net.blobs["score"].data[0].argmax(axis=0)
    assert out.shape == (height, width), out.shape
net.blobs["data"].reshape(2, 3, 8, 8)
net.reshape()
assert net.blobs["score"].data.shape == (2, 5, 8, 8)
