"""Writes configs/ from the recipes: python tools/make_configs.py [--check]."""

from __future__ import annotations

import sys
from pathlib import Path

from segcaffe.recipes import camvid, embs, enet, resnet, segnet, ssd, tiny, vgg16

ROOT = Path(__file__).resolve().parent.parent
CROP = "${CROP_SIZE}"
HALF = "${HALF_SIZE}"
CLASSES = "${NUM_LABELS}"
DATASET = "${DATASET}"
IDS = "${LIST_DIR}/${TEST_SET}_id.txt"


def files() -> dict[str, str]:
    """All files by their path below configs/."""
    return {**_embs(), **_vgg16(), **_resnet(), **_tiny(), **_ssd(), **_camvid()}


def _embs() -> dict[str, str]:
    return {
        "embs/train.prototxt": embs.train(_images("TRAIN_SET")),
        "embs/test.prototxt": embs.test(_images("TEST_SET", 1), "${FEATURE_DIR}/", IDS, "embs"),
        "embs/deploy.prototxt": embs.deploy("${HEIGHT}", "${WIDTH}"),
        "embs/solver.prototxt": embs.solver(
            "configs/embs/train.prototxt", "${OUT}/embs", "${LEARNING_RATE}", 24000, 1000
        ),
    }


def _vgg16() -> dict[str, str]:
    rates = vgg16.Rates(("${EMBS_LR1}", "${EMBS_LR2}"), ("${MAINSCALE_LR1}", "${MAINSCALE_LR2}"))
    return {
        "vgg16/train.prototxt": vgg16.train(_images("TRAIN_SET"), CLASSES, DATASET, rates),
        "vgg16/test.prototxt": vgg16.test(_images("TEST_SET", 1), CLASSES, DATASET, "${FEATURE_DIR}/", IDS),
        "vgg16/deploy.prototxt": vgg16.deploy("${HEIGHT}", "${WIDTH}", CLASSES, DATASET),
        "vgg16/solver.prototxt": vgg16.solver(
            "configs/vgg16/train.prototxt", "${OUT}/vgg16", "${LEARNING_RATE}", "${STEP}", "${ITERS}", "${SNAP}"
        ),
        "vgg16/train_embs.prototxt": vgg16.train_embeddings(_images("TRAIN_SET")),
        "vgg16/solver_embs.prototxt": embs.solver(
            "configs/vgg16/train_embs.prototxt", "${OUT}/vgg16_embs", "${LEARNING_RATE}", "${ITERS}", "${SNAP}"
        ),
    }


def _resnet() -> dict[str, str]:
    rates = resnet.Rates(
        ("${EMBS_LR1}", "${EMBS_LR2}"), "${MAIN_LR1}", ("${FINAL_LR1}", "${FINAL_LR2}"), "${CRF_LR1}", "${CRF_LR2}"
    )
    size = resnet.Size("${HEIGHT}", "${WIDTH}", "${HALF_HEIGHT}", "${HALF_WIDTH}")
    return {
        "resnet/train.prototxt": resnet.train(_images("TRAIN_SET"), HALF, CLASSES, DATASET, rates),
        "resnet/test.prototxt": resnet.test(_images("TEST_SET", 1), HALF, CLASSES, DATASET, "${FEATURE_DIR}/", IDS),
        "resnet/deploy.prototxt": resnet.deploy(size, CLASSES, DATASET),
        "resnet/solver.prototxt": resnet.solver(
            "configs/resnet/train.prototxt", "${OUT}/resnet", "${LEARNING_RATE}", "${ITER_SIZE}", "${ITERS}", "${SNAP}"
        ),
    }


def _tiny() -> dict[str, str]:
    """Nets for 144 x 144 images; training on crops."""
    root, crop, side, iterations = "${SCENES}/", 65, 145, 120
    train = embs.Images(f"{root}train.txt", root, 8, crop, embs.RGB_SCALE)
    test = embs.Images(f"{root}test.txt", root, 1, side, embs.RGB_SCALE)
    halves = (crop // 2 + 1, side // 2 + 1)
    written = {
        "tiny/embs_train.prototxt": tiny.train_embeddings(train),
        "tiny/embs_solver.prototxt": tiny.solver(
            "train_net", "configs/tiny/embs_train.prototxt", "${OUT}/embs", iterations
        ),
    }
    size, half = (side, side), (halves[1], halves[1])
    for model in (tiny.Model(), tiny.Model(tiny.Masks()), tiny.Model(tiny.Masks(), tiny.Crf())):
        kind = model.kind
        path = f"tiny/{kind}_train_test.prototxt"
        written[path] = tiny.train_test(train, test, model, halves)
        written[f"tiny/{kind}_deploy.prototxt"] = tiny.deploy(size, half, model)
        written[f"tiny/{kind}_solver.prototxt"] = tiny.solver(
            "net", f"configs/{path}", f"${{OUT}}/{kind}", iterations, 0.0005 if model.crf else 0.002
        )
    cascaded = tiny.Model(cascade=True)
    return written | {f"tiny/{cascaded.kind}_deploy.prototxt": tiny.deploy(size, half, cascaded)}


def _ssd() -> dict[str, str]:
    """A detector for scenes with boxes, their databases below ``${SCENES}``."""
    path = "ssd/train_test.prototxt"
    return {
        path: ssd.train_test("${SCENES}/"),
        "ssd/deploy.prototxt": ssd.deploy(),
        "ssd/solver.prototxt": ssd.solver(f"configs/{path}", "${OUT}/ssd", 1200),
    }


def _camvid() -> dict[str, str]:
    """Nets for road scenes, their lists below ``${SCENES}``."""
    written = {}
    for name, recipe, rate, iterations in (("segnet", segnet, 0.005, 300), ("enet", enet, 0.005, 600)):
        path = f"{name}/train_test.prototxt"
        written[path] = recipe.train_test("${SCENES}/")
        written[f"{name}/deploy.prototxt"] = recipe.deploy()
        written[f"{name}/solver.prototxt"] = camvid.solver(f"configs/{path}", f"${{OUT}}/{name}", iterations, rate)
    return written


def _images(subset: str, batch_size: str | int = "${BATCH_SIZE}") -> embs.Images:
    return embs.Images(f"${{LIST_DIR}}/${{{subset}}}.txt", "${DATA_ROOT}", batch_size, CROP)


def main() -> int:
    """Write the files, or with ``--check`` tell whether they are up to date."""
    folder = ROOT / "configs"
    if "--check" in sys.argv[1:]:
        stale = [name for name, text in files().items() if not _is(folder / name, text)]
        print("\n".join(f"configs/{name} is out of date; run python tools/make_configs.py" for name in stale))
        return 1 if stale else 0
    for name, text in files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return 0


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main())
