"""Tightness: how close descent comes to what is proven, at random and on the extremal functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

import gdpure as gd
from gdpure import guards

from ...specs import THEOREMS
from ...specs.instances import FAMILIES, Setting, Shape, instance, sample
from ...specs.optimizer.search import judge
from ...specs.subjects import as_subject
from ...specs.theorem import NEEDS, Theorem

_CLEAR = 1e-9  # of a bound: what rounding may change more of is not shown
_DRAWS = 1024  # extremal functions are drawn with any step size: one in 31 has 1/L
_BOUNDED = {"f": "value", "g": "gradient", "x": "distance"}


class Ratios(NamedTuple):
    """Measured over proven in the last row of runs, and what rounding may have added, both (n,)."""

    ratio: Any
    rounding: Any


class Row(NamedTuple):
    """What one theorem comes to.

    `statement` is that of the theorem, `bounded` "value", "gradient" or "distance"; `random` are
    `Ratios` on random instances, `extremal` on the extremal functions that are named in
    `functions`, of each the one farthest from 1; `drowned` random instances are left out, as
    rounding hides their bound.
    """

    theorem: str
    statement: str
    bounded: str
    random: Ratios
    extremal: Ratios
    functions: tuple[str, ...]
    drowned: int


class Tightness(NamedTuple):
    """A `Row` a theorem, the name of the subject, and whether that is plain descent."""

    rows: tuple[Row, ...]
    subject: str
    plain: bool


def tightness(
    theorems: Iterable[Theorem | str] | None = None,
    subject: Any = gd.Constant,
    *,
    steps: int = 10,
    instances: int = 200,
    seed: int = 0,
) -> Tightness:
    """Return measured over proven after so many steps of size 1/L, in float64.

    Parameters
    ----------
    theorems
        Of `gdpure.specs.THEOREMS`, or their names; by default all inequalities that are tight.
    subject
        What `specs.check_optimizer` takes, a function of the step size.
    steps, instances, seed
        N, how many random instances, and what they are drawn from.

    Raises
    ------
    TypeError, ValueError
        If a theorem is unknown or not tight, or the subject brings less than it needs.

    Examples
    --------
    >>> [row] = tightness(["linear-value"]).rows
    >>> assert row.random.ratio.max() <= 1 + 1e-9 and abs(row.extremal.ratio - 1).max() < 1e-12
    """
    tight = _tight(theorems)
    steps = guards.whole("tightness", "steps", steps, 1)
    instances = guards.whole("tightness", "instances", instances, 1)
    seed = guards.whole("tightness", "seed", seed, 0, 2**31 - 1)
    tried = as_subject(subject, caller="tightness")
    if tried.step_size is not None or tried.run is None:
        raise ValueError(f"tightness: {tried.name} does not apply: {NEEDS['free step size']}")
    for need in {need for theorem in tight for need in theorem.needs}:
        if need not in tried.brings:
            raise ValueError(f"tightness: {tried.name} does not apply: {NEEDS[need]}")
    at_random = _at_random(tried, tight, steps, instances, seed)
    attained = _attained(tried, tight, steps, seed)
    rows = []
    for theorem, found in zip(tight, at_random, strict=True):
        ratios = _ratios(found)
        functions = tuple(map(_in_words, theorem.extremal))
        worst = [attained[theorem, f] for f in theorem.extremal]
        extremal = Ratios(*map(np.concatenate, zip(*worst, strict=True)))
        drowned = int(found.applies.sum()) - len(ratios.ratio)
        what = theorem.name, theorem.statement, _bounded(theorem)
        rows.append(Row(*what, ratios, extremal, functions, drowned))
    return Tightness(tuple(rows), tried.name, subject is gd.Constant)


def _tight(theorems):
    """Return theorems that have extremal functions, grouped by what they bound."""
    known = {t.name: t for t in THEOREMS if t.extremal and not t.equality}
    if isinstance(theorems, str | Theorem):
        theorems = (theorems,)
    chosen: list[Theorem] = []
    for theorem in known.values() if theorems is None else theorems:
        found = theorem if isinstance(theorem, Theorem) else known.get(str(theorem))
        if found is None or found.equality or not found.extremal:
            raise ValueError(
                f"tightness: no inequality {getattr(theorem, 'name', theorem)!r} with extremal "
                f"functions; there are {', '.join(known)}"
            )
        chosen.append(found)
    if not chosen:
        raise ValueError("tightness: theorems must name at least one theorem, got none")
    return sorted(chosen, key=lambda t: list(_BOUNDED.values()).index(_bounded(t)))


def _bounded(theorem):
    """Return what a theorem bounds, as its statement begins."""
    return _BOUNDED[theorem.statement.lstrip("|")[0]]


def _in_words(function):
    return function.__name__.replace("_", " ").replace("huber", "Huber")


def _at_random(tried, theorems, steps, instances, seed):
    """Return what each theorem finds in the last row of random instances, with steps 1/L."""
    rng, shape = np.random.default_rng(seed), Shape(4, 2, steps)
    number = np.zeros(instances, int)
    setting = Setting(
        family=rng.integers(len(FAMILIES), size=instances),
        scale=number,
        spread=rng.integers(11, size=instances),
        distance=number,
        sixteenths=number + 16,
    )
    batch = instance(sample(rng, setting, shape), np.float64)
    return judge(tried, theorems, batch, shape, np.float64, attained=True)


def _attained(tried, theorems, steps, seed):
    """Return, for each theorem and each of its functions, the ratio that is farthest from 1."""
    found, shape = {}, Shape(1, 1, steps)
    for function in dict.fromkeys(f for theorem in theorems for f in theorem.extremal):
        batch = function(np.random.default_rng(seed), _DRAWS, steps)
        unit = batch.step_size * batch.smoothness == 1
        batch = jax.tree.map(lambda leaf, unit=unit: leaf[..., unit], batch)
        about = [theorem for theorem in theorems if function in theorem.extremal]
        judged = judge(tried, about, batch, shape, np.float64, attained=True)
        for theorem, finding in zip(about, judged, strict=True):
            ratio, allowed = _ratios(finding)
            far = np.argsort(-abs(ratio - 1))[:1]
            found[theorem, function] = Ratios(ratio[far], allowed[far])
    return found


def _ratios(finding):
    """Return measured over bound where the theorem applies and rounding does not hide it."""
    clear = finding.applies & (finding.allowed < _CLEAR * finding.bound)
    bound = finding.bound[clear]
    return Ratios(finding.measured[clear] / bound, finding.allowed[clear] / bound)
