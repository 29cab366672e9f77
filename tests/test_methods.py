"""The recurrences of the rules: each is followed by its own rule, and by nothing else.

Bugs of momentum and of line searches are planted in tests/planted, and found in test_power.py.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from planted.descents import walk
from planted.power import verdicts

import gdpure as gd
from gdpure import rules, specs
from gdpure.specs import instances, rounding
from gdpure.specs.balls import Ball
from gdpure.specs.instances import FAMILIES, SHAPES, Setting
from gdpure.specs.optimizer import search
from gdpure.specs.report import Verdict
from gdpure.specs.rows import Run, observe
from gdpure.specs.subjects import as_subject
from gdpure.specs.theorems import methods, recurrences
from gdpure.specs.theorems.recurrences import Always

pytestmark = pytest.mark.usefixtures("unshrunk")

# -- every rule against every recurrence -----------------------------------------------------------

# What is the same method goes by the same name.
RULES = (
    ("gradient descent", gd.Constant(0.5)),
    ("gradient descent", gd.HeavyBall(0.5, 0.0)),
    ("gradient descent", gd.Nesterov(0.5, 0.0)),
    ("heavy ball", gd.HeavyBall(0.5, 0.5)),
    ("nesterov", gd.Nesterov(0.5, 0.5)),
    ("exact line search", gd.ExactLineSearch()),
    ("polyak", gd.Polyak(0.0)),
    ("polyak, twice as long", gd.Polyak(0.0, 2.0)),
    ("barzilai-borwein, long", gd.BarzilaiBorwein(0.5)),
    ("barzilai-borwein, short", gd.BarzilaiBorwein(0.5, rules.short_step)),
    ("backtracking", gd.Backtracking(0.5, 0.3, 0.5, 3)),
    ("backtracking, soon exhausted", gd.Backtracking(0.5, 0.9, 0.7, 1)),
)
PEERS = (
    ("gradient descent", optax.sgd(0.5)),
    ("heavy ball", optax.sgd(0.5, momentum=0.5)),
    ("nesterov", optax.sgd(0.5, momentum=0.5, nesterov=True)),
)
STEP = as_subject(gd.Constant(0.5))  # all instances are scaled to the step size 1/2


def batch_of(dtype, setting, seed=0, count=256, shape=SHAPES[0]):
    """Instances of the step size 1/2 that have a setting in common, or one each."""
    setting = Setting(*(np.broadcast_to(x, count) for x in setting))
    recipe = instances.sample(np.random.default_rng(seed), setting, shape)
    return instances.instance(recipe, dtype, STEP.step_size)


THEOREMS = tuple(
    (name, t) for name, rule in dict(RULES).items() for t in methods.theorems_of(Always(rule))
)


@pytest.mark.parametrize(
    "name, subject, dtype",
    [*((*rule, jnp.float32) for rule in RULES), *((*peer, jnp.float64) for peer in PEERS)],
)
def test_a_rule_follows_its_own_recurrence_and_no_other(name, subject, dtype):
    made, broken, tested = as_subject(subject), set(), set()
    for seed in range(4):
        settings = instances.draw_settings(np.random.default_rng(seed), 512)
        batch = batch_of(dtype, settings, seed, 512)
        holding = [(other, t) for other, t in THEOREMS if other not in broken]
        found = search.judge(made, [t for _, t in holding], batch, SHAPES[0], dtype)
        for (other, _), finding in zip(holding, found, strict=True):
            broken |= {other} if finding.violated.any() else set()
            tested |= {other} if (finding.applies & finding.informative).any() else set()
    assert broken == {other for other, _ in RULES} - {name}
    assert name in tested


@pytest.mark.parametrize("distance", [-16, -8])
def test_where_rounding_decides_no_search_is_accused(distance):
    # Centers of 300, and steps that change f by less than f is off.
    name, rule = RULES[-2]
    known = [theorem for other, theorem in THEOREMS if other == name]
    for seed in range(16):
        setting = Setting(FAMILIES.index("pool"), -6, 10, distance, 0)
        batch = batch_of(jnp.float32, setting, seed)
        made = as_subject(rule)
        for finding in search.judge(made, known, batch, SHAPES[0], jnp.float32):
            assert not finding.violated.any()


# -- planted bugs ----------------------------------------------------------------------------------

MINIMUM = 2.0
POLYAK, QUOTIENT = gd.Polyak(MINIMUM), gd.BarzilaiBorwein(0.5)


def armijo(step_size):
    """Armijo's rule with the customary c."""
    return gd.Backtracking(step_size, max_backtracks=3)


def searching(sign=-1, exhausted=0.0):
    """The same, with a sign before c, and with a last trial that is taken if none is enough."""

    def subject(value, gradient, start, step_size, steps):
        def move(x, _):
            g = gradient(x)
            for eta in (step_size, step_size / 2, step_size / 4, step_size / 8):
                if value(x - eta * g) <= value(x) + sign * 1e-4 * eta * (g * g).sum():
                    return x - eta * g
            return x - exhausted * step_size * g

        with np.errstate(all="ignore"):
            return walk(move, start, steps)

    return subject


@pytest.mark.parametrize(
    "subject, verdict",
    [
        (searching(), Verdict.HOLDS),
        (searching(sign=1), Verdict.VIOLATED),
        (searching(exhausted=1 / 8), Verdict.VIOLATED),
    ],
    ids=["right", "sign", "taken when exhausted"],
)
def test_bugs_that_random_instances_rarely_meet_are_found(subject, verdict):
    assert verdicts(subject, armijo, "armijo-step") == {verdict}


def along(step_of):
    """A subject with the steps ``step_of(x, f, g, last)``; last holds (x, g) of the row before."""

    def subject(value, gradient, start, steps):
        last = []

        def move(x, _):
            g = gradient(x)
            eta = x.dtype.type(step_of(x, value(x), g, last))
            last[:] = [(x, g)]
            return x - eta * g

        with np.errstate(all="ignore"):
            return walk(move, start, steps)

    return subject


def quotient(numerator, denominator, otherwise=0.0):
    return numerator / denominator if denominator > 0 else otherwise


@pytest.mark.parametrize(
    "step_of, verdict",
    [
        (lambda x, f, g, last: quotient(max(f - MINIMUM, 0), g @ g), Verdict.HOLDS),
        (lambda x, f, g, last: 2 * quotient(max(f - MINIMUM, 0), g @ g), Verdict.VIOLATED),
        (lambda x, f, g, last: quotient(max(f, 0), g @ g), Verdict.VIOLATED),
        (lambda x, f, g, last: quotient(abs(f - MINIMUM), g @ g), Verdict.VIOLATED),
        (lambda x, f, g, last: quotient(max(f - MINIMUM, 0), np.sqrt(g @ g)), Verdict.VIOLATED),
    ],
    ids=["right", "factor 2", "no minimum", "gap not clipped", "norm without square"],
)
def test_bugs_of_polyak_are_found(step_of, verdict):
    assert verdicts(along(step_of), POLYAK, "recurrence") == {verdict}


def barzilai_borwein(numerator, denominator):
    """A rule of step sizes, for inner products of s and y."""

    def step_of(x, f, g, last):
        if not last:
            return 0.5
        s, y = x - last[0][0], g - last[0][1]
        return quotient(numerator(s, y), denominator(s, y), 0.5) if s @ y > 0 else 0.5

    return step_of


LONG = barzilai_borwein(lambda s, y: s @ s, lambda s, y: s @ y)
TAKEN = []


def stale(x, f, g, last):
    """The step size is taken one step late."""
    if not last:
        TAKEN[:] = [0.5]
    TAKEN.append(LONG(x, f, g, last))
    return TAKEN[-2]


@pytest.mark.parametrize(
    "step_of, verdict",
    [
        (LONG, Verdict.HOLDS),
        (barzilai_borwein(lambda s, y: s @ y, lambda s, y: y @ y), Verdict.VIOLATED),
        (barzilai_borwein(lambda s, y: s @ y, lambda s, y: s @ s), Verdict.VIOLATED),
        (stale, Verdict.VIOLATED),
    ],
    ids=["right", "the other quotient", "upside down", "stale"],
)
def test_bugs_of_barzilai_and_borwein_are_found(step_of, verdict):
    assert verdicts(along(step_of), QUOTIENT, "recurrence", 96) == {verdict}


def line_search(factor):
    """Exact line search by a difference of gradients, times a factor."""

    def subject(gradient, start, steps):
        def move(x, _):
            g = gradient(x)
            h = gradient(x - g) - g  # -H g, where f is quadratic
            return x - x.dtype.type(factor) * quotient(g @ g, -(g @ h)) * g

        with np.errstate(all="ignore"):
            return walk(move, start, steps)

    return subject


def reversed_momentum(momentum, look_ahead):
    """The last move is taken back, not kept up."""

    def subject(gradient, start, steps):
        v = np.zeros_like(start)

        def move(x, _):
            nonlocal v
            g = gradient(x)
            v = -momentum * v + g
            return x - 0.5 * (g - momentum * v if look_ahead else v)

        return walk(move, start, steps)

    return subject


HEAVY, NESTEROV = gd.HeavyBall(0.5, 0.25), gd.Nesterov(0.5, 0.25)
PROMISES = {
    "orthogonal-gradients": (gd.ExactLineSearch(), line_search(1.1)),
    "line-search-rate": (gd.ExactLineSearch(), line_search(1.9)),
    "polyak-distance": (
        gd.Polyak(0.0),
        along(lambda x, f, g, last: quotient(max(f, 0), np.sqrt(g @ g))),
    ),
    "polyak-values": (
        gd.Polyak(0.0),
        along(lambda x, f, g, last: quotient(max(f, 0), 100 * (g @ g))),
    ),
    "polyak-contraction": (
        gd.Polyak(0.0, 2.0),
        along(lambda x, f, g, last: quotient(max(f, 0), g @ g)),
    ),
    "between-curvatures": (
        QUOTIENT,
        along(barzilai_borwein(lambda s, y: 2 * (s @ s), lambda s, y: s @ y)),
    ),
    "heavy-ball-rate": (HEAVY, reversed_momentum(0.9, look_ahead=False)),
    "nesterov-rate": (NESTEROV, reversed_momentum(0.9, look_ahead=True)),
    "sufficient-decrease": (armijo(0.5), along(lambda x, f, g, last: 8.0)),
    "armijo-length": (armijo(0.5), along(lambda x, f, g, last: 1e-3)),
}


def test_every_promise_has_a_bug_that_breaks_it():
    known = {t.name for rule, _ in PROMISES.values() for t in methods.theorems_of(Always(rule))}
    assert known - {"recurrence", "armijo-step"} == set(PROMISES)


@pytest.mark.parametrize("name", PROMISES)
def test_a_bug_breaks_the_promise_of_its_rule(name, in_float32):
    rule, bug = PROMISES[name]
    assert verdicts(bug, rule, name, 96) == {Verdict.VIOLATED}


@pytest.mark.parametrize(
    "rule",
    {str(rule): rule for rule, _ in PROMISES.values()}.values(),
    ids=lambda r: type(r).__name__,
)
def test_a_rule_keeps_its_promises(rule):
    known = [t.name for t in methods.theorems_of(Always(rule))]
    report = specs.check_optimizer(rule, instances=192, only=known)
    assert report and {row.verdict for row in report.rows} == {Verdict.HOLDS}


def test_what_a_line_search_lowers_is_not_drowned():
    # In one parameter it ends at the minimum, where the next step is anywhere that rounding likes.
    settings = instances.draw_settings(np.random.default_rng(0), 256)
    batch = batch_of(jnp.float64, settings, shape=SHAPES[1])
    [rate] = (t for _, t in THEOREMS if t.name == "line-search-rate")
    made = as_subject(gd.ExactLineSearch())
    [found] = search.judge(made, [rate], batch, SHAPES[1], jnp.float64)
    assert found.informative[found.applies].mean() > 1 / 4 and not found.violated.any()


# -- what is no method -----------------------------------------------------------------------------


def test_an_unknown_recurrence_is_refused():
    with pytest.raises(TypeError, match="HeavyBall.*got"):
        methods.theorems_of(lambda step_size: optax.adam(step_size))


def test_theorems_of_a_method_are_the_same_objects():
    assert methods.theorems_of(gd.Backtracking) is methods.theorems_of(gd.Backtracking)


# -- what a subject may have computed --------------------------------------------------------------


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_values_within_a_ball_cover_what_is_evaluated_there(dtype):
    """The ball holds every evaluation in the dtype, at every corner, and is not idle."""
    setting = Setting(0, scale=0, spread=4, distance=0, sixteenths=16)
    batch, rng = batch_of(dtype, setting), np.random.default_rng(0)
    radius = 10.0 ** rng.uniform(-9, -1, batch.start.shape)
    trace = observe(batch, Run(np.stack([batch.start] * 2)), rounding.arithmetic(dtype))
    balls = recurrences.value_within(trace, Ball(batch.start, radius))
    near = instances.rounded(
        batch.start + rng.choice([-1.0, 1.0], (64, *radius.shape)) * radius, dtype
    )
    inside = (abs(near - batch.start) <= radius).all(axis=1)
    kept = [leaf.astype(dtype) for leaf in batch.data]

    @jax.jit
    @partial(jax.vmap, in_axes=(0, None))
    @partial(jax.vmap, in_axes=-1)
    def evaluated(x, data):
        return instances.value(x, data)

    with jax.enable_x64(True):
        values = np.asarray(evaluated(near.astype(dtype), kept), np.float64)
    ratio = abs(values - balls.middle) / balls.radius
    assert 0.9 < ratio[inside].max() <= 1


def test_step_sizes_are_those_of_the_dtype():
    rule = gd.Backtracking(0.1, 0.5, 0.3, 40)
    tried = recurrences._shrunk(rounding.arithmetic(jnp.float32), rule)[:, 0]
    factor = np.float32(0.3)
    product = np.cumprod(np.array([np.float32(0.1), *[factor] * 40], np.float32), dtype=np.float32)
    power = np.float32(0.1) * factor ** np.arange(41, dtype=np.float32)
    for steps in (product, power, np.where(power < np.finfo(np.float32).tiny, 0, power)):
        assert np.all(abs(steps - np.asarray(tried.middle)) <= np.asarray(tried.radius))
