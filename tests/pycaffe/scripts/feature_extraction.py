"""Features of a middle layer for many inputs, in batches."""

import caffe
import numpy as np

net = caffe.Net("lenet.prototxt", caffe.TEST, weights="lenet.caffemodel")
print([(k, v.data.shape) for k, v in net.blobs.items()])
print([(k, v[0].data.shape, v[1].data.shape) for k, v in net.params.items()])
assert list(net.inputs) == ["data"] and list(net.outputs) == ["prob"]

images = np.random.RandomState(1).rand(10, 1, 28, 28).astype(np.float32)
out = net.forward_all(blobs=["ip1", "pool2"], data=images)
assert out["ip1"].shape == (10, 50) and out["pool2"].shape == (10, 16, 4, 4) and out["prob"].shape == (10, 10)
assert np.allclose(out["prob"].sum(1), 1, atol=1e-5)

for i in range(10):
    net.blobs["data"].reshape(1, 1, 28, 28)
    one = net.forward(blobs=["ip1"], data=images[i : i + 1])
    assert np.allclose(one["ip1"][0], out["ip1"][i], atol=1e-4)
    assert np.allclose(one["prob"][0], out["prob"][i], atol=1e-5)

feat = net.blobs["ip1"].data[0].copy()
assert feat.flatten().shape == (50,) and (feat >= 0).all()
