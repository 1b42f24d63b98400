"""What the passes of a test come to: the mean of each output, or how precise the detections were."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from segcaffe.detection.judging import AVERAGES, average_precision
from segcaffe.errors import PrototxtError
from segcaffe.net.net import Net
from segcaffe.parallel import Group
from segcaffe.solver.report import Scores

Array = np.ndarray[Any, Any]
_log = logging.getLogger("segcaffe")


class Summary:
    """The outputs of a net over several passes.

    Outputs are averaged; those of a layer that judges detections (`Layer.judges`) are joined and give one number, the
    mean of its classes' average precisions.

    Parameters
    ----------
    net:
        The net that is tested.
    version:
        How the average precision is taken, a key of `AVERAGES`.
    """

    def __init__(self, net: Net, version: str = "Integral") -> None:
        if version not in AVERAGES:
            raise PrototxtError(f"ap_version must be one of {', '.join(AVERAGES)}. Received: {version!r}.")
        self.net, self.version = net, version
        judges = [node for node, layer in zip(net.graph.nodes, net.layer_list, strict=True) if layer.judges]
        names = {net.graph.blob_names[node.tops[0]] for node in judges}
        self._judged: dict[str, list[Array]] = {name: [] for name in net.outputs if name in names}
        self._sums: Scores = {}
        self._passes = 0

    def add(self) -> None:
        """Take in the outputs of the net's last pass."""
        self._passes += 1
        for name in self.net.outputs:
            values = self.net.blobs[name].data
            if name in self._judged:
                self._judged[name].append(values.reshape(-1, values.shape[-1]).copy())
            else:
                self._sums[name] = self._sums.get(name, np.float64(0)) + values

    def join(self, ranks: Group) -> None:
        """Take in the passes of all ranks, each of which calls it."""
        own, self._passes, self._sums = (self._sums, self._judged, self._passes), 0, {}
        self._judged = {name: [] for name in self._judged}
        for sums, judged, passes in ranks.gather(own):
            self._passes += passes
            for name, values in sums.items():
                self._sums[name] = self._sums.get(name, np.float64(0)) + values
            for name, rows in judged.items():
                self._judged[name] += rows

    def scores(self) -> Scores:
        """Each output's mean, or mean average precision, in the order of the net's outputs."""
        found: Scores = {}
        for name in self.net.outputs:
            if name in self._judged:
                precisions = list(self.precisions(name).values())
                found[name] = np.asarray(np.mean(precisions) if precisions else 0.0)
            else:
                found[name] = np.asarray(self._sums[name] / self._passes)
        return found

    def precisions(self, name: str) -> dict[int, float]:
        """The average precision of each class, from an output of judged detections; 0 where it has no true box."""
        rows = np.concatenate(self._judged[name])
        counts, found = rows[rows[:, 0] == -1], rows[(rows[:, 0] >= 0) & (rows[:, 3:5] > 0).any(axis=1)]
        precisions = {}
        for label in np.unique(counts[:, 1]).astype(int).tolist():
            positives = int(counts[counts[:, 1] == label, 2].sum())
            own = found[found[:, 1] == label]
            precisions[label] = average_precision(own[:, 2], own[:, 3] > 0, positives, self.version)
        return precisions

    def report_classes(self) -> None:
        """Log the average precision of each class, worded as SSD does."""
        for name in self._judged:
            for label, value in self.precisions(name).items():
                _log.info("class%d: %.6g", label, value)
