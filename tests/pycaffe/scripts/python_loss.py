"""A Euclidean loss as a layer in Python, beside the built-in one."""

import caffe
import numpy as np

with open("loss.prototxt", "w") as f:
    f.write("""
name: 'LossLayers'
force_backward: true
input: 'a' input_shape { dim: 4 dim: 3 }
input: 'b' input_shape { dim: 4 dim: 3 }
layer { type: 'Python' name: 'mine' top: 'mine' bottom: 'a' bottom: 'b'
  python_param { module: 'squared_loss' layer: 'SquaredLoss' } loss_weight: 2 }
layer { type: 'EuclideanLoss' name: 'theirs' top: 'theirs' bottom: 'a' bottom: 'b' loss_weight: 0 }
""")

net = caffe.Net("loss.prototxt", caffe.TRAIN)
random = np.random.RandomState(0)
a, b = random.randn(4, 3), random.randn(4, 3)
out = net.forward(a=a, b=b)
assert np.allclose(out["mine"], ((a - b) ** 2).sum() / 8, rtol=1e-5)
assert np.allclose(out["mine"], out["theirs"], rtol=1e-5)
diffs = net.backward()
assert np.allclose(diffs["a"], 2 * (a - b) / 4, atol=1e-5)
assert np.allclose(diffs["b"], -2 * (a - b) / 4, atol=1e-5)
assert net.layer_dict["mine"].type == "Python"
