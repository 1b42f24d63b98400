"""Cases of the layers that read sequences."""

from __future__ import annotations

import numpy as np

from segcaffe.testing import LayerCase

# Six steps of three items: four, six and one of them count; the second item has two equal neighbours.
INDICATORS = np.array([[0, 0, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1], [0, 1, 1], [1, 1, 1]])
TARGETS = np.array([[2, 1, -1], [0, 1, -1], [-1, 3, -1], [-1, -1, -1], [-1, -1, -1], [-1, -1, -1]])
SCORES = (6, 3, 5)
LABELS = np.array([[0, 2, 2, 0], [3, 0, 0, 0], [1, 2, 3, 4]])
CLIP = np.array([0, 0, 1, 1, 1, 1, 0, 1, 1, 1])


def _ctc(options: str, suffix: str, labels: np.ndarray = LABELS, kind: str = "CtcLoss") -> LayerCase:
    return LayerCase(kind, f"ctc_loss_param {{ {options} }}", (SCORES, labels), suffix=suffix, batched=False)


def _indicated(options: str, suffix: str, kind: str = "CTCLoss") -> LayerCase:
    bottoms = (SCORES, INDICATORS, TARGETS)
    return LayerCase(kind, f"ctc_loss_param {{ {options} }}", bottoms, suffix=suffix, batched=False)


def _lstm(options: str, suffix: str, bottoms: tuple, gradient: bool = True) -> LayerCase:
    options = f'lstm_param {{ num_output: 4 batch_size: 2 weight_filler {{ type: "gaussian" std: 0.5 }} {options} }}'
    return LayerCase("Lstm", options, bottoms, suffix=suffix, gradient=gradient, batched=False)


def _decoder(options: str, suffix: str, tops: int, bottoms: tuple = ()) -> LayerCase:
    options = f"ctc_decoder_param {{ {options} }}"
    return LayerCase("CTCGreedyDecoder", options, (SCORES, INDICATORS, *bottoms), tops, suffix=suffix, batched=False)


CASES = [
    _ctc("alphabet_size: 5 time_step: 6", ""),
    # The last item does not fit into four steps.
    _ctc("time_step: 4 blank_label: 0", "fewer_steps", np.array([[2, 1, 0], [2, 2, 0], [4, 4, 4]])),
    _ctc("blank_label: 4", "other_blank", np.array([[0, 2], [4, 3], [4, 4]]), "CTCLoss"),
    _indicated("", ""),
    _indicated("ctc_merge_repeated: false blank_index: 4", "apart"),
    _indicated("preprocess_collapse_repeated: true output_delay: 1", "collapsed"),
    _indicated("", "indicators", "CtcLoss"),
    LayerCase(
        "LabelsequenceAccuracy",
        "labelsequence_accuracy_param { blank_label: 1 }",
        (lambda rng: np.eye(3)[[[0, 0, 1, 2], [1, 2, 1, 2], [1, 1, 0, 0]]], np.array([[0, 2], [2, 1], [1, 0]])),
        batched=False,
    ),
    _decoder("", "", 1),
    _decoder("ctc_merge_repeated: false blank_index: 0", "scores", 2),
    _decoder("", "accuracy", 2, (TARGETS,)),
    _decoder("", "all", 3, (TARGETS,)),
    LayerCase(
        "ContinuationIndicator",
        "continuation_indicator_param { time_step: 4 axis: 1 }",
        ((2, 3, 4),),
        batched=False,
    ),
    LayerCase("Reverse", bottoms=((4, 3, 2),), batched=False),
    LayerCase("Reverse", "reverse_param { axis: 1 axis: -1 }", suffix="axes"),
    _lstm("", "", ((10, 3),)),
    _lstm("", "clip", ((10, 3, 1), CLIP)),
    _lstm("clipping_threshold: 100", "threshold", ((10, 3), CLIP)),
    _lstm("clipping_threshold: 0.01", "clipped", ((10, 3), CLIP), gradient=False),
]
