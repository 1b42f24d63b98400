#!/bin/sh
# PyTorch 2.13: an operator declared with torch.library.custom_op, which has a gradient, has derivatives in forward mode
# that are zero, without an error or a warning: torch.func.jvp of a blur is 0, and of blur(x) * x only the part that
# does not go through the blur. PyTorch's own operators without a forward rule raise NotImplementedError there, and so
# does a custom operator under torch.autograd.forward_ad where an input requires a gradient; backward mode through
# torch.func (grad, vjp, jacrev), whose gradient was registered, is refused. So Jacobian-vector products, Hessians by
# torch.func.hessian, and jacfwd of a network that holds a custom filter or CRF are wrong in silence.
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torch==2.13.0" "numpy==2.2.6"
"$folder/venv/bin/python" -W ignore - <<'P'
import sys

import torch
from torch.autograd import forward_ad


def plain(image):
    """A box blur; it is linear, and its own transpose but at the border."""
    return torch.nn.functional.avg_pool2d(image, 3, 1, 1)


@torch.library.custom_op("filters::blur", mutates_args=())
def blur(image: torch.Tensor) -> torch.Tensor:
    return plain(image)


blur.register_fake(torch.empty_like)
blur.register_autograd(lambda ctx, grad: plain(grad), setup_context=lambda ctx, inputs, output: None)
image = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
ones = torch.ones_like(image)
assert torch.library.opcheck(blur, (image.clone().requires_grad_(),))

sums = {}
for name, function in (("plain", plain), ("custom", blur)):
    for what, whole in (("blur(x)", function), ("blur(x) * x", lambda x, function=function: function(x) * x)):
        sums[name, what] = float(torch.func.jvp(whole, (image,), (ones,))[1].sum())
print("torch", torch.__version__)
for (name, what), value in sums.items():
    print(f"{name} operator: the sum of the derivative of {what} along ones is {value:.4f}")

outcomes = {}
for name, start in (("no input requires a gradient", image), ("an input does", image.clone().requires_grad_())):
    with forward_ad.dual_level():
        try:
            outcomes[name] = str(forward_ad.unpack_dual(blur(forward_ad.make_dual(start, ones))).tangent)
        except NotImplementedError as error:
            outcomes[name] = type(error).__name__
    print(f"forward_ad, {name}: {outcomes[name]}")
try:
    torch.func.grad(lambda x: blur(x).sum())(image)
    refused = False
except RuntimeError as error:
    refused = "setup_context" in str(error)
    print("torch.func.grad:", str(error)[:120])
zero = sums["custom", "blur(x)"] == 0 != sums["plain", "blur(x)"]
half = sums["custom", "blur(x) * x"] < 0.7 * sums["plain", "blur(x) * x"]
expected = {"no input requires a gradient": "None", "an input does": "NotImplementedError"}
sys.exit(0 if zero and half and refused and outcomes == expected else 1)
P
