"""Checking: what stands behind a target, an optimizer, an objective or a gradient, and its report.

A `gdpure.Objective` is an objective; what is checked as the gradient of a function is a gradient;
all else is an optimizer.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import targets
from .report import Report
from .settings import Settings
from .targets import Refused, Target
from .words import near


class Asked(NamedTuple):
    """What was typed beside the targets; None is what nobody said.

    Attributes
    ----------
    only
        Names of theorems or families.
    method
        What optimizers are held to.
    instances, seed
        How many, and of all that is random.
    gradient_of, at
        The function whose gradient every target is, and the point: numbers or a target.
    """

    only: list[str] | None = None
    method: Any = None
    instances: int | None = None
    seed: int = 0
    gradient_of: Target | None = None
    at: Target | float | list[float] | None = None

    def over(self, said: Settings) -> Settings:
        """Return what is said of a target in a file, but for what was typed."""
        typed = {"method": self.method, "gradient_of": self.gradient_of, "at": self.at}
        known = {key: value for key, value in typed.items() if value is not None}
        return dataclasses.replace(said, **known)

    def names(self, said: Settings) -> dict[str, str]:
        """Return what arguments of the checks are called, on the command line or in the file."""
        typed = {"method": "--method", "f": "--gradient-of", "at": "--at"}
        values = (self.method, self.gradient_of, self.at)
        there = said.place and dict(zip(typed, values, strict=True))
        own = {key: name for key, name in typed.items() if not there or there[key] is not None}
        return {**said.arguments, "only:": "--only:", **own}


def report_on(
    target: Target, said: Settings, asked: Asked, platform: str | None, progress: Callable
) -> Report:
    """Import a target, of folders that are `importable`, and return the report on it.

    Parameters
    ----------
    target
        An optimizer, an objective, or a gradient.
    said, asked
        What is said of it in pyproject.toml, and what was typed, which wins.
    platform
        "cpu", "gpu", or None for where JAX runs.
    progress
        ``progress(done, text)``.

    Raises
    ------
    Refused
        If it cannot be checked, with one sentence.
    """
    from gdpure.objectives import Objective

    names, said, found = asked.names(said), asked.over(said), targets.load(target)
    is_objective = isinstance(found, Objective)
    if said.gradient_of is None and not is_objective and asked.at is not None:
        raise Refused(
            f"--at is the point of a gradient or an objective, and {target} is neither: "
            "--gradient-of names the function that it is the gradient of"
        )
    if said.gradient_of is not None and is_objective:
        raise Refused(f"{target} is an objective, and no gradient of {said.gradient_of}")
    try:
        if said.gradient_of is None and not is_objective:
            return _of_optimizer(found, target, said, asked, platform, progress)
        return _of_function(found, target, said, asked, platform, names)
    except (TypeError, ValueError) as error:
        raise targets.own_sentence(error, names) from error
    except SystemExit as error:
        raise Refused(f"{target} ends the process: it raised SystemExit") from error


def _check(kind):
    module = importlib.import_module(f".{kind}.check", __package__)
    return getattr(module, f"check_{kind}")


def _of_optimizer(found, target, said, asked, platform, progress):
    return _check("optimizer")(
        found,
        method=said.rule(),
        instances=asked.instances,
        only=asked.only,
        expected_failures=said.expected,
        seed=asked.seed,
        platform=platform,
        name=str(target),
        progress=progress,
    )


def _of_function(found, target, said, asked, platform, names):
    """Return the report on an objective or a gradient."""
    typed = {"--method": asked.method, "--instances": asked.instances, "--platform": platform}
    given = [option for option, value in typed.items() if value is not None]
    if given:
        kind = "an objective" if said.gradient_of is None else "a gradient"
        raise Refused(f"{given[0]} is for optimizers, and {target} is {kind}")
    at = targets.load(said.at) if isinstance(said.at, Target) else said.at
    at = np.array(at) if isinstance(at, float | list) else at
    try:
        if said.gradient_of is None:
            report = _check("objective")(found, at, seed=asked.seed, name=str(target))
            return _chosen(report, asked.only)
        if at is None:
            raise Refused(f"{names['at']} must say where: numbers, as in 1,2,3, or a target")
        f = targets.load(said.gradient_of)
        report = _check("gradient")(f, found, at, seed=asked.seed)
    except Exception as error:  # whatever a stranger's function may raise
        function = said.gradient_of or target
        if isinstance(error, Refused) or not targets.raised_in(error, function):
            raise
        from .gradient.functions import first_line

        raise Refused(f"{function} raised {first_line(error)}") from error
    named = {"subject": str(target), "method": f"the derivative of {said.gradient_of}"}
    return _chosen(dataclasses.replace(report, **named), asked.only)


def _chosen(report, only):
    """Return those rows of a report that were asked for, by the names of theorems or families."""
    if only is None:
        return report
    known = [name for row in report.rows for name in (row.theorem, row.family)]
    for name in only:
        if name not in known:
            raise Refused(f"--only: no theorem or family is called {name!r}{near(name, known)}")
    rows = tuple(row for row in report.rows if {row.theorem, row.family} & set(only))
    return dataclasses.replace(report, rows=rows)
