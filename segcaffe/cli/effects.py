"""What each command opens and writes, for docs/security.md; what it runs follows from its options."""

from __future__ import annotations

from typing import NamedTuple


class Effects(NamedTuple):
    """Files that a command opens, and those that it writes."""

    opens: str
    writes: str


_NOTHING = "nothing"
_NET = "NET and what its data layers name (to learn shapes)"
_LISTED = "images and label maps that the list names"
EFFECTS: dict[str, Effects] = {
    "train": Effects(
        "the solver, the nets that it names, what their data layers name, weights, the solver state and the weights "
        "that it names",
        "snapshots under `snapshot_prefix` (with `--out`: in that folder), the log beside them, `--tensorboard`; what "
        "the net's sinks name",
    ),
    "test": Effects("the net, what its data layers name, weights", "the log in `--out`; what the net's sinks name"),
    "time": Effects("the net, what its data layers name, weights", "what the net's sinks name"),
    "classify": Effects("the net, weights, INPUT, `--mean_file`, `--labels`", "OUTPUT; what the net's sinks name"),
    "detect": Effects("the net, weights, INPUT and its images, `--mean_file`", "OUTPUT; what the net's sinks name"),
    "draw": Effects("NET; with `--shapes` what its data layers name", "OUT"),
    "net": Effects(_NET, _NOTHING),
    "data make-db": Effects(f"the list, {_LISTED}", "the database"),
    "data mean": Effects(f"the database, or the list and {_LISTED}", "FILE"),
    "data show": Effects(f"the database, or the list and {_LISTED}", "`--out`"),
    "data make-annotated-db": Effects(
        "the list, `--label_map_file`, images and files of boxes that the list names", "the database"
    ),
    "data make-scenes": Effects(_NOTHING, "images and lists in the folder"),
    "data check": Effects(f"the database, or the list and {_LISTED}", _NOTHING),
    "data import-folder": Effects("the two folders", "lists in OUT, with `--map` or `--palette` label maps there"),
    "data import-voc": Effects("the data set, `--sbd`", "lists in OUT, label maps of SBD in the data set's folder"),
    "data import-coco": Effects("the data set", "lists in OUT, label maps in the data set's folder `labels`"),
    "data import-cityscapes": Effects("the data set", "lists in OUT, label maps beside those of the data set"),
    "data import-mnist": Effects("the data set", "databases in OUT"),
    "data import-cifar": Effects("the data set", "databases in OUT"),
    "predict": Effects(
        "NET, weights, the images, a mean file that NET names, `--label_map_file`, `--rois`",
        "files of the images' names in `--out`; of a detector detections.json and detections.csv there, too",
    ),
    "explore": Effects("NET, weights, the images, a mean file that NET names, `--labels`", "`--out`"),
    "refine": Effects("SCORES, GUIDE", "OUTPUT"),
    "segawarify": Effects(
        "NET, WEIGHTS, the net of `--embeddings`, `--embedding_weights`; what NET's data layers name where their "
        "options do not tell how large images are",
        "NAME.prototxt, NAME.caffemodel",
    ),
    "export": Effects(
        "NET, weights, a mean file that NET names",
        "OUT, OUT.proof.json; beyond 2 GiB OUT.data, or of OUT.py the weights in OUT.safetensors",
    ),
    "verify": Effects("NET, weights, a mean file that NET names, FILE and weights beside it", "FILE.proof.json"),
    "weights show": Effects("the file", _NOTHING),
    "weights convert": Effects("the file", "the target"),
    "weights diff": Effects("the two files", _NOTHING),
    "weights rename": Effects("the file", "the target"),
    "weights merge": Effects("the files", "`--out`"),
    "weights import": Effects("NET, SOURCE, values beside an ONNX file, `--map`", "the target"),
    "weights fold-bn": Effects("NET, what its data layers name, weights", "the target; what NET's sinks name"),
    "lint": Effects(
        "NET or the solver and the nets that it names, `--weights`, `--train`, lists and a few of the label maps that "
        "data layers name",
        _NOTHING,
    ),
    "upgrade": Effects("IN", "OUT"),
    "eval": Effects(
        f"PRED, LABELS, {_LISTED}, `--images`, `--names`, `--label_map_file`",
        "`--json`, `--submission`, pictures in `--plots`",
    ),
    "features": Effects("the net, what its data layers name, weights", "OUT; what the net's sinks name"),
    "plot": Effects("the logs", "`--out`, `--csv`"),
    "warm-up": Effects("NET and what its data layers name", "the cache of compiled kernels; what NET's sinks name"),
    "configs": Effects(_NOTHING, "nets and solvers in DIR"),
    "completion": Effects(_NOTHING, _NOTHING),
    "device-query": Effects(_NOTHING, _NOTHING),
    "demo": Effects(_NOTHING, "everything in `--out`"),
    "reproduce": Effects("images and label maps of `--data`", "everything in `--out`"),
    "help": Effects(_NOTHING, _NOTHING),
}
"""For each command, actions of a command by themselves."""
