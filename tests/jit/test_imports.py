"""What a process imports that runs kernels which were compiled before: Numba's compiler and SciPy stay out."""

from __future__ import annotations

import json
import subprocess
import sys

RUN = """
import json, sys
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST, NetParameter
from segcaffe.proto.text import parse
net = Net(parse('''
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 4 } }
layer { name: "prob" type: "Softmax" bottom: "y" top: "prob" }
''', NetParameter()), phase=TEST)
for _ in range(6):
    net.forward()
before = sorted(sys.modules)
from scipy.linalg import cython_blas, inv
assert "sgemm" in cython_blas.__pyx_capi__ and inv([[2.0]]) == 0.5
print(json.dumps(before))
"""


def test_a_pass_by_compiled_kernels() -> None:
    for _ in range(2):
        # The first may have to compile.
        process = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, check=True)
    modules = json.loads(process.stdout)
    assert "numba" in modules
    assert [name for name in ("numba.np.linalg", "scipy.linalg", "unittest") if name in modules] == []
