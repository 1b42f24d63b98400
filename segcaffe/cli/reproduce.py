"""Try the paper's claim again: plain nets, nets with masks, and with masks and a CRF, over several seeds.

Small nets are trained on generated scenes, or on the images of --data: lists of "image label" as CamVid has them,
VOC2012, Cityscapes, or a folder "images" beside one "labels". For each seed other images are for testing, and weights
begin with other values; within a seed all nets begin with the same plain net, and what is compared is trained equally
long. Mean IoU is printed, over all pixels and near boundaries, as mean and standard deviation over the seeds, and the
gains with the p of a paired t-test. OUT/report has the same with curves and pictures, as a page, as Markdown and as
JSON.

What is finished is kept: after Ctrl-C the same command goes on, and with more --seeds or with --ablations it adds what
is missing. Generated scenes take some minutes on two cores.
"""

from __future__ import annotations

import argparse
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from segcaffe.cli import common
from segcaffe.cli.numbers import whole
from segcaffe.files.lock import lock

if TYPE_CHECKING:
    from segcaffe.recipes.study.study import Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    common.add_option(parser, "data", "a data set (default: generated scenes)", metavar="DIR")
    common.add_option(parser, "seeds", "number of seeds (default 8)", type=whole(1, 1000), default=8, metavar="N")
    common.add_option(parser, "out", "folder for everything (default reproduction)", default="reproduction")
    common.add_option(parser, "ablations", "also change one thing at a time: distance, layers, lambda, embeddings, "
                      "the CRF's iterations and dilation", action="store_true")  # fmt: skip
    common.add_option(parser, "ablation", "of these changes one alone, by the name of its folder, or some by a pattern "
                      "('crf_*'); repeatable", metavar="NAME", action="append", default=[])  # fmt: skip
    common.add_option(parser, "masks_only", "leave out the CRF, and what is trained on to be compared with it",
                      action="store_true")  # fmt: skip
    common.add_option(parser, "ignore", "with --data: a label whose pixels do not count, besides 255 (11 for CamVid as "
                      "SegNet's authors publish it); repeatable", type=whole(0, 255), action="append")  # fmt: skip
    common.add_option(parser, "size", "with --data: pixels of the longer side that images are made smaller to "
                      "(default 256)", type=whole(16, 4096), metavar="N")  # fmt: skip
    common.add_option(parser, "max_iter", "iterations of each training (default 120; with --data 300, "
                      "of those with a CRF and beside it 100)",
                      type=whole(1), metavar="N")  # fmt: skip
    common.add_option(parser, "train", "training images at most (default 200)", type=whole(1), default=200,
                      metavar="N")  # fmt: skip
    common.add_option(parser, "test", "test images at most (default 60; of --data a quarter at most)", type=whole(1),
                      default=60, metavar="N")  # fmt: skip
    common.add_device_options(parser)
    # Its nets are its own: they have no Python layers, and write where it says.
    parser.set_defaults(no_python=True)


def run(options: argparse.Namespace) -> int:
    """Carry the study out and print its tables."""
    from segcaffe.glog import note, start_log
    from segcaffe.recipes.study.study import Study
    from segcaffe.recipes.study.tables import ablated, differences, scores, verdict

    common.show_warnings()
    if options.data is None:
        common.leave_out(options, {"ignore": None, "size": None}, "--data")
    plan = _plan(options)
    study = Study(plan, common.progress)
    common.set_device(options)
    held = lock(plan.folder, "reproduce", "choose another --out", inside=True)
    with held, start_log(str(plan.folder), "reproduce", quiet=True):
        try:
            results, page = study.carry_out()
        except KeyboardInterrupt:
            note(f"\nWhat is finished is kept in {plan.folder}; the same command goes on.")
            raise
    print(textwrap.fill(results.about, 100))
    print()
    print(scores(results).text())
    print()
    print(differences(results).text())
    if options.ablations or options.ablation:
        print()
        print(ablated(results).text())
    print()
    for sentence in verdict(results):
        print(textwrap.fill(sentence, 100))
    print(f"\nThe report: {page}")
    return 0


def _plan(options: argparse.Namespace) -> Plan:
    from segcaffe.recipes.study.images import Sample
    from segcaffe.recipes.study.study import REAL, Plan
    from segcaffe.recipes.study.variants import PHOTOGRAPHS, SCENES, Schedule

    sample = Sample(options.train, options.test, options.size or Sample.size, tuple(options.ignore or ()))
    schedule, masks = (REAL, PHOTOGRAPHS) if options.data else (Schedule(), SCENES)
    if options.max_iter is not None:
        schedule = replace(schedule, iterations=(options.max_iter,) * 3)
    data = Path(options.data) if options.data else None
    ablations = ("*",) if options.ablations else tuple(options.ablation)
    return Plan(
        Path(options.out).resolve(), options.seeds, data, ablations, not options.masks_only, sample, schedule,
        masks,
    )  # fmt: skip
