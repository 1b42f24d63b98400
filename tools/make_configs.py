"""Writes configs/ from the recipes: python tools/make_configs.py [--check]."""

from __future__ import annotations

import sys
from pathlib import Path

from segcaffe.recipes import embs

ROOT = Path(__file__).resolve().parent.parent


def files() -> dict[str, str]:
    """All files by their path below configs/."""
    train = embs.Images("${LIST_DIR}/${TRAIN_SET}.txt", "${DATA_ROOT}", "${BATCH_SIZE}", "${CROP_SIZE}")
    test = embs.Images("${LIST_DIR}/${TEST_SET}.txt", "${DATA_ROOT}", 1, "${CROP_SIZE}")
    return {
        "embs/train.prototxt": embs.train(train),
        "embs/test.prototxt": embs.test(test, "${FEATURE_DIR}/", "${LIST_DIR}/${TEST_SET}_id.txt", "embs"),
        "embs/deploy.prototxt": embs.deploy("${HEIGHT}", "${WIDTH}"),
        "embs/solver.prototxt": embs.solver(
            "configs/embs/train.prototxt", "${OUT}/embs", "${LEARNING_RATE}", 24000, 1000
        ),
    }


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
