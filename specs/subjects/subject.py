"""A subject: something that can be run on instances, and what every kind of it needs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gdpure import rules

from ..instances import Instance
from ..rows import Run
from ..theorem import Theorem
from ..theorems import THEOREMS, methods
from ..theorems.recurrences import Always


@dataclass(frozen=True, eq=False)
class Subject:
    """Something that can be run on instances.

    Attributes
    ----------
    name
        ``module:attribute`` where it has one.
    run, stop
        ``run(problems, steps) -> Run``, both with a leading batch axis; the problems are instances
        whose numbers are in the dtype of the run already. `stop` runs until the tolerance is met,
        and returns the start and the last point. None is what it cannot do.
    brings
        Names in `theorem.NEEDS`.
    method
        "gradient descent", "descent", "any", "gradient", a function step_size -> gdpure rule whose
        recurrence it should follow, or a schedule: a function n -> n step sizes, in units of eta.
    reproduction
        Returns lines of Python that call it and leave what it returns in `returned`.
    step_size
        eta, if it has one of its own.
    compiled
        Whether many instances are run by one compiled program.
    first
        Numbers of steps that it is tried with first, so that what is no run is found soon.
    notes
        What a report says beside its verdicts.
    """

    name: str
    run: Callable[[Any, int], Run] | None
    brings: frozenset
    method: Any
    reproduction: Callable[[Code], list[str]]
    stop: Callable[[Any, int], Run] | None = None
    step_size: float | None = None
    compiled: bool = True
    first: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def theorems(self) -> tuple[Theorem, ...]:
        """All theorems that are known, and those of the rule or schedule that it is held to."""
        named = isinstance(self.method, str)
        return THEOREMS if named else (*THEOREMS, *methods.theorems_of(self.method))


class Asked(NamedTuple):
    """What `as_subject` is asked for, and the parameters of a function: all, and the required."""

    target: Any
    name: str
    method: Any
    caller: str
    takes: frozenset[str]
    requires: frozenset[str]


class Code(NamedTuple):
    """What the code of a reproduction has, in NumPy, as text: X, c, value and gradient.

    Attributes
    ----------
    subject
        What the subject is called there.
    arguments
        What a function may ask for, by its name.
    array
        Makes text of numbers, in the dtype of the run.
    instance, dtype
        The instance, and the name of the dtype.
    """

    subject: str
    arguments: dict[str, str]
    array: Callable[[Any], str]
    instance: Instance
    dtype: str

    def call(self, takes) -> str:
        """Return the call of the subject with those of the arguments that it takes."""
        asked = (f"{key}={text}" for key, text in self.arguments.items() if key in takes)
        return f"{self.subject}({', '.join(asked)})"


class Malformed(Exception):
    """What a subject returned is no run: a sentence, what was wanted, what came."""

    def __init__(self, sentence, must_be, returned):
        super().__init__(sentence)
        self.must_be, self.returned = must_be, returned


# -- names and parameters --------------------------------------------------------------------------


def is_rule(target) -> bool:
    """Return whether it is a record of init and update: a rule or a transformation."""
    return hasattr(target, "init") and hasattr(target, "update") and not isinstance(target, type)


def name_of(target) -> str:
    """Return module:attribute where a thing has one, else how it shows itself.

    Examples
    --------
    >>> import gdpure as gd
    >>> assert name_of(gd.descend) == "gdpure.descent:descend"
    """
    if isinstance(target, partial):
        fixed = [f"{x!r}" for x in target.args]
        fixed += [f"{key}={x!r}" for key, x in target.keywords.items()]
        return f"{name_of(target.func)}({', '.join(fixed)})"
    module, attribute = getattr(target, "__module__", None), getattr(target, "__qualname__", None)
    if module and attribute and "<" not in attribute and not is_rule(target):
        return f"{module.removesuffix('._src.alias')}:{attribute}"
    if is_rule(target) and type(target).__module__ == rules.__name__:
        fields = (f"{key}={shown}" for key, shown in _fields(target))
        return f"gd.{type(target).__name__}({', '.join(fields)})"
    return attribute or type(target).__name__


def _fields(rule):
    for key, x in vars(rule).items():
        yield key, x.__name__ if callable(x) else f"{x:g}" if np.ndim(x) == 0 else repr(x)


def parameters(name, target, caller) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of all parameters of a function, and of those that it requires."""
    if is_rule(target) or not callable(target):
        return frozenset(), frozenset()
    try:
        known = inspect.signature(target).parameters.values()
    except (TypeError, ValueError) as error:
        raise TypeError(f"{caller}: the parameters of {name} cannot be read") from error
    named = [p for p in known if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    required = frozenset(p.name for p in named if p.default is p.empty)
    return frozenset(p.name for p in named), required


# -- what it is held to ----------------------------------------------------------------------------


def held_to(method):
    """Return the method of a subject: gradient descent where none is asked for."""
    if method is None:
        return "gradient descent"
    return Always(method) if is_rule(method) else method


def own_step(method) -> float | None:
    """Return the step size of a rule that a subject is held to, or None."""
    step_size = getattr(method, "step_size", None)
    return None if step_size is None or isinstance(method, type) else float(step_size)
