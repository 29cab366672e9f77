"""States: where a run is, how it ended, and what is kept of it."""

from __future__ import annotations

import operator
from collections import Counter
from enum import Enum
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer


class Status(int, Enum):
    """How a run ended; `message` says what to do about it.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.1, steps=10)
    >>> assert run.final.status == gd.Status.RUNNING
    """

    RUNNING = 0
    CONVERGED = 1
    DIVERGED = 2
    STALLED = 3

    @property
    def message(self) -> str:
        """The sentence that says what the status means and what to do next."""
        return _MESSAGES[self]

    @classmethod
    def _missing_(cls, value: Any):
        """Take the number as it stands in a state: an integer array of shape ()."""
        return None if isinstance(value, int) else cls(operator.index(value))


_MESSAGES = {
    Status.RUNNING: "The steps ran out: pass the state back as the start to go on.",
    Status.CONVERGED: "The largest entry of the gradient is within the tolerance.",
    Status.DIVERGED: "The step after `count` led to a number that is not finite; the state is the "
    "last one that is, or the start as given. Take smaller steps, or look at the objective there.",
    Status.STALLED: "A step changes neither point nor memory, to the last bit, though the gradient "
    "is not 0, so no later one will: raise the tolerance, use float64, or take another rule. A "
    "line search that finds no descent has met the rounding of f, or a gradient that is not its.",
}


class State(NamedTuple):
    """A point of a run with all that is known there; value and gradient are those of `point`.

    Attributes
    ----------
    point
        The parameters.
    value
        f(point), shape ().
    gradient
        The gradient at `point`, of the form of the parameters.
    memory
        What the rule remembers.
    count
        How many steps led here, int32; 2^31 - 1 stands for that many or more.
    status
        A `Status`, int32.
    """

    point: Any
    value: Any
    gradient: Any
    memory: Any
    count: Any
    status: Any

    def __repr__(self):
        """Return all fields, the status by name; of many states, how many have it."""
        fields = {name: repr(x) for name, x in self._asdict().items()}
        if isinstance(self.status, jax.Array | np.ndarray) and not isinstance(self.status, Tracer):
            names = Counter(Status(code).name for code in np.ravel(self.status))
            many = np.ndim(self.status)
            fields["status"] = ", ".join(
                f"{n} {name}" if many else name for name, n in names.items()
            )
        return f"State({', '.join(f'{name}={text}' for name, text in fields.items())})"


class History(NamedTuple):
    """The rows of a run: row k holds the k-th point, its value and its gradient."""

    point: Any
    value: Any
    gradient: Any


class Descent(NamedTuple):
    """A run: its last state, and the records of all its states, stacked."""

    final: State
    history: Any


def history(state: State) -> History:
    """Record of a state what `descend` keeps by default."""
    return History(state.point, state.value, state.gradient)
