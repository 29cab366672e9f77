"""Schedules: functions n -> n step sizes, in units of 1/L."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from ..theorems import schedules
from . import rule
from .subject import Asked, Code, Subject, held_to


def recognized(asked: Asked) -> Subject | None:
    """Return a schedule: it cannot do without n."""
    if "n" not in asked.requires:
        return None
    schedules.refuse_what_is_none(asked.caller, asked.name, asked.target)
    return Subject(
        asked.name,
        partial(_descend_along, schedule=asked.target),
        rule.LOOP - {"stopping"} | rule.FREE,
        asked.target if asked.method is None else held_to(asked.method),
        _reproduction,
    )


@dataclass(frozen=True)
class _Scaled:
    """A function step_size -> n step sizes: those of a schedule, times the step size."""

    schedule: Any
    n: int

    def __call__(self, step_size):
        with jax.ensure_compile_time_eval():  # it may well be NumPy's
            steps = np.asarray(self.schedule(self.n))
        return step_size * steps.astype(step_size.dtype)


def _descend_along(problems, steps, *, schedule):
    return rule.descend(problems, steps, make=_Scaled(schedule, steps))


def _reproduction(code: Code):
    start, eta, steps = (code.arguments[key] for key in ("start", "step_size", "steps"))
    return [
        f"x = {start}",
        f"for h in np.asarray({code.subject}({steps})): "
        f"x = x - np.{code.dtype}({eta} * h) * gradient(x)",
        "returned = x",
    ]
