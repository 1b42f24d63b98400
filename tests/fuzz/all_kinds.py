"""Every kind of input there is."""

from __future__ import annotations

from tests.fuzz import boxes, commands, data, imports, nets, pictures, tables, weights
from tests.fuzz.kinds import Kind

KINDS: dict[str, Kind] = {
    **nets.KINDS,
    **weights.KINDS,
    **imports.KINDS,
    **data.KINDS,
    **pictures.KINDS,
    **tables.KINDS,
    **boxes.KINDS,
    **commands.KINDS,
}
