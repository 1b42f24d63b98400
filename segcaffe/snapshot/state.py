"""What a solver needs besides the weights to continue, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass
class State:
    """What a solver needs besides the weights to continue, as Caffe stores it.

    Attributes
    ----------
    iter:
        Number of iterations done.
    current_step:
        State of the learning rate policy.
    minimum_loss, iter_last_event:
        More of it, where the policy looks at the loss; None and 0 where it does not.
    learned_net:
        Path of the weights that belong to it.
    history:
        Of each learnable parameter its (first) history; then all second ones, where the algorithm has two.
    """

    iter: int
    current_step: int = 0
    learned_net: str = ""
    history: list[Array] = field(default_factory=list)
    minimum_loss: float | None = None
    iter_last_event: int = 0
