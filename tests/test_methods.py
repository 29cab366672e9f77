"""The recurrences of the rules: each is followed by its own rule, and by nothing else."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gdpure as gd
from gdpure import rules, specs
from gdpure.specs import instances, methods, rounding, search
from gdpure.specs.balls import Ball
from gdpure.specs.instances import SHAPES, Setting
from gdpure.specs.report import Verdict
from gdpure.specs.subjects import Always, as_subject
from gdpure.specs.theorem import Run, observe
from planted import line_searches, momentum
from planted.descents import walk

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
    ("backtracking", gd.Backtracking(0.5, 0.25, 0.5, 3)),
)


@pytest.fixture(scope="module")
def judged():
    """A function (rule, dtype) -> the names of the methods whose recurrence it does not follow."""
    subjects = {rule: as_subject(rule) for _, rule in RULES}
    theorems = [(name, t) for name, rule in RULES for t in methods.theorems_of(Always(rule))]
    setting = Setting(0, scale=0, spread=2, distance=0, sixteenths=0, seed=1)

    def judge(rule, dtype):
        batch = search.batch_of(SHAPES[0], dtype, subjects[RULES[0][1]], 256, setting)
        tried = tuple(theorem for _, theorem in theorems)
        found = search.judge(subjects[rule], tried, batch, SHAPES[0], dtype)
        assert all((finding.applies & finding.informative).any() for finding in found)
        pairs = zip(theorems, found, strict=True)
        return {name for (name, _), finding in pairs if finding.violated.any()}

    return judge


@pytest.mark.parametrize("name, rule", RULES)
def test_a_rule_follows_its_own_recurrence_and_no_other(judged, name, rule):
    assert judged(rule, jnp.float32) == {other for other, _ in RULES} - {name}


# -- honest subjects -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "subject, method",
    [
        (partial(optax.sgd, momentum=0.9), lambda step_size: gd.HeavyBall(step_size, 0.9)),
        (
            partial(optax.sgd, momentum=0.9, nesterov=True),
            lambda step_size: gd.Nesterov(step_size, 0.9),
        ),
        (optax.sgd, gd.Constant),
        (lambda step_size: gd.Backtracking(16 * step_size, 0.4, 0.7, 5), None),
    ],
    ids=["heavy ball of optax", "nesterov of optax", "sgd of optax", "backtracking"],
)
def test_honest_subjects_are_not_accused(subject, method):
    known = methods.theorems_of(as_subject(subject, method).method)
    names = [theorem.name for theorem in known]
    report = specs.check_optimizer(subject, method=method, instances=3 * 2048, only=names)
    assert report, report


def test_near_the_minimum_any_undecided_step_may_be_taken():
    # The center is 300 and f is flat there: a step changes f by less than f is off.
    setting = Setting(3, scale=-6, spread=10, distance=-16, sixteenths=40, seed=3)
    subject = as_subject(gd.Backtracking(1.0, 0.3, 0.5, 3))
    theorems = methods.theorems_of(subject.method)
    batch = search.batch_of(SHAPES[0], jnp.float32, subject, 2048, setting)
    assert not any(
        finding.violated.any()
        for finding in search.judge(subject, theorems, batch, SHAPES[0], jnp.float32)
    )


def test_steps_too_small_for_the_dtype_are_none():
    rule = gd.Backtracking(1.0, 0.9, 1e-9, 5)  # from the fifth on, powers are zero in float32
    assert verdicts(rule, rule, "armijo-step", 96) == {Verdict.HOLDS}


# -- planted bugs ----------------------------------------------------------------------------------


def verdicts(subject, method, only, instances=32):
    report = specs.check_optimizer(subject, method=method, instances=instances, only=only)
    return {row.verdict for row in report.rows}


@pytest.mark.parametrize(
    "bug",
    [
        momentum.dampened,
        momentum.momentum_of_the_move_before,
        momentum.extrapolated_point,
    ],
    ids=lambda bug: bug.__name__,
)
def test_bugs_of_the_heavy_ball_are_found(bug):
    assert verdicts(bug, momentum.heavy_ball_rule, "recurrence") == {Verdict.VIOLATED}


@pytest.mark.parametrize(
    "bug",
    [momentum.nesterov_with_the_old_velocity, momentum.points_without_extrapolation],
    ids=lambda bug: bug.__name__,
)
def test_bugs_of_nesterov_are_found(bug):
    assert verdicts(bug, momentum.nesterov_rule, "recurrence") == {Verdict.VIOLATED}


@pytest.mark.parametrize(
    "bug",
    [
        line_searches.slack_of_one,
        line_searches.any_decrease,
        line_searches.accepted_when_exhausted,
        line_searches.next_trial,
        line_searches.longer_every_time,
    ],
    ids=lambda bug: bug.__name__,
)
def test_bugs_of_line_searches_are_found(bug):
    assert verdicts(bug, line_searches.METHOD, "armijo-step") == {Verdict.VIOLATED}


def search_that_may_rise(value, gradient, start, step_size, steps):
    """Armijo's rule with the customary c, and with the wrong sign before it; m29."""

    def move(x, _):
        g = gradient(x)
        slope = 1e-4 * (g * g).sum()
        for k in range(31):
            eta = step_size * 0.5**k
            if value(x - eta * g) <= value(x) + eta * slope:
                return x - eta * g
        return x

    return walk(move, start, steps)


def test_a_sign_that_only_matters_at_the_edge_is_found():
    assert verdicts(search_that_may_rise, gd.Backtracking, "armijo-step") == {Verdict.VIOLATED}


def test_at_the_edge_honest_searches_hold():
    [armijo, _] = methods.theorems_of(gd.Backtracking)
    subject = as_subject(gd.Backtracking)
    for dtype in (jnp.float32, jnp.float64):
        [tally] = search.survey(
            subject, [armijo], dtype, count=1, seconds=9, seed=0, progress=lambda fraction: None
        )
        assert tally.instances and not tally.violated


def along(step_of):
    """A subject that descends by ``step_of(f, g, last)``; last holds (x, g) of the row before."""

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


MINIMUM = 2.0


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
    assert verdicts(along(step_of), gd.Polyak(MINIMUM), "recurrence") == {verdict}


def barzilai_borwein(numerator, denominator):
    """A rule of step sizes, for inner products of s and y."""

    def step_of(x, f, g, last):
        if not last:
            return 0.5
        s, y = x - last[0][0], g - last[0][1]
        return quotient(numerator(s, y), denominator(s, y), 0.5) if s @ y > 0 else 0.5

    return step_of


def stale(x, f, g, last, memory=[]):  # noqa: B006, the memory is the bug
    """The quotient of the move before the last."""
    memory[:] = memory[-1:] if last else []
    memory.append(barzilai_borwein(lambda s, y: s @ s, lambda s, y: s @ y)(x, f, g, last))
    return memory[0]


@pytest.mark.parametrize(
    "step_of, verdict",
    [
        (barzilai_borwein(lambda s, y: s @ s, lambda s, y: s @ y), Verdict.HOLDS),
        (barzilai_borwein(lambda s, y: s @ y, lambda s, y: y @ y), Verdict.VIOLATED),
        (barzilai_borwein(lambda s, y: s @ y, lambda s, y: s @ s), Verdict.VIOLATED),
        (stale, Verdict.VIOLATED),
    ],
    ids=["right", "the other quotient", "upside down", "stale"],
)
def test_bugs_of_barzilai_and_borwein_are_found(step_of, verdict):
    assert verdicts(along(step_of), gd.BarzilaiBorwein(0.5), "recurrence") == {verdict}


# -- what is no method -----------------------------------------------------------------------------


def test_an_unknown_recurrence_is_refused():
    with pytest.raises(TypeError, match="HeavyBall.*got"):
        methods.theorems_of(lambda step_size: optax.adam(step_size))


def test_theorems_of_a_method_are_compiled_once():
    assert methods.theorems_of(gd.Backtracking) is methods.theorems_of(gd.Backtracking)


# -- what a subject may have computed --------------------------------------------------------------


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_values_within_a_ball_cover_what_is_evaluated_there(dtype):
    """The ball holds every evaluation in the dtype, at every corner, and is not idle."""
    setting = Setting(0, scale=0, spread=4, distance=0, sixteenths=16, seed=5)
    with jax.enable_x64(True):
        key = jax.random.key(0)
        make = partial(instances.sample, setting=setting, shape=SHAPES[0])
        batch = jax.vmap(lambda key: instances.instance(make(key), dtype))(
            jax.random.split(key, 512)
        )
        radius = 10.0 ** jax.random.uniform(key, batch.start.shape, jnp.float64, -9, -1)
        sides = jax.random.choice(key, jnp.array([-1.0, 1.0]), (64, *radius.shape))
        model = rounding.arithmetic(dtype)

        def ball(problem, radius):
            trace = observe(problem, Run(jnp.stack([problem.start] * 2)), model)
            return methods._value_within(trace, Ball(problem.start[None], radius[None]))

        def off(problem, radius, side):
            near = instances.rounded(problem.start + side * radius, dtype)
            inside = jnp.all(abs(near - problem.start) <= radius)
            data = [leaf.astype(dtype) for leaf in problem.data]
            value = instances.value(near.astype(dtype), data).astype(jnp.float64)
            return inside, value

        balls = jax.jit(jax.vmap(ball))(batch, radius)
        inside, values = jax.jit(jax.vmap(jax.vmap(off), (None, None, 0)))(batch, radius, sides)
    inside, values, balls = jax.device_get((inside, values, balls))
    ratio = abs(values - balls.middle[:, 0]) / balls.radius[:, 0]
    assert 0.9 < ratio[inside].max() <= 1


def test_step_sizes_are_those_of_the_dtype():
    rule = gd.Backtracking(0.1, 0.5, 0.3, 40)
    with jax.enable_x64(True):
        model = rounding.arithmetic(jnp.float32)
        tried = methods._tried(model, rule)
    factor = np.float32(0.3)
    product = np.cumprod(np.array([np.float32(0.1), *[factor] * 40], np.float32), dtype=np.float32)
    power = np.float32(0.1) * factor ** np.arange(41, dtype=np.float32)
    for steps in (product, power, np.where(power < np.finfo(np.float32).tiny, 0, power)):
        assert np.all(abs(steps - np.asarray(tried.middle)) <= np.asarray(tried.radius))
