"""Plans of programs: what shares memory, what it adds up to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from segcaffe.plan.memory import MemoryPlan, make_plan
from segcaffe.plan.program import Buffer, Program, Step
from segcaffe.plan.schedule import live_ranges
from tests.plan.programs import chain


def _apart(program: Program, plan: MemoryPlan) -> bool:
    """Whether no two buffers that live at the same time overlap, but for those made inside others."""
    ranges = live_ranges(program, plan.schedule)
    for slot in plan.slots:
        placed = [(item, offset) for item, offset in zip(slot.items, slot.offsets, strict=True)]
        for k, (one, start) in enumerate(placed):
            for other, begin in placed[:k]:
                together = any(a[0] <= b[1] and b[0] <= a[1] for a in ranges[one.number] for b in ranges[other.number])
                if together and start < begin + other.size and begin < start + one.size:
                    return False
    return True


@pytest.mark.parametrize("one_slot", [True, False])
@pytest.mark.parametrize("names", [(), ("auto",), ("*",), ("s2", "s5")], ids=str)
def test_buffers_that_live_together_lie_apart(names: tuple[str, ...], one_slot: bool) -> None:
    program = chain(12, size=64, saved=8)
    plan = make_plan(program, names, one_slot)
    assert _apart(program, plan)
    assert sorted(item.number for slot in plan.slots for item, _ in slot.places()) == [*range(1, 11), *range(13, 23)]
    assert plan.own == 3 * 64
    assert plan.params == 7
    assert plan.unshared == 20 * 64
    assert plan.saved_unshared == 12 * 8
    assert plan.total < plan.total_unshared


def test_a_chain_that_only_runs_forward_needs_two_buffers() -> None:
    plan = make_plan(chain(12, size=64, saved=8, learns=False))
    assert plan.shared == 2 * 64
    assert plan.saved == 8


def test_recomputation_takes_less_and_saves_less() -> None:
    program = chain(40, size=64, saved=8)
    kept, dropped = make_plan(program), make_plan(program, ("auto",))
    assert dropped.shared < 0.5 * kept.shared
    assert dropped.saved < 0.6 * kept.saved
    assert dropped.own == kept.own


def test_what_a_step_joins_is_made_inside_its_result() -> None:
    steps = (
        Step("in", tops=(0,), backward=False),
        Step("a", bottoms=(0,), tops=(1,)),
        Step("b", bottoms=(0,), tops=(2,)),
        Step("join", bottoms=(1, 2), tops=(3,), joins=((1, 0), (2, 640))),
        Step("out", bottoms=(3,), tops=(4,)),
    )
    sizes = (64, 640, 320, 960, 64)
    buffers = tuple(Buffer(str(i), "values", size) for i, size in enumerate(sizes))
    program = Program(steps, buffers, frozenset({0, 4}), learns=False)
    plan = make_plan(program)
    assert {item.number: offset for item, offset in plan.slots[0].places()} == {3: 0, 1: 0, 2: 640}
    assert plan.shared == 960
    # A step that changes the result later would change what is inside it too, which is still needed then.
    changed = Step("relu", bottoms=(3,), tops=(3,), in_place=True)
    late = Step("late", bottoms=(1,), tops=(4,))
    assert make_plan(replace(program, steps=(*steps[:4], changed, late))).shared > 960


def test_results_of_joins_are_made_inside_the_next_one() -> None:
    """As in DenseNets: each step reads what there is, and what it makes is joined to that."""
    steps = [Step("in", tops=(0,), backward=False), Step("first", bottoms=(0,), tops=(1,))]
    sizes = [64, 128]
    for k in range(3):
        whole, part = 2 * k + 1, 2 * k + 2
        joins = ((whole, 0), (part, sizes[whole]))
        steps.append(Step(f"more{k}", bottoms=(whole,), tops=(part,)))
        steps.append(Step(f"join{k}", bottoms=(whole, part), tops=(whole + 2,), joins=joins))
        sizes += [64, sizes[whole] + 64]
    steps.append(Step("out", bottoms=(7,), tops=(8,)))
    buffers = tuple(Buffer(str(i), "values", size) for i, size in enumerate([*sizes, 64]))
    plan = make_plan(Program(tuple(steps), buffers, frozenset({0, 8}), learns=False))
    places = {item.number: offset for item, offset in plan.slots[0].places()}
    assert places == {7: 0, 5: 0, 3: 0, 1: 0, 6: 256, 4: 192, 2: 128}
    assert plan.shared == 320


def _sums(late: bool) -> Program:
    """Two sums one behind the other; where ``late`` the first one's gradient is read once more, by what made it."""
    first = Step("first", bottoms=(1, 2), tops=(3,), gradients=frozenset({11, 12, 13}), hands_on=((11, 13), (12, 13)))
    second = Step("second", bottoms=(3, 1), tops=(4,), gradients=frozenset({13, 14}), hands_on=((13, 14),))
    steps = (
        Step("in", tops=(0,), backward=False),
        Step("a", bottoms=(0,), tops=(1,), gradients=frozenset({11, 13} if late else {11})),
        Step("b", bottoms=(0,), tops=(2,), gradients=frozenset({12})),
        first,
        second,
        Step("loss", bottoms=(4,), tops=(5,), gradients=frozenset({14})),
    )
    kinds = [*("values",) * 10, *("gradients",) * 5]
    buffers = tuple(Buffer(str(i), kind, 64) for i, kind in enumerate(kinds))  # type: ignore[arg-type]
    return Program(steps, buffers, frozenset({0, 5}))


def test_a_gradient_is_handed_on_to_one_of_those_that_equal_it() -> None:
    plan = make_plan(_sums(late=False))
    places = {item.number: offset for item, offset in plan.slots[0].places()}
    assert places[11] == places[13] == places[14] != places[12]
    assert _apart(_sums(late=False), plan)


def test_a_gradient_that_is_needed_later_is_copied() -> None:
    plan = make_plan(_sums(late=True))
    places = {item.number: offset for item, offset in plan.slots[0].places()}
    assert places[13] == places[14]
    assert len({places[number] for number in (11, 12, 13)}) == 3


def test_workspace_is_used_by_turns() -> None:
    steps = (Step("a", workspace={"packed": 5, "columns": 2}), Step("b", workspace={"packed": 3, "tables": 1}))
    assert make_plan(Program(steps, ())).workspace == 8


def test_packed_weights_are_kept_for_each_layer_of_a_net_that_only_runs_forward() -> None:
    steps = (Step("a", workspace={"packed": 5, "columns": 2}), Step("b", workspace={"packed": 3, "tables": 1}))
    assert [make_plan(Program(steps, (), learns=learns)).prepared for learns in (False, True)] == [8, 0]


def test_where_most_is_in_use() -> None:
    assert make_plan(chain(6)).peak_step == "s5 (backward)"
    assert make_plan(Program((), ())).peak_step == "(no layers)"
