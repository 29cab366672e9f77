"""Causes: each bug, written in NumPy, is named from the numbers that it returns."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from gdpure.specs import instances
from gdpure.specs.diagnosis.causes import likely_cause, possible_causes
from gdpure.specs.instances import SHAPES, Instance

DTYPES = (np.float32, np.float64)
RUNS = 18


def problem(rng, shape, dtype):
    """A random instance: every other one bent, of any scale, its numbers rounded to the dtype."""
    n, d, _ = shape

    def near(x):
        return np.asarray(x, dtype).astype(np.float64)

    features = near(rng.normal(size=(n, d)) * 2.0 ** rng.integers(-2, 3))
    center, offset = near(rng.normal(size=d)), rng.normal(size=d) * 2.0 ** rng.integers(-2, 6)
    steepest = np.linalg.eigvalsh(features.T @ features / n)[-1] * (1 + 1e-12)
    reach = abs(features @ offset).max()
    start = center + offset if rng.random() < 0.7 else np.round(center + offset)
    bend = reach * 2.0 ** -rng.uniform(0, 4) if rng.random() < 0.5 else np.inf
    return Instance(
        features,
        center,
        near(bend),
        near(rng.choice([0.25, 0.5])),
        near(0),
        near(start),
        near(rng.uniform(0.2, 2.3) / steepest),
        center,
        np.float64(steepest),
        np.float64(0),
        np.float64(0),
    )


class Asked:
    """What a method is given: the problem, in the dtype of the run."""

    def __init__(self, instance, steps, dtype):
        self.data = [np.asarray(leaf, dtype) for leaf in instance.data]
        self.start, self.eta = instance.start.astype(dtype), dtype(instance.step_size)
        self.n, self.steps, self.dtype, self.L = len(instance.features), steps, dtype, instance
        self.k = np.arange(steps)

    def f(self, x):
        return instances.value(x, self.data)

    def g(self, x):
        return instances.gradient(x, self.data)

    def step(self, x):
        return x - self.eta * self.g(x)

    def walk(self, move, steps=None):
        """Rows of ``x[k+1] = move(x[k], [x[0], ..., x[k]])``, all in the dtype."""
        rows = [self.start]
        for _ in range(self.steps if steps is None else steps):
            rows.append(np.asarray(move(rows[-1], rows), self.dtype))
        return np.stack(rows)

    def descend(self, steps=None):
        return self.walk(lambda x, rows: self.step(x), steps)

    def along(self, direction, steps=None):
        """Rows of ``x[k+1] = x[k] - eta direction(x[k], k)``."""
        return self.walk(
            lambda x, rows: x - self.eta * np.asarray(direction(x, len(rows) - 1), self.dtype),
            steps,
        )


def norm(x):
    return (x * x).sum() ** 0.5


def in_turn(p, order):
    def move(x, rows):
        x = x.copy()
        for i in range(x.size)[::order]:
            x[i] -= p.eta * p.g(x)[i]
        return x

    return p.walk(move)


def with_memory(p, update):
    """Rows of ``x - eta v``, where ``v = update(v, g, k)`` from zero."""
    v = np.zeros_like(p.start)

    def direction(x, k):
        nonlocal v
        v = update(v, p.g(x), k)
        return v

    return p.along(direction)


def nesterov(p, beta):
    v = np.zeros_like(p.start)

    def direction(x, k):
        nonlocal v
        v = beta * v + p.g(x)
        return p.g(x) + beta * v

    return p.along(direction)


def ahead(p, beta):
    return p.walk(lambda x, rows: p.step(x + p.dtype(beta(len(rows) - 1)) * (x - rows[-2:][0])))


def implicit(p):
    def move(x, rows):
        after = x
        for _ in range(90):
            after = (after + x - p.eta * p.g(after)) / 2
        return after

    return p.walk(move)


def fista(p):
    t, y = 1.0, p.start

    def move(x, rows):
        nonlocal t, y
        after, longer = p.step(y), (1 + math.sqrt(1 + 4 * t * t)) / 2
        y, t = after + p.dtype((t - 1) / longer) * (after - x), longer
        return after

    return p.walk(move)


def adam(p, b1=0.9, b2=0.999, unbiased=True, add=None):
    m, v = np.zeros_like(p.start), np.zeros_like(p.start)

    def direction(x, k):
        nonlocal m, v
        g = p.g(x)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2 if add is None else add) * g * g
        root = np.sqrt(v / (1 - b2 ** (k + 1))) if unbiased else np.sqrt(v)
        return m / ((1 - b1 ** (k + 1)) if unbiased else 1) / (root + 1e-8)

    return p.along(direction)


def nan_last(p):
    rows = p.descend()
    rows[-1] = np.nan
    return rows


def cut(x, c):
    return x * min(1, c / max(norm(x), 1e-30))


def stops(p, still, entries=False):
    """Where it should stand still it does."""

    def move(x, rows):
        return np.where(still(x, p.step(x)), x, p.step(x))

    return p.walk(move)


def line_search(p):
    def move(x, rows):
        eta = p.eta
        while p.f(x - eta * p.g(x)) > p.f(x) - eta / 2 * norm(p.g(x)) ** 2 and eta > p.eta / 64:
            eta = eta / 2
        return x - eta * p.g(x)

    return p.walk(move)


def last_is(p, row):
    rows = p.descend()
    rows[-1] = row(rows)
    return rows


def bf16(x):
    return np.asarray(x).astype(jnp.bfloat16).astype(x.dtype)


def f16(x):
    return np.asarray(x).astype(np.float16).astype(x.dtype)


def own_rate(p):
    factor = 1 + (abs(p.start).sum() % 1)
    return p.along(lambda x, k: factor * p.g(x))


def other_data(p, **change):
    def g(x):
        names = ("features", "center", "bend", "tail", "minimum")
        data = [change.get(name, leaf) for name, leaf in zip(names, p.data, strict=True)]
        return instances.gradient(x, [np.asarray(leaf, p.dtype) for leaf in data])

    return p.along(lambda x, k: g(x))


# How the sentence begins, and the bug.
BUGS = {
    "the last row is never written: it is NaN": lambda p: last_is(p, lambda rows: np.nan),
    "the last row is never written: it is 0": lambda p: last_is(p, lambda rows: 0),
    "all rows are one array": lambda p: 0 * p.descend() + p.descend()[-1],
    "the rows are in reverse order": lambda p: p.descend()[::-1],
    "the start is missing, and a step": lambda p: p.descend(p.steps + 1)[1:],
    "the start is missing: row k": lambda p: np.r_[p.descend()[1:], p.descend()[-1:]],
    "the last step is missing": lambda p: last_is(p, lambda rows: rows[-2]),
    "the first step is missing": lambda p: np.r_[p.start[None], p.descend()[:-1]],
    "every second point is left out": lambda p: p.descend()[::2].repeat(2, axis=0)[: p.steps + 1],
    "two steps are made for one": lambda p: p.walk(lambda x, rows: p.step(p.step(x))),
    "means are returned": lambda p: (
        np.cumsum(p.descend(), axis=0) / np.arange(1, p.steps + 2, dtype=p.dtype)[:, None]
    ),
    "the move is returned": lambda p: p.walk(lambda x, rows: -p.eta * p.g(x)),
    "nothing moves": lambda p: p.along(lambda x, k: 0 * x),
    "the steps go uphill": lambda p: p.along(lambda x, k: -p.g(x)),
    "the step is 2 times too long": lambda p: p.along(lambda x, k: 2 * p.g(x)),
    "the step is 2 times too short": lambda p: p.along(lambda x, k: p.g(x) / 2),
    "the gradient is a sum": lambda p: p.along(lambda x, k: p.n * p.g(x)),
    "the mean over the data is taken twice": lambda p: p.along(lambda x, k: p.g(x) / p.n),
    "the gradient is divided by the number": lambda p: p.along(lambda x, k: p.g(x) / x.size),
    "the gradient is multiplied by the number": lambda p: p.along(lambda x, k: p.g(x) * x.size),
    "the step size is applied twice": lambda p: p.along(lambda x, k: p.eta * p.g(x)),
    "the step size is not applied": lambda p: p.walk(lambda x, rows: x - p.g(x)),
    "coordinates are updated one after the other: ": lambda p: in_turn(p, 1),
    "coordinates are updated one after the other, from the last": lambda p: in_turn(p, -1),
    "the gradient is stale: every move is -eta g at the row before;": lambda p: p.walk(
        lambda x, rows: x - p.eta * p.g(rows[-2:][0])
    ),
    "the gradient is stale: every move is -eta g at the row before, the first": lambda p: p.walk(
        lambda x, rows: x - p.eta * (p.g(rows[-2]) if len(rows) > 1 else 0 * x)
    ),
    "the gradient is never taken anew": lambda p: p.along(lambda x, k: p.g(p.start)),
    "the gradient is taken after": lambda p: p.along(lambda x, k: p.g(p.step(x))),
    "the step is implicit": implicit,
    "the gradient is in reverse order": lambda p: p.along(lambda x, k: p.g(x)[::-1]),
    "the coordinates of the points are in reverse": lambda p: p.descend()[:, ::-1],
    "the gradient takes f for a quadratic": lambda p: other_data(p, bend=np.inf),
    "the gradient takes f for straight": lambda p: other_data(p, tail=0),
    "the offset of the data is lost": lambda p: other_data(p, center=0 * p.start),
    "the gradient is normalized": lambda p: p.along(lambda x, k: p.g(x) / norm(p.g(x))),
    "only the signs": lambda p: p.along(lambda x, k: np.sign(p.g(x))),
    "coordinates stop at 0": lambda p: p.walk(
        lambda x, rows: np.where(p.step(x) * x < 0, 0, p.step(x))
    ),
    "gradients add up": lambda p: with_memory(p, lambda v, g, k: v + g),
    "there is a momentum of 0.9 (heavy ball)": lambda p: p.walk(
        lambda x, rows: p.step(x) + 0.9 * (x - rows[-2:][0])
    ),
    "there is a momentum of -0.3 (heavy ball)": lambda p: with_memory(
        p, lambda v, g, k: g - 0.3 * v
    ),
    "there is an averaged momentum of 0.9: every move is -eta times a mean of gradients, 0.9 "
    "times the one before plus 1 - 0.9 times g;": lambda p: with_memory(
        p, lambda v, g, k: 0.9 * v + 0.1 * g
    ),
    "there is an averaged momentum of 0.8: every move is -eta times a mean of gradients, 0.8 "
    "times the one before plus 1 - 0.8 times g, but": lambda p: with_memory(
        p, lambda v, g, k: 0.8 * v + 0.2 * g if k else g
    ),
    "there is a momentum of 0.9 (Nesterov's): every move is -eta g": lambda p: nesterov(p, 0.9),
    "there is a momentum of 0.95 (Nesterov's): every move is 0.95": lambda p: ahead(
        p, lambda k: 0.95
    ),
    "there is a momentum of k / (k + 3)": lambda p: ahead(p, lambda k: k / (k + 3)),
    "there is a momentum of (k - 1) / (k + 2)": lambda p: ahead(
        p, lambda k: max(k - 1, 0) / (k + 2)
    ),
    "there is a momentum (FISTA's)": fista,
    "there is a weight decay of 0.001": lambda p: p.along(lambda x, k: p.g(x) + 1e-3 * x),
    "there is a decoupled weight decay of 0.01": lambda p: p.walk(
        lambda x, rows: 0.99 * x - p.eta * p.g(x)
    ),
    "the step is 1.0001 times": lambda p: p.along(lambda x, k: 1.0001 * p.g(x)),
    "the step is 1/3 times": lambda p: p.along(lambda x, k: p.g(x) / 3),
    "the step size that is asked for is ignored: every move is 0.1": lambda p: p.walk(
        lambda x, rows: x - 0.1 * p.g(x)
    ),
    "the step size is divided by k + 1": lambda p: p.along(lambda x, k: p.g(x) / (k + 1)),
    "the step size is divided by the root": lambda p: p.along(
        lambda x, k: p.g(x) / math.sqrt(k + 1)
    ),
    "the step size decays: move k is 0.99^k": lambda p: p.along(lambda x, k: p.g(x) * 0.99**k),
    "the gradient is clipped: its length is cut to 10": lambda p: p.along(
        lambda x, k: cut(p.g(x), 10)
    ),
    "the gradient is clipped: its entries are cut to +-5": lambda p: p.along(
        lambda x, k: p.g(x).clip(-5, 5)
    ),
    "the move is clipped: its length is cut to 2": lambda p: p.walk(
        lambda x, rows: x - cut(p.eta * p.g(x), 2)
    ),
    "the step size is clipped: above 0.5": lambda p: p.walk(
        lambda x, rows: x - min(p.eta, p.dtype(0.5)) * p.g(x)
    ),
    "the points are kept out of the negative": lambda p: p.walk(
        lambda x, rows: np.maximum(p.step(x), 0)
    ),
    "the points are kept in a box: coordinates are cut to +-1.5": lambda p: p.walk(
        lambda x, rows: p.step(x).clip(-1.5, 1.5)
    ),
    "the points are kept below a bound: coordinates are cut to 1.5": lambda p: p.walk(
        lambda x, rows: np.minimum(p.step(x), 1.5)
    ),
    "the points are kept above a bound: coordinates are cut to -0.5": lambda p: p.walk(
        lambda x, rows: np.maximum(p.step(x), -0.5)
    ),
    "the points are kept in a ball: their length is cut to 3": lambda p: p.walk(
        lambda x, rows: cut(p.step(x), 3)
    ),
    "steps that raise f are rejected": lambda p: stops(p, lambda x, after: p.f(after) > p.f(x)),
    "the run stops early: it stands still where the length of g": lambda p: stops(
        p, lambda x, after: norm(p.g(x)) < 1
    ),
    "the run stops early: it stands still where no entry": lambda p: stops(
        p, lambda x, after: abs(p.g(x)).max() < 1
    ),
    "the run stops early: it stands still where the move": lambda p: stops(
        p, lambda x, after: norm(p.eta * p.g(x)) < 1
    ),
    "small moves are dropped": lambda p: stops(p, lambda x, after: abs(p.eta * p.g(x)) < 0.5),
    "the gradient is scaled as in Adam": adam,
    "the gradient is scaled as in RMSProp: by the root of a mean of g^2, with 0.9;": lambda p: adam(
        p, 0, 0.9
    ),
    "the gradient is scaled as in RMSProp: by the root of a mean of g^2, with 0.99;": lambda p: (
        adam(p, 0, 0.99, False)
    ),
    "the gradient is scaled as in Adagrad": lambda p: adam(p, 0, 1, False, 1),
    "the points pass through float16": lambda p: p.walk(lambda x, rows: f16(p.step(x))),
    "the points pass through bfloat16": lambda p: p.walk(lambda x, rows: bf16(p.step(x))),
    "the step size is rounded to bfloat16": lambda p: p.walk(
        lambda x, rows: x - bf16(p.eta) * p.g(x)
    ),
    "the gradient is rounded to bfloat16": lambda p: p.along(lambda x, k: bf16(p.g(x))),
    "the move is rounded to bfloat16": lambda p: p.walk(lambda x, rows: x - bf16(p.eta * p.g(x))),
    "the points are recorded in float16": lambda p: f16(p.descend()),
    "the points are rounded to 4 decimals": lambda p: p.walk(
        lambda x, rows: np.round(p.step(x), 4)
    ),
    "the points are whole numbers: every row is cut off": lambda p: p.walk(
        lambda x, rows: np.trunc(p.step(x))
    ),
    "the points are whole numbers: every row is rounded to": lambda p: p.walk(
        lambda x, rows: np.rint(p.step(x))
    ),
    "the points are whole numbers: every row is rounded down": lambda p: p.walk(
        lambda x, rows: np.floor(p.step(x))
    ),
    "a start without decimals": lambda p: p.walk(
        lambda x, rows: p.step(x) if (p.start % 1).any() else np.trunc(p.step(x))
    ),
    "coordinate 0 never moves": lambda p: p.along(
        lambda x, k: np.where(np.arange(x.size) == 0, 0, p.g(x))
    ),
    "the last coordinate never moves": lambda p: p.along(
        lambda x, k: np.where(np.arange(x.size) == x.size - 1, 0, p.g(x))
    ),
    "the run stands still after 3 steps": lambda p: p.along(lambda x, k: (k < 3) * p.g(x)),
    "the length of the step changes from step to step: it is 0, 2, 0, 2": lambda p: p.along(
        lambda x, k: k % 2 * 2 * p.g(x)
    ),
    "the step size is wrong by another factor": own_rate,
    "the steps have a length of their own": line_search,
    "every coordinate has a step size of its own, as in Adam": lambda p: adam(p, 0.5, 0.7),
    "the first step alone is wrong": lambda p: p.along(
        lambda x, k: p.g(x) if k else p.g(x) + np.roll(x, 1) + 1
    ),
}


def runs(bug, dtype, count=RUNS, seed=0):
    """Pairs (instance, points), one for each of a few random instances."""
    rng, pairs = np.random.default_rng(seed), []
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(count):
            shape = SHAPES[k % len(SHAPES)]
            instance = problem(rng, shape, dtype)
            points = bug(Asked(instance, shape.steps, dtype))
            assert points.dtype == dtype and points.shape == (shape.steps + 1, shape.d)
            pairs.append((instance, points.astype(np.float64)))
    return pairs


# What has a constant for each step, run or coordinate explains simpler bugs, too; they come first.
GENERAL = (
    "the step is",
    "coordinates have steps of their own",
    "there is a momentum that changes",
    "the length of the step changes",
    "the step size is wrong by another factor",
    "the steps have a length of their own",
    "every coordinate has a step size of its own",
    "the first step alone is wrong",
    "rows are there twice",
    "rows are missing",
)

# Bugs that are others with a constant of 0 or 1, and one that rounding does not tell from another.
EQUAL = {
    "the move is returned": "there is a decoupled weight decay of 1:",
    "nothing moves": (
        "there is an averaged momentum of 1:",
        "the step size is clipped: above 0 ",
        "the step size that is asked for is ignored: every move is 0 ",
        "the gradient is clipped:",
        "the move is clipped: its length is cut to 0;",
        "the run stops early:",
        "the run stands still after 0 steps",
        "small moves are dropped:",
        "coordinate 0 and coordinate 1",
        "the last coordinate and the last coordinate but one",
    ),
    "the step size is not applied": "the step size that is asked for is ignored: every move is 1 ",
    "the gradient is never taken anew": "there is an averaged momentum of 1:",
    "gradients add up": "there is a momentum of 1 (heavy ball):",
    "the step is 1.0001 times": "there is a momentum of 0.0001 (Nesterov's):",
    "the points are kept out of the negative": "the points are kept above a bound: coordinates "
    "are cut to 0;",
    "the run stops early: it stands still where the length of g": "the run stops early:",
    "the run stops early: it stands still where no entry": "the run stops early:",
}


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("begins", BUGS)
def test_a_bug_is_named_and_not_taken_for_another(begins, dtype):
    first, *others = possible_causes(runs(BUGS[begins], dtype), dtype)
    assert first.startswith(begins)
    assert f"fits all {RUNS} runs" in first
    others = [cause for cause in others if not cause.startswith((begins, *GENERAL))]
    assert all(cause.startswith(EQUAL.get(begins, ())) for cause in others), others


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
def test_gradient_descent_needs_no_cause(dtype):
    assert likely_cause(runs(lambda p: p.descend(), dtype, 60), dtype) == ""


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
def test_noise_is_no_cause(dtype):
    rng = np.random.default_rng(1)
    assert not likely_cause(
        runs(lambda p: p.along(lambda x, k: p.g(x) + rng.normal(size=x.size)), dtype), dtype
    )


def small(features, start, step_size, points):
    """A run on 1/2 mean |features x|^2 that can be done on paper."""
    features, start = np.array(features, float), np.array(start, float)
    zero, steepest = 0 * start, np.linalg.eigvalsh(features.T @ features / len(features))[-1]
    instance = Instance(
        features, zero, np.inf, 0.0, 0.0, start, step_size, zero, steepest, 0.0, 0.0
    )
    return instance, np.array(points, float)


def test_one_small_run_is_enough_where_it_leaves_no_constant():
    run = small([[1, 1]], [1, 0], 0.5, [[1, 0], [0.5, -0.25]])
    assert likely_cause([run], np.float32) == (
        "coordinates are updated one after the other: coordinate 1 saw the new coordinate 0; "
        "fits this run, first in x[1], coordinate 1"
    )


def test_one_number_fits_no_constant():
    run = small([[1]], [1], 0.5, [[1], [0.3]])
    assert likely_cause([run], np.float32) == ""


def test_a_constant_has_as_many_digits_as_the_runs_tell():
    pairs = runs(lambda p: p.along(lambda x, k: p.dtype(1.00012207) * p.g(x)), np.float32)
    assert likely_cause(pairs, np.float32).startswith("the step is 1.00012 times")


def test_rows_from_infinity_on_are_left_out():
    run = small([[1]], [1], 0.5, [[1], [1.5], [2.25], [np.inf], [np.nan]])
    assert likely_cause([run], np.float32).startswith("the steps go uphill")


def test_a_run_that_overflows_in_its_first_step_says_nothing():
    run = small([[1]], [1], 0.5, [[1], [np.inf], [np.inf]])
    assert likely_cause([run], np.float32) == ""
    doubled = small([[1]], [1], 0.5, [[1], [0], [0]])
    told = likely_cause([doubled], np.float32)
    assert told and likely_cause([doubled, run], np.float32) == told


def test_the_likely_cause_is_the_first_of_the_possible():
    pairs = runs(BUGS["the step is 2 times too long"], np.float64)
    assert likely_cause(pairs, np.float64) == next(possible_causes(pairs, np.float64))
