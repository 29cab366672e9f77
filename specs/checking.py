"""Checking: what stands behind a target, an optimizer, an objective or a gradient, and its report.

A `gdpure.Objective` is an objective; what is checked as the gradient of a function is a gradient;
all else is an optimizer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gdpure.objectives import Objective

from . import targets
from .gradient.check import check_gradient
from .gradient.functions import first_line
from .objective.check import check_objective
from .optimizer import check as optimizers
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
    names, said, found = asked.names(said), asked.over(said), targets.load(target)
    kind = _kind(found, target, said, asked, platform)
    try:
        if kind != "an optimizer":
            report = _of_function(kind, found, target, said, asked, names)
            return _chosen(report, asked.only)
        return optimizers.check_optimizer(
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
    except (TypeError, ValueError) as error:
        raise targets.own_sentence(error, names) from error
    except SystemExit as error:
        raise Refused(f"{target} ends the process: it raised SystemExit") from error


def _kind(found, target, said, asked, platform):
    """Return what a target is; refuse what was typed for another kind."""
    kind = "an objective" if isinstance(found, Objective) else "an optimizer"
    if said.gradient_of is not None:
        if kind == "an objective":
            raise Refused(f"{target} is an objective, and no gradient of {said.gradient_of}")
        kind = "a gradient"
    typed = {"--method": asked.method, "--instances": asked.instances, "--platform": platform}
    for option, value in typed.items():
        if value is not None and kind != "an optimizer":
            raise Refused(f"{option} is for optimizers, and {target} is {kind}")
    if asked.at is not None and kind == "an optimizer":
        raise Refused(
            f"--at is the point of a gradient or an objective, and {target} is neither: "
            "--gradient-of names the function that it is the gradient of"
        )
    return kind


def _of_function(kind, found, target, said, asked, names):
    """Return the report on an objective or a gradient."""
    at = targets.load(said.at) if isinstance(said.at, Target) else said.at
    at = np.array(at) if isinstance(at, float | list) else at
    of, seed, name = said.gradient_of, asked.seed, str(target)
    if kind == "a gradient" and at is None:
        raise Refused(f"{names['at']} must say where: numbers, as in 1,2,3, or a target")
    f = found if of is None else targets.load(of)
    try:
        if of is None:
            return check_objective(f, at, seed=seed, name=name)
        report = check_gradient(f, found, at, seed=seed)
    except Exception as error:  # whatever a stranger's function may raise
        if not targets.raised_in(error, of or target):
            raise
        raise Refused(f"{of or target} raised {first_line(error)}") from error
    return dataclasses.replace(report, subject=name, method=f"the derivative of {of}")


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
