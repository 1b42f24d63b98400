"""Options of other Caffes in a net that are not built here, or for which their Caffe would train differently."""

from __future__ import annotations

from collections.abc import Iterator

from segcaffe.lint.finding import Finding
from segcaffe.lint.subject import Subject, class_of
from segcaffe.proto.caffe_pb2 import TRAIN
from segcaffe.proto.fork_options import Effect, find


def fork_options(subject: Subject) -> Iterator[Finding]:
    """Options of layers that do nothing here but would change the result, or the training."""
    for layer in subject.layers:
        cls = class_of(layer)
        for option in find(layer, cls.option_fields(), cls.fork_options):
            what = f"{option.path}: {option.value} is an option of another Caffe"
            if option.effect is Effect.MISSING:
                yield Finding(
                    "fork-option",
                    subject.where(layer),
                    f"{what} that is not built here.",
                    "It would change the result: building the net ends with an error.",
                    "nothing, if the net does without it.",
                )
            elif option.effect is Effect.TRAINING and subject.phase == TRAIN:
                yield Finding(
                    "fork-option",
                    subject.where(layer),
                    f"{what} that does nothing here.",
                    "That Caffe trains differently for it: the same files do not train alike in the two.",
                    "nothing, if the training does without it.",
                )
