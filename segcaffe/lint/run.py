"""Linting files: which checks run on a net or a solver, and with which other files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from segcaffe.errors import SegcaffeError
from segcaffe.files.there import is_file
from segcaffe.graph.rules import net_state, uses_states
from segcaffe.lint import build_checks, compare, net_checks, solver_checks
from segcaffe.lint.finding import Finding
from segcaffe.lint.labels import labels
from segcaffe.lint.subject import Subject, Variables, class_of
from segcaffe.lint.weights import weights
from segcaffe.proto.caffe_pb2 import TEST, TRAIN, NetParameter, NetState, Phase, SolverParameter
from segcaffe.proto.encoding import to_native
from segcaffe.proto.placed import PlacedNet
from segcaffe.proto.source import read_text
from segcaffe.proto.template import template_names
from segcaffe.proto.text import outer_fields, read_net_sketch, read_solver_sketch


@dataclass
class Report:
    """Findings, and remarks on what was looked at and what was not."""

    findings: list[Finding] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Take in another report."""
        self.findings += [finding for finding in other.findings if finding not in self.findings]
        self.remarks += [remark for remark in other.remarks if remark not in self.remarks]


def is_solver(path: str | Path) -> bool:
    """Whether a text file is a solver rather than a net, by the fields it begins with."""
    only_solvers = set(SolverParameter.DESCRIPTOR.fields_by_name) - set(NetParameter.DESCRIPTOR.fields_by_name)
    return bool(only_solvers & set(outer_fields(read_text(path))))


def lint(
    path: str | Path,
    variables: Variables = None,
    weights_path: str | Path | None = None,
    trained: str | Path | None = None,
    phase: int | None = None,
    tolerant: bool = False,
) -> Report:
    """Look at a net or a solver, whichever the file is.

    Parameters
    ----------
    weights_path:
        File of weights the net will be given.
    trained:
        The net the weights come from; for a test or deploy file, the train file beside it unless given.
    phase:
        TRAIN or TEST; both where it is None, except for files called test or deploy.
    tolerant:
        Whether options of nets that are not known are findings, rather than the end of the matter.
    """
    if is_solver(path):
        return lint_solver(path, variables, weights_path, tolerant)
    net, unset = read_net_sketch(path, variables, tolerant=tolerant)
    report = Report(remarks=_about_templates(path, unset))
    report.findings += build_checks.unknown_options(net)
    original = Path(trained) if trained is not None else compare.training_net(Path(path))
    phases = _phases(Path(path), net.message) if phase is None else [phase]
    report.findings += _not_built(net, Path(path), phases)
    for one in phases:
        subject = Subject.of(net, Path(path), net_state(one), unset)
        report.add(_lint_subject(subject, original if one == TEST else None, variables, weights_path))
    return report


def lint_solver(
    path: str | Path, variables: Variables = None, weights_path: str | Path | None = None, tolerant: bool = False
) -> Report:
    """Look at a solver and the nets it names."""
    solver, unset = read_solver_sketch(path, variables)
    report = Report(remarks=_about_templates(path, unset))
    for check in solver_checks.CHECKS:
        report.findings += check(solver, str(path))
    report.findings += build_checks.nets_of(solver, str(path))
    for found in _nets(solver, Path(path), report):
        report.add(_lint_net_of(solver, Path(path), found, variables, weights_path, tolerant))
    return report


def _lint_net_of(
    solver: SolverParameter,
    path: Path,
    found: _Net,
    variables: Variables,
    weights_path: str | Path | None,
    tolerant: bool,
) -> Report:
    """Look at one of a solver's nets, in the state that it has there."""
    net, missing = found.net, list[str]()
    if net is None:
        try:
            net, missing = read_net_sketch(found.path, variables, tolerant=tolerant)
        except SegcaffeError as error:
            return Report([build_checks.unreadable(error, str(path))])
    report = Report(list(build_checks.unknown_options(net)), _about_templates(found.path, missing))
    own = net.message.state
    state = net_state(found.phase, own.level, own.stage)
    state.MergeFrom(found.state)
    state.phase = found.phase
    report.findings += build_checks.connections(net, state, found.path)
    subject = Subject.of(net, found.path, state, missing)
    trained = _train_path(solver, path) if found.phase == TEST else None
    other = trained if trained is not None and trained != found.path else None
    report.add(_lint_subject(subject, other, variables, weights_path))
    report.findings += net_checks.adding_scales(subject, solver.iter_size)
    return report


def _not_built(net: PlacedNet, path: Path, phases: list[int]) -> list[Finding]:
    """Findings on a net that can be built in none of its phases; one may be without data on purpose.

    Nothing is found where levels or stages may bring what is missing.
    """
    if uses_states(net.message):
        return []
    found = [list(build_checks.connections(net, net_state(phase), path)) for phase in phases]
    return found[0] if all(found) else []


def _lint_subject(
    subject: Subject, trained: Path | None, variables: Variables, weights_path: str | Path | None
) -> Report:
    report = Report(remarks=_about_code(subject))
    for check in net_checks.CHECKS:
        report.findings += check(subject)
    report.findings += net_checks.adding_scales(subject)
    report.findings += labels(subject)
    if trained is not None:
        report.remarks.append(f"{subject.path} was compared with {trained}.")
        report.findings += compare.compare(subject, Subject.read(trained, TRAIN, variables))
    if weights_path is not None:
        from segcaffe.convert.formats import load

        report.findings += weights(subject, load(weights_path), str(weights_path))
    return report


def _phases(path: Path, net: NetParameter) -> list[int]:
    if path.name.startswith(("test", "deploy")) or any(layer.type == "Input" for layer in net.layer):
        return [TEST]
    if path.name.startswith("train") and "test" not in path.name:
        return [TRAIN]
    return [TRAIN, TEST]


class _Net(NamedTuple):
    """One of a solver's nets: what the solver holds of it (None: it is in the file), its file, phase and state."""

    net: PlacedNet | None
    path: Path
    phase: Phase
    state: NetState


def _nets(solver: SolverParameter, path: Path, report: Report) -> Iterator[_Net]:
    """The nets of a solver."""
    for name in ("net_param", "train_net_param"):
        if solver.HasField(name):
            yield _Net(PlacedNet.of(getattr(solver, name)), path, TRAIN, solver.train_state)
            for state in solver.test_state if name == "net_param" else ():
                yield _Net(PlacedNet.of(solver.net_param), path, TEST, state)
    for message in solver.test_net_param:
        yield _Net(PlacedNet.of(message), path, TEST, NetState())
    files = [(solver.train_net or solver.net, TRAIN, solver.train_state)]
    files += [(name, TEST, NetState()) for name in solver.test_net]
    states = list(solver.test_state) or [NetState()] * min(1, len(solver.test_iter))
    files += [(solver.net, TEST, state) for state in states]
    for name, phase, state in files:
        found = _find(name, path) if name else None
        if found is not None:
            yield _Net(None, found, phase, state)
        elif template_names(name):
            report.remarks.append(f"The net {name} was not looked at: its name has a template without a value.")
        elif name:
            report.add(Report([build_checks.missing(name, str(path))]))


def _find(name: str, solver: Path) -> Path | None:
    """A net's file: from the working directory, as in Caffe, or beside the solver."""
    name = to_native(name)
    for path in (Path(name), solver.parent / name, solver.parent / Path(name).name):
        if is_file(path):
            return path
    return None


def _train_path(solver: SolverParameter, path: Path) -> Path | None:
    name = solver.train_net or solver.net
    return _find(name, path) if name else None


def _about_code(subject: Subject) -> list[str]:
    """What is left out, since looking at a net runs none of its code."""
    codes = [str(code) for layer in subject.layers if (code := class_of(layer).code(layer)) is not None]
    if not codes:
        return []
    found = "; ".join(dict.fromkeys(codes))
    return [f"{subject.path}: Python layers are code, which was neither run nor looked at: {found}."]


def _about_templates(path: str | Path, unset: list[str]) -> list[str]:
    if not unset:
        return []
    lack = "has no value" if len(unset) == 1 else "have no values"
    return [
        f"{path}: {', '.join(unset)} {lack}, so sizes and data were not looked at. "
        f"Give them with --set {unset[0]}=VALUE or --vars FILE."
    ]
