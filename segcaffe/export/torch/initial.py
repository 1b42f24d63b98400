"""The initial values of a written module: what a net's fillers do, said by torch.nn.init."""

from __future__ import annotations

import math
from collections import defaultdict

from segcaffe.blob.fillers import fans
from segcaffe.export.torch.learning import FEW
from segcaffe.export.torch.names import number
from segcaffe.export.torch.site import Contents, Entry
from segcaffe.proto import caffe_pb2

Filler = caffe_pb2.FillerParameter
_DEFAULTS = {("weight", "nn.init.ones_({})"), ("bias", "nn.init.zeros_({})")}
"""What the parameters of norms are without being told."""
Statements = dict[str, dict[str, str]]
"""By submodule and then by parameter, with {} for the tensor."""


def reset_lines(contents: Contents) -> list[str]:
    """The statements of ``reset_parameters``; none where the net names no filler."""
    by_class: dict[str, Statements] = defaultdict(lambda: defaultdict(dict))
    tied, given = {key for key, _ in contents.ties}, False
    told = {entry.key.partition(".")[0] for entry in contents.entries if _learns(entry) and _is_told(entry)}
    for entry in contents.entries:
        attribute, _, name = entry.key.partition(".")
        # A layer without any filler would begin with zeros, and not learn; PyTorch's own values are left to it.
        if _learns(entry) and entry.key not in tied and attribute in told:
            kind, text = contents.kind(attribute), _statement(entry, contents)
            if text and not _is_so_anyway(kind, name, text):
                by_class[kind][attribute][name] = text
                given = given or _is_told(entry)
    if not given:
        return []
    everything = {name: texts for attributes in by_class.values() for name, texts in attributes.items()}
    if len(everything) <= FEW:
        return _loops_over_names(everything)
    lines: list[str] = []
    for kind, attributes in by_class.items():
        lines += _lines_of_class(kind, attributes, sum(contents.kind(name) == kind for name in contents.modules))
    return lines


def _is_so_anyway(kind: str, name: str, text: str) -> bool:
    """Whether a module's parameter is that without being told."""
    if "Norm" in kind or kind == "Scale":
        return (name, text) in _DEFAULTS
    return kind == "WindowMeanField" or (kind == "nn.PReLU" and text == "nn.init.constant_({}, 0.25)")


def _lines_of_class(kind: str, attributes: Statements, count: int) -> list[str]:
    """A loop over all ``count`` modules of a class with what most of them begin with, and then the others."""
    if len(attributes) <= FEW or len(attributes) < count or kind == "nn.Parameter":
        return _loops_over_names(attributes)
    weights = [text.get("weight", "") for text in attributes.values()]
    usual = max(set(weights), key=weights.count)
    alike = [texts for texts in attributes.values() if texts.get("weight", "") == usual]
    longest = max(alike, key=len)
    others = {name: texts for name, texts in attributes.items() if not texts.items() <= longest.items()}
    lines = _loop(kind, longest, optional=any("bias" not in texts for texts in attributes.values()))
    return [*lines, *_loops_over_names(others)]


def _loops_over_names(attributes: Statements) -> list[str]:
    """Statements for each module, those of modules that begin alike in a loop."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = defaultdict(list)
    for attribute, statements in attributes.items():
        groups[tuple(statements.items())].append(f"self.{attribute}")
    lines = []
    for texts, names in groups.items():
        if len(names) > 1:
            lines.append(f"for layer in ({', '.join(names)}):")
            lines += [f"    {text.format(f'layer.{name}'.rstrip('.'))}" for name, text in texts]
        else:
            lines += [text.format(f"{names[0]}.{name}".rstrip(".")) for name, text in texts]
    return lines


def _loop(kind: str, statements: dict[str, str], optional: bool) -> list[str]:
    lines = ["for module in self.modules():", f"    if isinstance(module, {kind}):"]
    for name, text in statements.items():
        if optional and name == "bias":
            lines += ["        if module.bias is not None:", f"            {text.format('module.bias')}"]
        else:
            lines.append(f"        {text.format(f'module.{name}')}")
    return lines


def _learns(entry: Entry) -> bool:
    return entry.held.values is None


def _is_told(entry: Entry) -> bool:
    return bool(_filler(entry).ListFields())


def _filler(entry: Entry) -> Filler:
    filler: Filler = entry.layer.fillers[entry.held.index]
    return filler


def _statement(entry: Entry, contents: Contents) -> str:
    """The statement with {} for the tensor; "" where the values are what they are anyway."""
    filler, shape = _filler(entry), tuple(entry.layer.blobs[entry.held.index].shape)
    same = entry.held.shape in (None, shape) and not entry.held.transposed
    if filler.type == "constant":
        known = {0.0: "nn.init.zeros_({})", 1.0: "nn.init.ones_({})"}
        return known.get(filler.value, f"nn.init.constant_({{}}, {number(filler.value)})")
    if filler.type == "uniform":
        return f"nn.init.uniform_({{}}, {number(filler.min)}, {number(filler.max)})"
    if filler.type == "gaussian" and filler.sparse == -1:
        mean = f"mean={number(filler.mean)}, " if filler.mean else ""
        return f"nn.init.normal_({{}}, {mean}std={number(filler.std)})"
    if filler.type in ("xavier", "msra"):
        return _by_fans(filler, shape, same)
    text = {
        "gaussian": f"sparse_gaussian_({{}}, {number(filler.mean)}, {number(filler.std)}, {filler.sparse})",
        "positive_unitball": "positive_unitball_({})",
        "bilinear": "bilinear_({})",
        "xy": "coordinates_({})",
    }[filler.type]
    if not same:
        return ""
    contents.pieces.add(text.partition("(")[0])
    return text


def _by_fans(filler: Filler, shape: tuple[int, ...], same: bool) -> str:
    """Kaiming's initial values, in whose sense the fans are Caffe's, or their bound where these differ."""
    fan_in, fan_out = fans(shape)
    xavier = filler.type == "xavier"
    if same and len(shape) >= 2 and filler.variance_norm != Filler.AVERAGE:
        mode = ', mode="fan_out"' if filler.variance_norm == Filler.FAN_OUT else ""
        if xavier:
            return f'nn.init.kaiming_uniform_({{}}{mode}, nonlinearity="linear")'
        return f'nn.init.kaiming_normal_({{}}{mode}, nonlinearity="relu")'
    if same and len(shape) >= 2 and xavier:
        return "nn.init.xavier_uniform_({})"
    divisor = {Filler.AVERAGE: (fan_in + fan_out) / 2, Filler.FAN_OUT: fan_out}.get(filler.variance_norm, fan_in)
    if xavier:
        bound = float(f"{math.sqrt(3 / max(divisor, 1)):.6g}")
        return f"nn.init.uniform_({{}}, {number(-bound)}, {number(bound)})"
    return f"nn.init.normal_({{}}, std={float(f'{math.sqrt(2 / max(divisor, 1)):.6g}')})"
