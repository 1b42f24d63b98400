"""What a written module tells an optimizer: which parameters do not learn, and which learn faster than others."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from segcaffe.export.torch.lines import statement
from segcaffe.export.torch.names import member, number
from segcaffe.export.torch.site import Contents, Entry
from segcaffe.net.net import Net

FEW = 8
"""So many modules are named one by one."""
Multipliers = tuple[float, float]
Rates = dict[Any, Multipliers]
"""Multipliers of learning rate and weight decay by a parameter's memory."""


def rates_of(net: Net) -> Rates:
    """The net's multipliers; a parameter that layers share has one."""
    given = zip(net.learnable_params, net.params_lr, net.params_weight_decay, strict=True)
    return {blob.buffer("data"): (float(lr), float(decay)) for blob, lr, decay in given}


def freezing(contents: Contents, rates: Rates) -> list[str]:
    """Statements that keep what has lr_mult 0 from learning: whole submodules where that is all they have."""
    flags: dict[str, list[bool]] = defaultdict(list)
    parameters = _parameters(contents)
    for entry in parameters:
        flags[entry.key.partition(".")[0]].append(rates[entry.buffer()][0] == 0)
    whole = [name for name, frozen in flags.items() if all(frozen)]
    single = [
        entry.key for entry in parameters if rates[entry.buffer()][0] == 0 and entry.key.partition(".")[0] not in whole
    ]
    lines: list[str] = []
    for kind in dict.fromkeys(map(contents.kind, whole)):
        others = [name for name in flags if contents.kind(name) == kind and name not in whole]
        same = [name for name in whole if contents.kind(name) == kind]
        if kind != "nn.Parameter" and len(same) > FEW and len(others) <= FEW:
            lines += _freeze_class(kind, others)
            whole = [name for name in whole if name not in same]
    keys = [member(key) for key in (*whole, *single)]
    if len(keys) <= 2:
        return [*lines, *(line for key in keys for line in statement(f"{key}.requires_grad_(False)", 8))]
    return [*lines, *statement(f"for frozen in [{', '.join(keys)}]:", 8), "            frozen.requires_grad_(False)"]


def _freeze_class(kind: str, others: list[str]) -> list[str]:
    """A loop over all modules of a class but a few."""
    but = f" and module not in ({', '.join(map(member, others))},)" if others else ""
    return [
        "        for module in self.modules():",
        *statement(f"if isinstance(module, {kind}){but}:", 12),
        "                module.requires_grad_(False)",
    ]


def group_lines(contents: Contents, rates: Rates) -> list[str]:
    """The method that gives an optimizer the net's multipliers; none where all are 1."""
    groups: dict[Multipliers, list[str]] = defaultdict(list)
    for entry in _parameters(contents):
        if rates[entry.buffer()][0]:
            groups[rates[entry.buffer()]].append(entry.key)
    if not set(groups) - {(1.0, 1.0)}:
        return []
    lines = [
        "    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict]:",
        '        """Parameters with their learning rates and weight decays, for an optimizer of torch.optim."""',
    ]
    made, lists = _lists(groups)
    lines += made
    lines.append("        return [")
    for (lr, decay), text in lists.items():
        group = f'{{"params": {text}, "lr": {_times(lr, "lr")}, "weight_decay": {_times(decay, "weight_decay")}}},'
        lines += statement(group, 12)
    return [*lines, "        ]"]


def _lists(groups: dict[Multipliers, list[str]]) -> tuple[list[str], dict[Multipliers, str]]:
    """Statements that collect the parameters, and for each group the list that they make."""
    if _apart_by_bias(groups):
        lines = [
            '        weights = [p for name, p in self.named_parameters() if not name.endswith("bias")]',
            '        biases = [p for name, p in self.named_parameters() if name.endswith("bias")]',
        ]
        return lines, {rates: "biases" if keys[0].endswith("bias") else "weights" for rates, keys in groups.items()}
    explicit = {rates: f"[{', '.join(map(member, keys))}]" for rates, keys in groups.items()}
    if sum(map(len, groups.values())) <= 2 * FEW:
        return [], explicit
    by_size = sorted(groups, key=lambda rates: len(groups[rates]))
    rest = by_size.pop()
    biases = next((rates for rates in reversed(by_size) if all(key.endswith("bias") for key in groups[rates])), None)
    special = [rates for rates in by_size if rates != biases]
    lines = statement(f"special = [{', '.join(member(key) for rates in special for key in groups[rates])}]", 8)
    lines.append("        apart = set(special)")
    lists = {rest: "others"}
    if biases is not None:
        lines.append(
            '        biases = [p for name, p in self.named_parameters() if name.endswith("bias") and p not in apart]'
        )
        lines.append("        apart.update(biases)")
        lists[biases] = "biases"
    lines.append("        others = [p for p in self.parameters() if p.requires_grad and p not in apart]")
    return lines, {**lists, **{rates: explicit[rates] for rates in special}}


def _apart_by_bias(groups: dict[Multipliers, list[str]]) -> bool:
    """Whether there are two groups: the biases, and everything else."""
    ends = [{key.endswith("bias") for key in keys} for keys in groups.values()]
    return sorted(map(sorted, ends)) == [[False], [True]]


def _parameters(contents: Contents) -> list[Entry]:
    """The entries that are parameters, each tensor once."""
    tied = {key for key, _ in contents.ties}
    return [entry for entry in contents.entries if entry.held.values is None and entry.key not in tied]


def _times(multiplier: float, name: str) -> str:
    if multiplier in (0, 1):
        return name if multiplier else "0.0"
    return f"{number(int(multiplier) if multiplier == int(multiplier) else multiplier)} * {name}"
