"""Programs written by hand, without a net."""

from __future__ import annotations

from segcaffe.plan.program import Buffer, Program, Step


def chain(count: int, size: int = 100, saved: int = 0, learns: bool = True) -> Program:
    """Steps that each make values from those before and read them again backward.

    Buffers: values 0 ... count - 1, kept at both ends; gradients from ``count`` on; what steps save from 2 count on.
    """
    values = [Buffer(f"v{i}", "values", size) for i in range(count)]
    gradients = [Buffer(f"v{i}", "gradients", size) for i in range(count)]
    steps = [
        Step(
            name=f"s{i}",
            type="Test",
            bottoms=(i - 1,) if i else (),
            tops=(i,),
            backward=i > 0,
            reads=frozenset({i - 1} if i else ()),
            gradients=frozenset({count + i - 1, count + i} if i > 1 else {count + i}),
            saved=2 * count + i if saved else None,
            recomputes=i > 0,
        )
        for i in range(count)
    ]
    made = [Buffer(f"s{i}", "saved", saved) for i in range(count)] if saved else []
    kept = frozenset({0, count - 1, 2 * count - 1})
    return Program(tuple(steps), (*values, *gradients, *made), kept, learns, parameters=7)
