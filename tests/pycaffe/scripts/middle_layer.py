"""Forward from a middle layer, backward to it: an input that a layer likes, found by gradient ascent."""

import caffe
import numpy as np

net = caffe.Net("lenet.prototxt", caffe.TEST, weights="lenet.caffemodel")
image = np.random.RandomState(2).rand(*net.blobs["data"].data.shape)
whole = net.forward(data=image)["prob"].copy()
pool1 = net.blobs["pool1"].data.copy()

net.blobs["data"].data[...] = 0
net.blobs["pool1"].data[...] = pool1
part = net.forward(start="conv2")
assert np.allclose(part["prob"], whole, atol=1e-6)

net.blobs["pool1"].data[...] *= 0.5
assert not np.allclose(net.forward(start="conv2", end="ip1", blobs=["conv2"])["ip1"], 0)

end = "ip2"
goal = 3
source = net.blobs["data"]
source.data[...] = image
scores = []
for _ in range(8):
    net.forward(end=end)
    scores.append(net.blobs[end].data[:, goal].sum())
    net.blobs[end].diff[...] = 0
    net.blobs[end].diff[:, goal] = 1
    net.backward(start=end)
    g = source.diff
    source.data[:] += 0.05 / np.abs(g).mean() * g
assert all(b > a for a, b in zip(scores, scores[1:])), scores
