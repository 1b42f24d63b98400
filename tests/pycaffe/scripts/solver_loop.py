"""A training loop by hand: step, watch the loss, test now and then, plot the curves."""

import caffe
import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

caffe.set_mode_cpu()
solver = None
solver = caffe.SGDSolver("lenet_solver.prototxt")

print([(k, v.data.shape) for k, v in solver.net.blobs.items()])
random = np.random.RandomState(0)
templates = random.rand(10, 28, 28)


def feed(net, size=16):
    labels = random.randint(0, 10, size)
    net.blobs["data"].data[...] = (templates[labels] + 0.1 * random.randn(size, 28, 28))[:, None]
    net.blobs["label"].data[...] = labels


feed(solver.net)
feed(solver.test_nets[0])
before = solver.net.forward()["loss"].copy()
solver.test_nets[0].forward()
solver.step(1)
assert solver.iter == 1

niter, test_interval = 60, 20
train_loss, test_acc = np.zeros(niter), np.zeros(int(np.ceil(niter / test_interval)))
output = np.zeros((niter, 16, 10))
for it in range(niter):
    feed(solver.net)
    solver.step(1)
    train_loss[it] = solver.net.blobs["loss"].data
    feed(solver.test_nets[0])
    solver.test_nets[0].forward(start="conv1")
    output[it] = solver.test_nets[0].blobs["score"].data
    if it % test_interval == 0:
        correct = 0
        for test_it in range(4):
            feed(solver.test_nets[0])
            solver.test_nets[0].forward()
            correct += sum(solver.test_nets[0].blobs["score"].data.argmax(1) == solver.test_nets[0].blobs["label"].data)
        test_acc[it // test_interval] = correct / 64.0

_, ax1 = plt.subplots()
ax2 = ax1.twinx()
ax1.plot(np.arange(niter), train_loss)
ax2.plot(test_interval * np.arange(len(test_acc)), test_acc, "r")
ax1.set_xlabel("iteration")
plt.savefig("curve.png")
plt.close("all")

assert train_loss[-5:].mean() < 0.5 * before, (before, train_loss)
assert test_acc[-1] > test_acc[0]
assert solver.net.params["conv1"][0].diff.shape == (8, 1, 5, 5)
assert solver.lr > 0
solver.snapshot()
