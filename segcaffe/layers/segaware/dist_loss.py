"""DistLoss: pulls embeddings together within a label, pushes them apart across labels."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import dist_loss
from segcaffe.layers.base import Blobs, LossLayer
from segcaffe.layers.registry import register


@register
class DistLoss(LossLayer):
    """Contrastive hinge loss on the local distances of embeddings.

    bottom: distances d and parities (of one shape, made by `Im2dist` and `Im2parity`);  top: scalar.
    An entry's hinge is max(d - alpha, 0) where the parity is 1, max(beta - d, 0) where it is 0, and 0 where it is
    dist_loss_param.ignore_label. Loss = Σ hinge / count; count is that of all entries, the ignored ones too.
    The gradient is ±hinge / count, that of ½·mean(hinge²) and not of the loss shown: the published networks were
    trained with it. Source: Harley et al. 2017, equation 2, and the gradient released with it.
    """

    refuses_gradient = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the margins: 0 < alpha < beta."""
        options = self.param.dist_loss_param
        for name in ("alpha", "beta"):
            if not options.HasField(name):
                raise self.fail(f"dist_loss_param must give {name}, the margin", f"no {name}")
        self.alpha, self.beta = options.alpha, options.beta
        if not 0 < self.alpha < self.beta:
            raise self.fail("the margins must satisfy 0 < alpha < beta", f"alpha {self.alpha}, beta {self.beta}")
        self.ignore_label = options.ignore_label if options.HasField("ignore_label") else None

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that each distance has its parity."""
        super().reshape(bottom, top)
        if bottom[0].shape != bottom[1].shape:
            raise self.fail(
                "distances and parities must have the same shape; give Im2dist and Im2parity the same window.",
                f"shapes {bottom[0].shape} and {bottom[1].shape}",
            )

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the mean hinge."""
        parity, loss = bottom[1].array, top[0].array
        dist_loss.forward(bottom[0].array, parity, loss, self.alpha, self.beta, self.ignore_label)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradient ±hinge / count, times the loss weight."""
        if propagate_down[0]:
            dist, dist_grad = bottom[0].array, bottom[0].grad
            margins = self.alpha, self.beta
            dist_loss.backward(dist, bottom[1].array, top[0].grad, dist_grad, *margins, self.ignore_label)
