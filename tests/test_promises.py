"""What is proven of rules and schedules: attained by the worst function, and broken by bugs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from planted import schedules
from planted.power import verdicts

import gdpure as gd
from gdpure import specs
from gdpure.specs import bounds, extremal, instances
from gdpure.specs.instances import SHAPES
from gdpure.specs.optimizer import search
from gdpure.specs.report import Verdict
from gdpure.specs.subjects import as_subject
from gdpure.specs.theorems import methods

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
[LINE] = (shape for shape in SHAPES if shape[:2] == (1, 1))


# -- schedules -------------------------------------------------------------------------------------

SCHEDULES = {"silver": gd.schedules.silver, "chebyshev": schedules.CHEBYSHEV}
BROKEN = {
    "silver-values": schedules.one_over_L,
    "silver-gradient": schedules.silver_with_the_power_off_by_one,
    "chebyshev-distance": schedules.half_of_the_nodes,
}


@pytest.mark.parametrize(
    ("method", "subject"),
    [
        ("silver", gd.schedules.silver),
        ("silver", schedules.silver_by_hand),
        ("chebyshev", schedules.CHEBYSHEV),
        ("chebyshev", schedules.chebyshev_by_hand),
    ],
    ids=["silver", "silver by hand", "chebyshev", "chebyshev, sorted"],
)
def test_right_schedules_are_accused_of_nothing(method, subject, in_float32, unshrunk):
    known = {theorem.name for theorem in methods.theorems_of(SCHEDULES[method])}
    if subject is schedules.chebyshev_by_hand:
        known -= {"recurrence"}  # it has the same steps in another order
    report = specs.check_optimizer(
        subject, method=SCHEDULES[method], instances=192, only=sorted(known)
    )
    assert report and {row.verdict for row in report.rows} == {Verdict.HOLDS}


@pytest.mark.parametrize("name", BROKEN)
def test_a_bug_breaks_the_promise_of_its_schedule(name, in_float32, unshrunk, on_a_line):
    method = SCHEDULES[name.partition("-")[0]]
    assert verdicts(BROKEN[name], method, [name], 64) == {Verdict.VIOLATED}


def test_every_promise_of_a_schedule_has_a_bug_that_breaks_it():
    known = {t.name for schedule in SCHEDULES.values() for t in methods.theorems_of(schedule)}
    assert known - {"recurrence"} == set(BROKEN)


def test_a_schedule_goes_by_its_name():
    assert as_subject(gd.schedules.silver).name == "gdpure.schedules:silver"
    assert as_subject(schedules.CHEBYSHEV).name == "gdpure.schedules:chebyshev(mu=0.015625, L=1.0)"


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("silver-values", extremal.silver_huber),
        ("silver-gradient", extremal.silver_gradient_huber),
    ],
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_silver_rates_are_attained(name, function, dtype):
    [theorem] = (t for t in methods.theorems_of(gd.schedules.silver) if t.name == name)
    assert function in theorem.extremal
    batch = function(np.random.default_rng(0), 64, LINE.steps)
    batch = jax.tree.map(lambda leaf: instances.rounded(leaf, dtype), batch)
    subject = as_subject(gd.schedules.silver)
    [found] = search.judge(subject, [theorem], batch, LINE, dtype, attained=True)
    assert found.applies.all() and not found.violated.any()
    if dtype == jnp.float64:
        assert abs(found.measured / found.bound - 1).max() < 1e-9


def test_a_reproduction_shows_the_steps(in_float32):
    method = gd.schedules.silver
    report = specs.check_optimizer(
        schedules.golden, method=method, instances=192, only="recurrence"
    )
    case, namespace = report.rows[-1].counterexample, {}
    assert report.rows[-1].theorem == "recurrence" and "gdpure" not in case.reproduction
    exec(compile(case.reproduction, "reproduction", "exec"), namespace)
    assert case.smallest.startswith("f(x) = x^2 / 2 from (1)")
    off = np.abs(namespace["returned"] - (1 - 2**0.5))
    np.testing.assert_allclose(off, case.off_by, rtol=1e-3)


def test_what_is_no_schedule_is_refused():
    with pytest.raises(TypeError, match=r"must return 3 step sizes, got shape \(2,\)"):
        specs.check_optimizer(lambda n: np.ones(2))
    with pytest.raises(TypeError, match=r"\(3\) raised ZeroDivisionError: .*a schedule is"):
        specs.check_optimizer(lambda n: 1 / 0)


@pytest.mark.parametrize(
    ("error", "method", "sentence"),
    [
        (TypeError, lambda n: np.ones(2), r"must return 3 step sizes, got shape \(2,\)"),
        (TypeError, lambda n: None, r"must return 3 step sizes, got shape \(\)"),
        (ValueError, lambda n: np.full(n, np.nan), "must return finite step sizes"),
        (TypeError, gd.schedules.chebyshev, r"chebyshev\(3\) raised TypeError: .*'mu' and 'L'"),
    ],
    ids=["two", "none", "nan", "without mu and L"],
)
def test_a_method_that_is_no_schedule_is_not_blamed_on_the_subject(error, method, sentence):
    with pytest.raises(error, match=f"^check_optimizer: .*{sentence}"):
        specs.check_optimizer(gd.schedules.silver, method=method)


# -- rules, on the functions where they are slowest ------------------------------------------------

L, MU, STEPS = 4.0, 1.0, 8
ROOT = (MU / L) ** 0.5
SLOWEST = {
    "exact line search": (
        (MU, L),
        (1 / MU, 1 / L),
        gd.ExactLineSearch(),
        lambda f, x: f / f[0],
        lambda k: bounds.exact_line_search_rate(L, MU, k),
    ),
    "polyak": (
        (MU, L),
        (1.0, ROOT),
        gd.Polyak(0.0, 2.0),
        lambda f, x: (x**2).sum(1) / (x[0] ** 2).sum(),
        lambda k: bounds.polyak_contraction(L, MU, 2 / (L + MU)) ** k,
    ),
    "heavy ball": (
        (L,),
        (1.0,),
        gd.HeavyBall(4 / (L**0.5 + MU**0.5) ** 2, ((1 - ROOT) / (1 + ROOT)) ** 2),
        lambda f, x: abs(x[:, 0]),
        lambda k: bounds.heavy_ball_on_quadratics(L, MU, k),
    ),
    "nesterov": (
        (MU,),
        (1.0,),
        gd.Nesterov(1 / L, (1 - ROOT) / (1 + ROOT)),
        lambda f, x: abs(x[:, 0]),
        lambda k: bounds.nesterov_on_quadratics(L, MU, k),
    ),
    "chebyshev at mu": (
        (MU,),
        (1.0,),
        gd.schedules.chebyshev,
        lambda f, x: abs(x[-1, 0]),
        lambda k: bounds.chebyshev_rate(L, MU, STEPS),
    ),
    "chebyshev at L": (
        (L,),
        (1.0,),
        gd.schedules.chebyshev,
        lambda f, x: abs(x[-1, 0]),
        lambda k: bounds.chebyshev_rate(L, MU, STEPS),
    ),
}


@pytest.mark.parametrize("name", SLOWEST)
def test_rates_of_rules_are_attained_at_every_step(name):
    curvatures, start, rule, measured, bound = SLOWEST[name]
    with jax.enable_x64(True):
        f = gd.quadratic(np.diag(curvatures), np.zeros(len(curvatures)))
        rule = rule(STEPS, MU, L) if rule is gd.schedules.chebyshev else rule
        rows = gd.descend(f, np.array(start), rule, steps=STEPS).history
    came = measured(np.asarray(rows.value), np.asarray(rows.point))
    assert np.abs(came / bound(np.arange(STEPS + 1)) - 1).max() < 1e-9


def zigzag(x, h, steps):
    """The slope falls with curvature -1 over half a step, and rises with 1 over the other half.

    At every point of the run it is 1; after them it falls to 0, and f with it. L is 1.
    """
    back = -x
    whole = jnp.minimum(jnp.floor(back / h), steps)
    rest = back - whole * h
    inside = jnp.where(
        rest <= h / 2, rest - rest**2 / 2, rest - h**2 / 4 + (h - jnp.minimum(rest, h)) ** 2 / 2
    )
    last = jnp.where(rest < 1, rest - rest**2 / 2, 0.5)
    fallen = whole * (h - h**2 / 4) + jnp.where(whole == steps, last, inside)
    return steps * (h - h**2 / 4) + 0.5 - fallen


@pytest.mark.parametrize("h", [0.25, 0.5, 1.0])
def test_the_zigzag_attains_the_nonconvex_rate(h):
    with jax.enable_x64(True):
        rows = gd.descend(lambda x: zigzag(x[0], h, STEPS), np.zeros(1), h, steps=STEPS).history
    slopes = np.abs(np.asarray(rows.gradient[:, 0]))
    assert (slopes == 1).all()
    rate = bounds.nonconvex_gradient_rate(1.0, h, STEPS)
    assert abs(slopes.min() ** 2 / (rate * float(rows.value[0])) - 1) < 1e-9
    # It is 1-smooth, and no further than that from convex.
    with jax.enable_x64(True):
        x = np.linspace(-STEPS * h - 2, 0, 1001)
        bent = np.diff(jax.vmap(jax.grad(lambda x: zigzag(x, h, STEPS)))(x)) / np.diff(x)
    assert np.abs(bent).max() <= 1 + 1e-9
