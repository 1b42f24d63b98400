#!/bin/sh
# pydensecrf: what a pixel gets depends on whether the image's number of pixels is a multiple of four. Its lattice works
# on four points at a time and fills others up with points at the origin of the features. These carry no values, but
# their vertices exist and the blur goes through them, so that in some dark images pixels get other
# probabilities, by some tenths of a percent to some percent. Seen by adding points so far away that they cannot matter:
# two of them change the results of 154 points, since 154 + 2 is a multiple of four; four more than 156 change nothing.
# Needs a C++ compiler; the package on PyPI holds C++ of an old Cython, which is made anew.
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "cython==0.29.37" "setuptools==75.8.0" "wheel==0.45.1" "numpy==2.2.6"
"$folder/venv/bin/pip" download -q --no-deps --no-binary :all: --no-build-isolation -d "$folder" "pydensecrf==1.0rc3"
tar xf "$folder"/pydensecrf-1.0rc3.tar.gz -C "$folder"
rm "$folder"/pydensecrf-1.0rc3/pydensecrf/densecrf.cpp "$folder"/pydensecrf-1.0rc3/pydensecrf/eigen.cpp
"$folder/venv/bin/pip" install -q --no-build-isolation "$folder/pydensecrf-1.0rc3" > "$folder/build.log" 2>&1
"$folder/venv/bin/python" - <<'P'
import sys
from importlib.metadata import version

import numpy as np
import pydensecrf.densecrf as dcrf
from pydensecrf.utils import create_pairwise_bilateral


def change(height, width, more, seed):
    """How much `more` points that are far from all others change the probabilities of an image's pixels."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 64, (height, width, 3)).astype(np.uint8)
    features = create_pairwise_bilateral((9, 8), (13, 12, 11), image, chdim=2)
    unary = -np.log(rng.dirichlet(np.ones(4), height * width).T)
    found = []
    for extra in (0, more):
        count = height * width + extra
        far = 1000 + 100 * np.arange(extra)[None] * np.ones((5, 1))
        crf = dcrf.DenseCRF(count, 4)
        crf.setUnaryEnergy(np.ascontiguousarray(np.concatenate([unary, np.ones((4, extra))], 1), np.float32))
        crf.addPairwiseEnergy(np.ascontiguousarray(np.concatenate([features, far], 1), np.float32), compat=3)
        found.append(np.array(crf.inference(3))[:, : height * width])
    return float(abs(found[0] - found[1]).max())


filled_up, whole = (max(change(*size, more, seed) for seed in range(8)) for size, more in (((11, 14), 2), ((12, 13), 4)))
print("pydensecrf", version("pydensecrf"))
print(f"154 pixels, and 2 points far away: probabilities change by up to {filled_up:.1e} in 8 images")
print(f"156 pixels, and 4 points far away: by {whole:.1e}")
sys.exit(0 if filled_up > 1e-3 and whole < 1e-5 else 1)
P
