"""What well-known scripts say to pycaffe: net surgery, deep dreams, merging BatchNorm, detectors' training loops."""

import caffe
import google.protobuf as pb2
import google.protobuf.text_format
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format

BODY = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 12 dim: 12 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "conv/bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "conv/scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
"""
LABEL = 'layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } } '
LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" } '
PROB = 'layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" } '
for name, text in (("train", LABEL + BODY + LOSS), ("deploy", BODY + PROB)):
    with open(name + ".prototxt", "w") as f:
        f.write(text)
with open("solver.prototxt", "w") as f:
    f.write(
        'net: "train.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 snapshot_prefix: "snap" '
        "test_iter: 1 test_interval: 1000 test_initialization: false"
    )

# The training loop of the R-CNN family.
solver_param = caffe_pb2.SolverParameter()
with open("solver.prototxt", "rt") as f:
    pb2.text_format.Merge(f.read(), solver_param)
solver = caffe.SGDSolver("solver.prototxt")
net = solver.net
net.blobs["label"].data[...] = [1, 3]
solver.step(1)
original = net.params["fc"][0].data.copy()
net.params["fc"][0].data[...] = net.params["fc"][0].data * np.arange(5)[:, np.newaxis]
net.save(str(solver_param.snapshot_prefix + "_{:d}.caffemodel".format(solver.iter)))
net.params["fc"][0].data[...] = original
solver.net.copy_from("snap_1.caffemodel")
assert not np.array_equal(net.params["fc"][0].data, original)
solver.test_nets[0].share_with(solver.net)
assert solver.net.forward()["loss"] == solver.net.blobs["loss"].data.flat[0]
solver.net.backward()
solver.snapshot()
solver.restore("snap_iter_1.solverstate")
solver.test_nets[0].forward(start="conv")

# Net surgery.
fresh = caffe.Net("train.prototxt", caffe.TRAIN)
trained = caffe.Net("deploy.prototxt", "snap_1.caffemodel", caffe.TEST)
for p in trained.params:
    for i in range(len(trained.params[p])):
        if i > (len(fresh.params[p]) - 1):
            break
        fresh.params[p][i].data.flat = trained.params[p][i].data.flat
assert np.array_equal(fresh.params["fc"][0].data, trained.params["fc"][0].data)
m, k, h, w = fresh.params["conv"][0].data.shape
fresh.params["conv"][0].data[range(k), range(k), :, :] = np.ones((3, 3))
assert fresh.params["conv"][0].num == 4

# Deep dreams: gradients of the data.
model = caffe.io.caffe_pb2.NetParameter()
with open("deploy.prototxt") as f:
    text_format.Merge(f.read(), model)
model.force_backward = True
with open("tmp.prototxt", "w") as f:
    f.write(str(model))
net = caffe.Classifier("tmp.prototxt", "snap_1.caffemodel", mean=np.float32([104, 116, 122]), channel_swap=(2, 1, 0))
src, dst = net.blobs["data"], net.blobs["conv"]
src.reshape(1, 3, 12, 12)
src.data[0] = np.random.RandomState(0).randn(3, 12, 12)
net.forward(end="relu")
dst.diff[:] = dst.data
net.backward(start="relu")
assert np.abs(src.diff[0]).mean() > 0
assert net.transformer.mean["data"].shape == (3, 1, 1)

# Merging BatchNorm, dumping nets.
for k in trained.params.keys():
    assert type(trained.params[k]) is caffe._caffe.BlobVec
mean, var, factor = [blob.data for blob in trained.params["conv/bn"]]
index = list(trained._layer_names).index("conv")
trained.layers[index].blobs[0].data[...] *= 2
assert [layer.type for layer in trained.layers][index] == "Convolution"
for i in range(len(trained.layers)):
    trained._bottom_ids(i), trained._top_ids(i)
assert caffe_pb2.PoolingParameter.PoolMethod.Name(0) == "MAX"

# Shapes, old extents, parts of a net.
blob = trained.blobs["data"]
assert list(blob.shape) == [2, 3, 12, 12]
assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (2, 3, 12, 12, 864)
blob.reshape(*np.array([1, 3, 12, 12]))
trained.reshape()
assert trained.blobs["prob"].data.shape == (1, 5)
trained.forward(blobs=["conv"], end="relu")
trained._forward(0, 3)
trained._backward(3, 0)

# Labels of MemoryData with one axis or four; images at another size.
n = caffe.NetSpec()
n.data, n.label = caffe.layers.MemoryData(batch_size=2, channels=1, height=3, width=3, ntop=2)
with open("memory.prototxt", "w") as f:
    f.write(str(n.to_proto()))
net = caffe.Net("memory.prototxt", caffe.TEST)
for shape in ((4,), (4, 1, 1, 1)):
    net.set_input_arrays(np.ones((4, 1, 3, 3), np.float32), np.full(shape, 7, np.float32))
    assert (net.forward()["label"] == 7).all()
image = np.random.RandomState(0).rand(20, 16, 3)
assert np.array_equal(caffe.io.resize(image, (5, 4)), caffe.io.resize_image(image, (5, 4)))
assert caffe.io.resize(image[:, :, 0], (5, 4)).shape == (5, 4)
