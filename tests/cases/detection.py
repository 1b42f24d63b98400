"""Cases of the layers of detectors."""

from __future__ import annotations

import numpy as np

from segcaffe.testing import LayerCase
from segcaffe.testing.layer_case import Input

PRIORS = 6


def boxes_around(rng: np.random.Generator) -> np.ndarray:
    """Priors of different sizes and their variances, (1, 2, 4 PRIORS)."""
    centers, sizes = rng.uniform(0.3, 0.7, (PRIORS, 2)), rng.uniform(0.1, 0.5, (PRIORS, 2))
    corners = np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)
    return np.stack([corners, np.tile([0.1, 0.1, 0.2, 0.2], (PRIORS, 1))]).reshape(1, 2, -1)


def found(
    options: str, suffix: str, *, classes: int = 3, own_boxes: bool = False, more: tuple[Input, ...] = ()
) -> LayerCase:
    """A DetectionOutput of two items."""
    options = f"detection_output_param {{ num_classes: {classes} {options} }}"
    locations = (2, 4 * PRIORS * (classes if own_boxes else 1))
    return LayerCase(
        "DetectionOutput",
        options,
        (locations, (2, PRIORS * classes), boxes_around, *more),
        suffix=suffix,
        gradient=False,
        batched=False,
    )


def true_boxes(rng: np.random.Generator) -> np.ndarray:
    """Two boxes of the first item, one of the second and a row that stands for none, (1, 1, 4, 8)."""
    low = rng.uniform(0.1, 0.4, (3, 2))
    corners = np.concatenate([low, low + rng.uniform(0.2, 0.5, (3, 2))], axis=1)
    rows = np.array([[0, 1, 0, *corners[0], 0], [0, 2, 0, *corners[1], 1], [1, 2, 0, *corners[2], 0], [-1] * 8])
    return rows.reshape(1, 1, 4, 8)


def loss(
    options: str, suffix: str, *, classes: int = 3, own_boxes: bool = False, more: tuple[Input, ...] = ()
) -> LayerCase:
    """A MultiBoxLoss of two items."""
    options = f"multibox_loss_param {{ num_classes: {classes} overlap_threshold: 0.3 {options} }}"
    locations = (2, 4 * PRIORS * (classes if own_boxes else 1))
    bottoms = (locations, (2, PRIORS * classes), boxes_around, true_boxes, *more)
    return LayerCase("MultiBoxLoss", options, bottoms, suffix=suffix, batched=False)


IMAGE = (2, 3, 30, 40)
GRID = (2, 5, 3, 4)
CASES = [
    LayerCase("PriorBox", "prior_box_param { min_size: 8 }", (GRID, IMAGE), gradient=False, batched=False),
    LayerCase(
        "PriorBox",
        "prior_box_param { min_size: 8 min_size: 12 max_size: 10 max_size: 20 aspect_ratio: 1 aspect_ratio: 2"
        " aspect_ratio: 3 flip: false clip: false variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 }",
        (GRID, IMAGE),
        suffix="sizes",
        gradient=False,
        batched=False,
    ),
    LayerCase(
        "PriorBox",
        "prior_box_param { min_size: 8 img_h: 30 img_w: 40 step_h: 9 step_w: 11 offset: 0 clip: true }",
        (GRID,),
        suffix="steps",
        gradient=False,
        batched=False,
    ),
    LayerCase(
        "PriorBoxClustered",
        "prior_box_param { width: 9 width: 5 height: 4 height: 12 step: 10 variance: 0.1 }",
        (GRID, IMAGE),
        gradient=False,
        batched=False,
    ),
    found("keep_top_k: 4 confidence_threshold: 0.1 nms_param { nms_threshold: 0.45 top_k: 5 }", ""),
    found("code_type: CENTER_SIZE share_location: false background_label_id: -1", "own", own_boxes=True),
    found("code_type: CORNER_SIZE variance_encoded_in_target: true nms_param { eta: 0.9 nms_threshold: 0.8 }", "eta"),
    found("code_type: CENTER_SIZE confidence_threshold: 100", "nothing"),
    found("code_type: CENTER_SIZE objectness_score: 0.2", "two_stages", more=((2, 2 * PRIORS), (2, 4 * PRIORS))),
    loss("", ""),
    loss("mining_type: NONE code_type: CENTER_SIZE use_difficult_gt: false", "all"),
    loss("conf_loss_type: LOGISTIC loc_loss_type: L2 neg_overlap: 0.8", "logistic"),
    loss("code_type: CENTER_SIZE encode_variance_in_target: true loc_weight: 2", "variance_in_target"),
    loss("share_location: false code_type: CORNER_SIZE match_type: BIPARTITE", "own", own_boxes=True),
    loss("share_location: false use_prior_for_matching: false bp_inside: true", "own_matched", own_boxes=True),
    loss("mining_type: HARD_EXAMPLE sample_size: 4 nms_param { nms_threshold: 0.6 }", "hard_examples"),
    loss("code_type: CENTER_SIZE objectness_score: 0.2", "two_stages", more=((2, 2 * PRIORS), (2, 4 * PRIORS))),
    loss("map_object_to_agnostic: true ignore_cross_boundary_bbox: true", "agnostic", classes=2),
]


def detections(rng: np.random.Generator) -> np.ndarray:
    """Nine detections of two items, one of them near a true box, and a row that stands for none, (1, 1, 10, 7)."""
    rows = np.empty((10, 7))
    rows[:, 0], rows[:, 1], rows[:, 2] = rng.integers(0, 2, 10), rng.integers(1, 3, 10), rng.uniform(0, 1, 10)
    rows[:, 3:5] = rng.uniform(0, 0.5, (10, 2))
    rows[:, 5:7] = rows[:, 3:5] + rng.uniform(0.2, 0.5, (10, 2))
    rows[9, 1:] = -1
    return rows.reshape(1, 1, 10, 7)


CASES += [
    LayerCase(
        "DetectionEvaluate", "detection_evaluate_param { num_classes: 3 }", (detections, true_boxes), batched=False
    ),
    LayerCase(
        "DetectionEvaluate",
        "detection_evaluate_param { num_classes: 3 evaluate_difficult_gt: false overlap_threshold: 0.1 }",
        (detections, true_boxes),
        suffix="easy",
        batched=False,
    ),
]


def regions(rng: np.random.Generator) -> np.ndarray:
    """Regions of two items, (5, 5): inside, across the border, of one pixel, turned inside out."""
    corners = [[0, 1, 2, 9, 13], [1, 0, 0, 17, 15], [1, 8, 4, 8, 4], [0, 12, 9, 30, 22], [1, 9, 9, 5, 4]]
    return np.array(corners) + np.array([0, 1, 1, 1, 1]) * rng.uniform(0.1, 0.3, (5, 5))


def apart(*shape: int):
    """Values that all differ by at least 0.01."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        return rng.permutation(np.prod(shape)).reshape(shape) * 0.01

    return draw


POOLED = "pooled_h: 3 pooled_w: 2 spatial_scale: 0.5"
CASES += [
    LayerCase("ROIPooling", f"roi_pooling_param {{ {POOLED} }}", (apart(2, 3, 8, 9), regions), batched=False),
    LayerCase(
        "ROIPooling",
        "roi_pooling_param { pooled_size: 7 spatial_scale: 0.5 }",
        (apart(2, 2, 4, 5), regions),
        suffix="more_bins_than_pixels",
        batched=False,
    ),
    LayerCase(
        "PSROIPooling",
        "psroi_pooling_param { output_dim: 2 group_size: 3 spatial_scale: 0.5 }",
        ((2, 18, 8, 9), regions),
        batched=False,
    ),
    LayerCase("ROIAlign", f"roi_align_param {{ {POOLED} }}", ((2, 3, 8, 9), regions), batched=False),
]
CASES += [
    LayerCase(
        "ROIAlign",
        f"roi_align_param {{ {POOLED} {options} }}",
        ((2, maps, 8, 9), regions),
        suffix=suffix,
        batched=False,
    )
    for suffix, options, maps in (
        ("three_samples", "sampling_ratio: 3", 3),
        ("adaptive", "sample_ratio: 0", 3),
        ("position_sensitive", "position_sensitive: true sampling_ratio: 1", 12),
    )
]
CASES += [
    LayerCase("ROIAlign", f"roi_pooling_param {{ {POOLED} }}", ((2, 3, 8, 9), regions), suffix="pooling", batched=False)
]


def grid_of_boxes(rng: np.random.Generator) -> np.ndarray:
    """Two boxes in each of 3 x 4 cells, and their variances, (1, 2, 96)."""
    low = rng.uniform(0, 0.6, (24, 2))
    corners = np.concatenate([low, low + rng.uniform(0.1, 0.4, (24, 2))], axis=1)
    return np.stack([corners.reshape(-1), np.tile([0.1, 0.1, 0.2, 0.2], 24)])[None]


CASES.append(
    LayerCase(
        "DetectionOutputExtended",
        "detection_output_param { num_classes: 2 code_type: CENTER_SIZE keep_top_k: 5 }",
        ((2, 3, 4, 8), (2, 48), grid_of_boxes),
        gradient=False,
        batched=False,
    )
)


def found_regions(rng: np.random.Generator) -> np.ndarray:
    """Seven regions of two items, (7, 5)."""
    return np.concatenate([np.array([[0, 1, 0, 1, 0, 0, 1]]).T, rng.uniform(0, 9, (7, 4))], axis=1)


ANCHORS = "ratio: 0.5 ratio: 1 scale: 1 scale: 2 feat_stride: 8 base_size: 8"
CASES += [
    LayerCase(
        "Proposal",
        f"proposal_param {{ {ANCHORS} min_size: 4 pre_nms_topn: 20 post_nms_topn: 6 nms_thresh: 0.5 }}",
        ((2, 8, 3, 4), (2, 16, 3, 4), np.array([[24.0, 32, 1], [20, 30, 1]])),
        tops=2,
        batched=False,
    ),
    LayerCase(
        "BoxAnnotatorOHEM",
        "box_annotator_ohem_param { roi_per_img: 2 }",
        (found_regions, (7, 1, 1, 1), (7, 1, 1, 1), (7, 1), (7, 8, 1, 1)),
        tops=2,
        batched=False,
    ),
    LayerCase(
        "BoxAnnotatorOHEM",
        "box_annotator_ohem_param { roi_per_img: 3 ignore_label: 255 }",
        (found_regions, (7, 1, 1, 1), (7, 1), (7, 8, 1, 1)),
        tops=2,
        batched=False,
        suffix="one_loss",
    ),
]
