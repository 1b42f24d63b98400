"""The order of the work, and when buffers live in it."""

from __future__ import annotations

from dataclasses import replace

from segcaffe.plan.program import Buffer, Program, Step
from segcaffe.plan.schedule import Turn, find_units, live_ranges, make_schedule, usage
from tests.plan.programs import chain


def test_steps_run_forward_and_those_that_learn_backward() -> None:
    turns = make_schedule(chain(3)).turns
    assert turns == (*(Turn("forward", i) for i in range(3)), Turn("backward", 2), Turn("backward", 1))
    assert make_schedule(chain(3, learns=False)).turns == tuple(Turn("forward", i) for i in range(3))


def test_values_live_to_the_last_reader_and_gradients_between_theirs() -> None:
    program = chain(4)
    ranges = live_ranges(program, make_schedule(program))
    # Turns: 0 1 2 3 forward, then 3 2 1 backward at 4 5 6.
    assert ranges[1] == [(1, 5)]
    assert ranges[2] == [(2, 4)]
    assert ranges[4 + 2] == [(4, 5)]
    assert ranges[4 + 1] == [(5, 6)]
    assert ranges[0] == ranges[3] == ranges[7] == [(0, 6)]


def test_without_a_backward_pass_values_live_to_the_next_step() -> None:
    program = chain(4, saved=5, learns=False)
    ranges = live_ranges(program, make_schedule(program))
    assert ranges[1] == [(1, 2)]
    assert ranges[4 + 1] == []
    assert ranges[8 + 2] == [(2, 2)]


def test_what_is_dropped_lives_twice() -> None:
    program = chain(4, saved=5)
    units = find_units(program)
    assert [(unit.steps, unit.droppable) for unit in units] == [([0], False), ([1], True), ([2], True), ([3], False)]
    schedule = make_schedule(program, units[1:3])
    # 0 1 2 3 forward; 4 5 recompute 1 and 2; 6 7 8 backward.
    assert [turn for turn in schedule.turns if turn.kind == "recompute"] == [Turn("recompute", 1), Turn("recompute", 2)]
    assert schedule.recomputed() == {3: [1, 2]}
    ranges = live_ranges(program, schedule)
    assert ranges[1] == [(1, 2), (4, 7)]
    assert ranges[2] == [(2, 3), (5, 6)]
    assert ranges[8 + 1] == [(1, 1), (4, 8)]
    assert ranges[8 + 3] == [(0, 8)]
    assert not schedule.dropped & {8, 8 + 3}


def test_what_was_saved_comes_back_with_the_values_it_was_saved_with() -> None:
    program = chain(3, saved=5)
    nothing = tuple(replace(step, reads=frozenset()) for step in program.steps)
    program = replace(program, steps=nothing, kept=frozenset({0}))
    schedule = make_schedule(program, find_units(program)[1:2])
    assert schedule.recomputed() == {1: [1]}


def test_in_place_steps_belong_to_the_unit_of_their_memory() -> None:
    steps = (
        Step("in", tops=(0,), recomputes=False),
        Step("conv", bottoms=(0,), tops=(1,)),
        Step("relu", bottoms=(1,), tops=(1,), in_place=True),
        Step("split", bottoms=(1,), tops=(1, 1), writes=False),
        Step("a", bottoms=(1,), tops=(2,)),
    )
    units = find_units(Program(steps, tuple(Buffer(str(i), "values", 10) for i in range(3)), frozenset({0, 2})))
    assert [(unit.steps, unit.writers, unit.droppable) for unit in units[:2]] == [
        ([0], [0], False),
        ([1, 2, 3], [1, 2], True),
    ]
    assert units[1].last_reader == 4
    assert units[1].sources == {0}


def test_values_that_were_read_before_they_were_changed_are_not_dropped() -> None:
    steps = (
        Step("conv", tops=(0,)),
        Step("reader", bottoms=(0,), tops=(1,)),
        Step("relu", bottoms=(0,), tops=(0,), in_place=True),
    )
    units = find_units(Program(steps, tuple(Buffer(str(i), "values", 10) for i in range(2))))
    assert [unit.droppable for unit in units] == [False, True]


def test_usage_adds_up_what_lives() -> None:
    assert usage([(3, [(0, 1), (3, 3)]), (4, [(1, 2)])], 4) == [3, 7, 4, 3]
    assert usage([], 0) == []


def test_no_uses_no_ranges() -> None:
    program = Program((Step("idle", tops=(0,), backward=False),), (Buffer("v", "values", 4), Buffer("w", "values", 4)))
    assert live_ranges(program, make_schedule(program)) == [[(0, 0)], []]
    empty = Program((), (Buffer("v", "values", 4),), kept=frozenset({0}))
    assert live_ranges(empty, make_schedule(empty)) == [[(0, 0)]]
