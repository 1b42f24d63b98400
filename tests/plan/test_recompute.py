"""Which values are dropped: by names, or as the planner chooses."""

from __future__ import annotations

import pytest

from segcaffe.errors import GraphError
from segcaffe.plan.recompute import choose, names_of
from tests.plan.programs import chain


def test_names_and_patterns() -> None:
    program = chain(6)
    assert choose(program, ()).recomputed() == {}
    # What the chosen steps are made from is read backward itself, so it stays.
    assert choose(program, ("s2", "s4")).recomputed() == {5: [4], 3: [2]}
    assert choose(program, ("s[23]",)).recomputed() == {4: [2, 3]}
    assert choose(chain(6, learns=False), ("no_such",)).recomputed() == {}


def test_automatic_never_needs_more() -> None:
    assert choose(chain(30), ("auto",)).recomputed()
    assert choose(chain(2), ("auto",)).recomputed() == {}


@pytest.mark.parametrize(
    ("names", "message"),
    [(("s9x",), 'no layer is called "s9x"'), (("s0",), r'layer "s0" \(Test\) cannot be computed again')],
)
def test_names_that_cannot_be_meant(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        choose(chain(6), names)


def test_names_come_from_lists_and_texts() -> None:
    assert names_of(" a, b*,,") == names_of(["a", " b* ", ""]) == ("a", "b*")
    assert names_of(None) == ()
