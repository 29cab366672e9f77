"""Measuring: ratios of pairs that run in turn, after all were seen to compute the same."""

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax
import numpy as np

from .limits import ARITHMETIC
from .rightness import Right, differing

Way = Callable[[], Any]
_NAMES = {"scipy": "SciPy", "sklearn": "scikit-learn"}


class Ways(NamedTuple):
    """Who does a job, what cannot be faster, what is right, and what of all is compared with it."""

    gdpure: Way
    by_hand: Way
    peers: dict[str, Way] = {}
    limit: dict[str, Way] = {}
    right: Callable[[], Right] | None = None
    seen: Callable[[Any], Any] = lambda found: found

    def others(self):
        """Return all but gdpure, by name."""
        return {"by hand": self.by_hand, **self.peers, **self.limit}


class Line(NamedTuple):
    """How long gdpure took, in seconds, and the median and quartiles of its ratio to another."""

    other: str
    seconds: float
    ratio: float
    low: float
    high: float
    pairs: int


def installed(**peers):
    """Return those peers whose library is installed, by the name of that."""
    return {_NAMES.get(name, name): way for name, way in peers.items() if find_spec(name)}


def check(name, ways):
    """Demand what is right of all, but for what moves bytes and computes nothing."""
    if ways.right is None:
        return
    right = ways.right()
    for who, way in {"gdpure": ways.gdpure, **ways.others()}.items():
        if who in ways.limit and who != ARITHMETIC:
            continue
        # An answer that is not a number is not within any tolerance.
        if not (off := differing(right, ways.seen(way()))) <= 1:
            raise AssertionError(f"{name}: {who} is off by {off:.3g} times what rounding allows")


def seconds(way):
    began = time.perf_counter()
    jax.block_until_ready(way())
    return time.perf_counter() - began


def compare(ways, most=51, budget=3.0):
    """Yield a line for each other way: as many pairs as fit in some seconds, but five at least."""
    for name, other in ways.others().items():
        both = ways.gdpure, other
        took = [_pair(both, False)]
        pairs = min(most, max(5, int(budget / sum(took[0]))))
        took = np.array(took + [_pair(both, k % 2) for k in range(1, pairs)])
        middle, low, high = np.quantile(took[:, 0] / took[:, 1], [0.5, 0.25, 0.75])
        yield Line(name, np.median(took[:, 0]), middle, low, high, pairs)


def _pair(both, turned):
    """Time two, the second first if turned."""
    took = [seconds(way) for way in (both[::-1] if turned else both)]
    return took[::-1] if turned else took
