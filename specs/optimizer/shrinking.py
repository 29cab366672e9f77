"""Shrinking: from any violating instance to one that a person can check on paper.

All simplifications of an instance are tried at once, as one batch of the size that the hunt has
compiled already; the simplest that is violated in the same way is simplified next. Hypothesis
shrinks what it has drawn itself, one by one; it would have to find again what one instance in
thousands shows, or an extremal function alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from .. import rounding
from ..instances import Instance
from .search import Case

# A violation this many times what rounding explains is clear enough for print.
_CLEAR = 64.0


def shrink(
    case: Case,
    judge: Callable[[list[Instance]], list[Case]],
    dtype,
    *,
    fixed_step_size: bool,
    rounds: int,
) -> Case:
    """Return the simplest case found that is violated in the same way.

    Parameters
    ----------
    case
        Where to begin.
    judge
        Runs and judges instances of the shape of the case.
    dtype
        Of the run: all numbers are rounded to it.
    fixed_step_size
        Whether the step size belongs to the subject.
    rounds
        How many simplifications at most, one after the other.
    """
    clear = min(float(case.finding.excess), _CLEAR)

    def same(other: Case):
        found = other.finding
        return (
            found.violated
            and found.finite == case.finding.finite
            and np.isfinite(found.excess) >= np.isfinite(case.finding.excess)
            and found.excess >= clear
        )

    best, tried = case, {_digest(case.instance)}
    for _ in range(rounds):
        candidates = []
        for numbers in _simpler(best.instance, fixed_step_size):
            candidate = _made(numbers, dtype)
            digest = _digest(candidate)
            if digest not in tried and _cost(candidate) < _cost(best.instance):
                tried.add(digest)
                candidates.append(candidate)
        found = [other for other in judge(candidates) if same(other)] if candidates else []
        if not found:
            break
        best = min(found, key=lambda other: _cost(other.instance) + 2 * int(other.finding.row))
    return best


def _digest(instance):
    return b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(instance))


def rewritten(instance: Instance, dtype) -> Instance:
    """Return an instance of float32 in another dtype, in the decimals that it is written with."""
    unit = np.sqrt(len(instance.features))
    decimals = np.vectorize(lambda x: float(str(np.float32(x))), otypes=[float])
    written = replace(instance, features=instance.features / unit)
    written = jax.tree.map(decimals, written)
    return _made(replace(written, features=written.features * unit), dtype)


def _made(instance: Instance, dtype) -> Instance:
    """Round the numbers of an instance to the dtype, and bring its claims up to date."""
    rounded: dict[str, Any] = {
        name: np.asarray(getattr(instance, name)).astype(dtype).astype(np.float64) + 0.0  # no -0
        for name in instance.__dataclass_fields__
    }
    features, bend, tail = rounded["features"], rounded["bend"], rounded["tail"]
    n, d = features.shape
    eigenvalues = np.linalg.eigvalsh(features.T @ features / n)
    spare = 16 * (d - 1) * rounding.unit_roundoff(np.float64) * eigenvalues[-1]
    rounded["smoothness"] = eigenvalues[-1] + spare
    least = max(eigenvalues[0] - spare, 0.0)
    rounded["strong_convexity"] = (1.0 if np.isinf(bend) else tail) * least
    return Instance(**rounded)


# -- how simple a number is ------------------------------------------------------------------------


@lru_cache(4096)
def _price(x: float) -> int:
    """Return how hard a number is to read: 0, then 1 and -1, then few digits."""
    x = abs(x)
    if x in (0, 1):
        return int(x)
    if not np.isfinite(x):
        return 0
    if x == round(x) and x < 10:
        return 2
    if x in (0.5, 0.25, 0.125, 1.5, 0.75):
        return 3
    single = np.float32(x)  # numbers of float32 are written with its digits
    return 4 + len(str(single if single == x else x).strip("0").replace(".", ""))


def _cost(instance: Instance) -> int:
    """Return how hard an instance is to read."""
    f = instance
    rows = f.features / np.sqrt(len(f.features))
    numbers = [*rows.ravel(), *f.start, *(2 * f.center), f.step_size, f.minimum, f.tail]
    cost = sum(_price(float(x)) for x in numbers) + sum(map(_price, f.probe.tolist())) // 2
    cost += int((rows < 0).sum() + (f.start < 0).sum())
    return cost + (5 + _price(float(f.bend)) if np.isfinite(f.bend) else 0)


# -- what is simpler -------------------------------------------------------------------------------


def _simpler(instance: Instance, fixed_step_size: bool) -> Iterator[Instance]:
    """Yield instances that are simpler in one way, and some that are in many."""
    yield from _structural(instance)
    yield from _rescaled(instance, fixed_step_size)
    if not fixed_step_size:
        for step_size in _near(instance.step_size, 1.0):
            if step_size > 0:
                yield replace(instance, step_size=step_size)
    unit = np.sqrt(len(instance.features))
    for name, scale in (("features", unit), ("start", 1.0), ("center", 1.0), ("probe", 1.0)):
        numbers = getattr(instance, name)
        for index in np.ndindex(numbers.shape):
            for x in _near(numbers[index], scale):
                changed = numbers.copy()
                changed[index] = x
                yield replace(instance, **{name: changed})
    for name in ("bend", "tail", "minimum"):
        if np.isfinite(getattr(instance, name)):
            for x in _near(getattr(instance, name), 1.0):
                if name != "bend" or x > 0:
                    yield replace(instance, **{name: np.float64(x)})


def _near(x, unit) -> list[float]:
    """Return simpler numbers near one, in units."""
    x = float(x) / unit
    if x == 0 or not np.isfinite(x):
        return []
    power = 2.0 ** np.round(np.log2(abs(x)))
    digits = (float(f"{x:.{k}e}") for k in (0, 1))
    found = {0.0, -x, np.sign(x), np.round(x), np.sign(x) * power, *digits, np.round(2 * x) / 2}
    return [unit * y for y in found if y != x]


def _structural(instance: Instance) -> Iterator[Instance]:
    """Yield instances with less in them: around zero, fewer rows and columns, no bend."""
    center, start, probe = instance.center, instance.start, instance.probe
    zero = np.zeros_like(center)
    around = replace(instance, center=zero, start=start - center, probe=probe - center)
    yield around
    yield replace(around, minimum=np.float64(0))
    yield replace(instance, bend=np.float64(np.inf), tail=np.float64(0))
    yield replace(instance, tail=np.float64(0))
    yield replace(instance, probe=center)
    yield replace(instance, probe=start)
    features, (n, d) = instance.features, instance.features.shape
    for row in np.eye(n, dtype=bool)[..., None]:
        yield replace(instance, features=features * ~row)
        yield replace(instance, features=features * row)
    for other in ~np.eye(d, dtype=bool):
        points = {"center": center * other, "start": start * other, "probe": probe * other}
        yield replace(instance, features=features * other, **points)
    whole = replace(instance, features=np.sqrt(n) * np.round(features / np.sqrt(n)))
    yield whole
    yield replace(whole, center=np.round(center), start=np.round(start), probe=np.round(probe))


def _rescaled(instance: Instance, fixed_step_size: bool) -> Iterator[Instance]:
    """Yield the same instance in other units, of f, of x and of both, with a 1 where it can."""
    unit = np.sqrt(len(instance.features))
    far = np.abs(instance.start - instance.center).max() or 1.0
    sizes = [] if fixed_step_size else np.abs(instance.features / unit).ravel().tolist()
    for size in filter(None, dict.fromkeys([1.0, *sizes])):
        other = replace(
            instance,
            features=instance.features / size,
            step_size=instance.step_size * size**2,
            bend=instance.bend / size,
            tolerance=instance.tolerance / size**2,
        )
        lengths = ("start", "center", "probe", "bend", "tolerance")
        yield other
        yield replace(other, **{name: getattr(other, name) / far for name in lengths})
