"""The loss a solver shows: the mean over the last iterations."""

from __future__ import annotations

from collections import deque


class AverageLoss:
    """Mean of the last ``window`` losses.

    Attributes
    ----------
    losses:
        Those losses, the oldest first; part of what a run continues with.
    """

    def __init__(self, window: int) -> None:
        self.losses: deque[float] = deque(maxlen=max(1, window))
        self._keep = False

    @property
    def value(self) -> float:
        """The mean; not a number before the first loss."""
        return sum(self.losses) / len(self.losses) if self.losses else float("nan")

    def add(self, loss: float) -> float:
        """Take in a loss and return the mean."""
        self.losses.append(loss)
        return self.value

    def start(self) -> None:
        """Forget earlier losses, as each `Solver.step` does; but go on from restored ones."""
        if not self._keep:
            self.losses.clear()
        self._keep = False

    def state(self) -> tuple[list[float], bool]:
        """The losses, and whether the next `start` keeps them; `follow` takes both over."""
        return list(self.losses), self._keep

    def follow(self, state: tuple[list[float], bool]) -> None:
        """Be as another was when it gave its `state`."""
        losses, self._keep = state
        self.losses.clear()
        self.losses.extend(losses)

    def restore(self, losses: list[float]) -> None:
        """Go on from the losses of an earlier run."""
        self.losses.clear()
        self.losses.extend(float(loss) for loss in losses)
        self._keep = True
