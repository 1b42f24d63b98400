"""What a process takes that runs kernels which were compiled before: Numba's compiler, LLVM's and SciPy stay out."""

from __future__ import annotations

import json
import subprocess
import sys

RUN = """
import json, sys
from llvmlite.binding import TargetMachine
from numba.core.runtime import nrtdynmod
made = []
def counted(place, name):
    make = getattr(place, name)
    setattr(place, name, lambda *given: made.append(name) or make(*given))
counted(TargetMachine, "emit_object")
counted(nrtdynmod, "create_nrt_module")
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST, NetParameter
from segcaffe.proto.text import parse
net = Net(parse('''
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
layer { name: "pool" type: "Pooling" bottom: "x" top: "pool" pooling_param { kernel_size: 3 stride: 3 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "y" inner_product_param { num_output: 4 } }
layer { name: "prob" type: "Softmax" bottom: "y" top: "prob" }
''', NetParameter()), phase=TEST)
for _ in range(6):
    net.forward()
before = sorted(sys.modules)
from scipy.linalg import cython_blas, inv
assert "sgemm" in cython_blas.__pyx_capi__ and inv([[2.0]]) == 0.5
print(json.dumps([before, made]))
"""


def test_a_pass_by_compiled_kernels() -> None:
    for _ in range(2):
        # The first may have to compile.
        process = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, check=True)
    modules, made = json.loads(process.stdout)
    assert "numba" in modules
    assert [
        name for name in ("numba.np.linalg", "numba.np.arrayobj", "scipy.linalg", "unittest") if name in modules
    ] == []
    assert made == [], "nor is machine code made, of which reading LLVM's code generator would be most of the work"
