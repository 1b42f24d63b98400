"""Fine-tuning with a data layer in Python: the lower layers start from given weights and learn slowly."""

import tempfile

import caffe
import numpy as np
from caffe import layers as L
from caffe import params as P
from caffe.proto import caffe_pb2

weight_param = dict(lr_mult=1, decay_mult=1)
bias_param = dict(lr_mult=2, decay_mult=0)
frozen_param = [dict(lr_mult=0)] * 2
learned_param = [weight_param, bias_param]


def tuned_net(num_classes, name, learn_all):
    n = caffe.NetSpec()
    n.data, n.label = L.Python(module="stripes_data", layer="Stripes", ntop=2,
                               param_str=str(dict(batch_size=16, classes=num_classes)))
    param = learned_param if learn_all else frozen_param
    n.conv1 = L.Convolution(n.data, kernel_size=3, num_output=6, pad=1, param=param,
                            weight_filler=dict(type="xavier"), bias_filler=dict(type="constant", value=0.1))
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.pool1 = L.Pooling(n.relu1, pool=P.Pooling.AVE, kernel_size=4, stride=4)
    n.__setattr__(name, L.InnerProduct(n.pool1, num_output=num_classes, param=learned_param,
                                       weight_filler=dict(type="gaussian", std=0.01)))
    n.loss = L.SoftmaxWithLoss(n[name], n.label)
    n.acc = L.Accuracy(n[name], n.label)
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt", delete=False) as f:
        f.write(str(n.to_proto()))
        return f.name


def solver(train_net_path, base_lr=0.05):
    s = caffe_pb2.SolverParameter()
    s.train_net = train_net_path
    s.base_lr = base_lr
    s.type = "SGD"
    s.lr_policy = "step"
    s.gamma = 0.5
    s.stepsize = 200
    s.momentum = 0.9
    s.weight_decay = 5e-4
    s.max_iter = 1000
    s.snapshot_prefix = "tuned"
    s.solver_mode = caffe_pb2.SolverParameter.CPU
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt", delete=False) as f:
        f.write(str(s))
        return f.name


def run_solver(s, niter):
    loss, acc = np.zeros(niter), np.zeros(niter)
    for it in range(niter):
        s.step(1)
        loss[it] = s.net.blobs["loss"].data.copy()
        acc[it] = s.net.blobs["acc"].data.copy()
    return loss, acc


first = caffe.get_solver(solver(tuned_net(2, "fc_two", learn_all=True)))
loss, acc = run_solver(first, 60)
assert loss[-10:].mean() < 0.5 * loss[:5].mean(), loss
first.net.save("two_classes.caffemodel")

second = caffe.get_solver(solver(tuned_net(4, "fc_four", learn_all=False)))
scratch = second.net.params["fc_four"][0].data.copy()
second.net.copy_from("two_classes.caffemodel")
assert np.array_equal(second.net.params["conv1"][0].data, first.net.params["conv1"][0].data)
assert np.array_equal(second.net.params["fc_four"][0].data, scratch)
kept = second.net.params["conv1"][0].data.copy()
loss, acc = run_solver(second, 80)
assert loss[-10:].mean() < 0.7 * loss[:5].mean(), loss
assert np.array_equal(second.net.params["conv1"][0].data, kept)
