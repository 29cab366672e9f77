"""What objectives claim: true facts hold, planted ones are named, and nothing is tuned."""

import json
import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from planted.objectives import BUGS, X, Y, claiming, deficient, right
from sklearn.datasets import load_diabetes

import gdpure as gd
from gdpure.specs.gradient import autodiff
from gdpure.specs.gradient.functions import form_of, traced, wide
from gdpure.specs.objective.check import check_objective
from gdpure.specs.report import Verdict

CURVED = {"smoothness", "strong-convexity", "convexity", "interpolation"}


def those(report, verdict=Verdict.VIOLATED):
    return {row.theorem for row in report.rows if row.verdict is verdict}


def row(report, theorem):
    return next(row for row in report.rows if row.theorem == theorem)


def square(x):
    return jnp.sum(x**2)


# -- no false alarms -------------------------------------------------------------------------------


def matrix(n, d, condition, rank=None):
    """Return (n, d) with singular values from 1 down to 1 / condition, `rank` of them."""
    left, _, right = np.linalg.svd(np.random.default_rng(n).normal(size=(n, d)), False)
    values = condition ** -np.linspace(0, 1, min(n, d))
    values[np.arange(len(values)) >= (rank or len(values))] = 0
    return (left * values) @ right


TALL, WIDE = (8, 2), (3, 5)
DATA = {
    "tall": matrix(*TALL, 10),
    "rank-deficient": matrix(*TALL, 10, rank=1),
    "ill-conditioned": matrix(*TALL, 1e4),
    "large": 1e3 * matrix(*TALL, 10),
    "wide": matrix(*WIDE, 10),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", DATA)
def test_least_squares_claims_what_holds(name, dtype):
    X = DATA[name]
    with jax.enable_x64(dtype == np.float64):
        f = gd.least_squares(X.astype(dtype), np.arange(1.0, 1 + len(X)).astype(dtype) ** 2)
        report = check_objective(f)
    assert report, report
    assert those(report, Verdict.HOLDS) >= CURVED | {"growth", "minimum", "minimizer"}
    flat = {"flat-projector", "flat-directions"}
    assert (flat <= those(report, Verdict.HOLDS)) == (name in ("rank-deficient", "wide"))


@pytest.mark.parametrize("seed", range(8))
def test_columns_of_very_different_scales(seed):
    """A minimizer that is computed is right as a vector, not coordinate by coordinate."""
    random = np.random.default_rng(seed)
    with jax.enable_x64(True):
        X = random.normal(size=TALL) * 10.0 ** random.uniform(-3, 3, size=2)
        report = check_objective(gd.least_squares(X, random.normal(size=8)))
    assert report, report


def test_real_data_in_its_own_units():
    X, y = load_diabetes(return_X_y=True, scaled=False)
    assert check_objective(gd.least_squares(X.astype(np.float32), y.astype(np.float32)))


@pytest.mark.parametrize("curvatures", [(1, 4), (1e-3, 1), (0, 3), (-1, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_quadratics_claim_what_holds(curvatures, dtype):
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    with jax.enable_x64(dtype == np.float64):
        hessian = ((turn * np.array(curvatures)) @ turn.T).astype(dtype)
        f = gd.quadratic(hessian, np.array([0.3, -7.0], dtype), np.asarray(5.0, dtype))
        report = check_objective(f)
    assert report, report
    assert those(report, Verdict.HOLDS) >= {"smoothness", "strong-convexity", "interpolation"}
    assert ("minimum" in those(report, Verdict.HOLDS)) == (min(curvatures) >= 0)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logistic_regression_claims_what_holds(ridge, dtype):
    with jax.enable_x64(dtype == np.float64):
        f = gd.logistic(X.astype(dtype), Y > 0, np.asarray(ridge, dtype))
        report = check_objective(f)
    assert report, report
    assert those(report, Verdict.HOLDS) >= CURVED
    assert ("growth" in those(report, Verdict.HOLDS)) == (ridge > 0)
    # Of both sides of the tie that softplus has at 0 the sum is none of its curvatures.
    [most] = re.findall(r"curvatures from \S+ to (\S+) were", report.notes[0])
    assert float(most) <= 1.0001 * float(gd.facts(f).smoothness)


@pytest.mark.parametrize("name", gd.landscapes.MINIMIZERS)
def test_landscapes_claim_what_holds(name):
    f = getattr(gd.landscapes, name)
    for at in (None, np.ones(2, np.float32), np.ones(2)):
        report = check_objective(f, at)
        assert report and str(report).startswith(f"{name}, held to its claims ("), report
        assert not those(report, Verdict.VACUOUS), report


def test_parameters_of_any_form():
    def value(params, c):
        return jnp.sum((params["w"] - c) ** 2) + 3 * params["b"] ** 2

    known = gd.Facts(2.0 * 3, 2.0, 2.0, {"w": np.ones((2, 2), np.float32), "b": np.float32(0)}, 0.0)
    f = gd.Objective(value, np.ones((2, 2), np.float32), facts=known)
    assert check_objective(f)
    wrong = check_objective(replace(f, facts=replace(known, smoothness=2.0)))
    assert those(wrong) == {"smoothness"}
    assert "smoothness is 6 at least, not 2" in str(wrong).splitlines()[0]
    case = row(wrong, "smoothness").counterexample
    assert "['b']: " in case.smallest and "{'b': np.array(" in case.reproduction


def test_points_are_evaluated_many_at_once(monkeypatch):
    """Of a check that took a minute and a half, each point had its own call."""
    calls, measured = [], autodiff._measured
    monkeypatch.setattr(autodiff, "_measured", lambda *args: calls.append(1) or measured(*args))
    assert check_objective(right())
    assert len(calls) <= 5  # at one point, for the gradient, at all points, along flat directions


# -- errors that are drawn -------------------------------------------------------------------------


def test_cauchy_errors_are_the_tangent():
    uniform = np.concatenate([np.linspace(-0.5, 0.5, 10_002)[1:-1], [2.0**-33 - 0.5, 1e-9]])
    with jax.enable_x64(True):
        found = np.asarray(autodiff._cauchy(uniform))
    # Near its poles the tangent of a rounded angle is off by pi u / (1/2 - |uniform|).
    allowed = 2.0**-44 + 4 * 2.0**-53 / (0.5 - abs(uniform))
    assert (abs(found / np.tan(np.pi * uniform) - 1) <= allowed).all()


def test_no_draw_of_many_takes_a_function_that_is_slow():
    """There are ten thousand draws a row of data; with `tan` a check of 10^4 rows took a minute."""
    form, _ = form_of("square", jnp.ones(2))
    refined, _ = traced(square, form)
    with wide():
        salts = jnp.ones(autodiff._RUNS, jnp.uint32)
        program = jax.make_jaxpr(autodiff._measured)(refined, jnp.ones((1, 2)), 1, salts)
    used = set(re.findall("[a-z_]+", str(program)))
    assert {"mul", "reduce_sum"} <= used
    assert not used & {"tan", "sin", "cos", "exp", "log"}


# -- planted bugs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("make, claim", BUGS, ids=[make.__name__ for make, _ in BUGS])
def test_planted_bugs_are_found(make, claim):
    report = check_objective(make())
    assert not report
    assert claim in those(report), report
    case = row(report, claim).counterexample
    assert case is None or case.off_by > case.explained
    assert all(len(line) <= 100 for line in str(report).splitlines())


def test_the_objectives_that_bugs_were_planted_in_are_right():
    assert check_objective(right()) and check_objective(deficient())


def test_an_L_that_is_too_small_is_reported_as_such():
    f = claiming(right(), smoothness=np.float32(2))
    report, L = check_objective(f, name="mine"), gd.facts(right()).smoothness
    assert those(report) == {"smoothness"}
    first = str(report).splitlines()[0]
    assert first.startswith("mine, held to its claims: smoothness is ")
    assert "at least, not 2" in first
    assert 0.99 * L <= float(first.split("smoothness is ")[1].split()[0]) <= 1.0001 * L
    assert those(report, Verdict.BLOCKED) == {"interpolation"}


@pytest.mark.parametrize("f", [jax.nn.softplus, lambda x: jnp.logaddexp(0.0, x), jax.nn.relu])
def test_derivatives_of_derivatives_follow_the_rules_that_a_function_brings(f):
    form, x = form_of("f", np.zeros((), np.float32))
    with wide():
        own, _ = traced(f, form)
        for derivative in (jax.grad, jax.hessian, lambda f: jax.grad(jax.hessian(f))):
            assert derivative(own)(x[0]) == derivative(f)(0.0)


def test_a_smoothness_of_zero_is_a_fact():
    known = gd.Facts(smoothness=0.0, strong_convexity=0.0)
    report = check_objective(lambda x: x[0] - 2 * x[1] + 3, jnp.ones(2), facts=known)
    assert {"smoothness", "interpolation", "convexity"} <= those(report, Verdict.HOLDS)
    constant = check_objective(lambda x: 0 * x[0] + 3, jnp.ones(2), facts=known)
    assert "interpolation" in those(constant, Verdict.HOLDS)
    report = check_objective(square, jnp.ones(2), facts=known)
    assert report.rows[1].counterexample.cause == "smoothness is 2 at least, not 0"


def test_an_L_of_a_function_that_grows_fast_is_none():
    """Where f is huge, so is what rounding explains, and larger than what L allows."""
    known = gd.Facts(smoothness=1.0, minimizer=np.zeros(2))
    report = check_objective(lambda x: jnp.sum(jnp.cosh(x)), facts=known)
    assert those(report) == {"smoothness"}
    case = row(report, "smoothness").counterexample
    assert float(case.cause.split("smoothness is ")[1].split()[0]) > 1
    assert float(case.must_be.split("at most ")[1].split()[0]) > 0


def test_a_counterexample_can_be_checked_on_paper():
    report = check_objective(square, np.zeros(2), facts=gd.Facts(smoothness=1.0))
    case = row(report, "smoothness").counterexample
    assert case.smallest in ("x = (1, 0), y = (0, 0)", "x = (0, 1), y = (0, 0)")
    assert (case.must_be, case.returned) == ("|g(x) - g(y)| at most 1", "2")
    assert case.cause.startswith("smoothness is 2 at least, not 1; 2 times what is claimed")


def test_a_reproduction_shows_the_number():
    f = claiming(right(), smoothness=np.float32(2))
    case = row(check_objective(f), "smoothness").counterexample
    code = case.reproduction.replace("put it here as `f`", "given")
    assert "gdpure" not in code.replace("gdpure.linear_models", "")
    scope = {"f": f}
    with jax.enable_x64(False):
        exec(code.replace("print(", "seen = ("), scope)
    assert abs(float(scope["seen"]) / gd.facts(right()).smoothness - 1) < 0.011


# -- what is not claimed ---------------------------------------------------------------------------


def test_a_plain_function_claims_nothing():
    report = check_objective(square, jnp.ones(2))
    assert not report and not those(report)
    assert "it claims nothing" in str(report)


def test_facts_may_be_handed_over():
    assert check_objective(square, jnp.ones(2), facts=gd.Facts(smoothness=2.0))


def test_what_jax_cannot_trace_is_vacuous():
    report = check_objective(
        lambda x: float(np.sum(x**2)), np.ones(2), facts=gd.Facts(smoothness=2.0)
    )
    assert not report and not those(report)
    assert row(report, "smoothness").reason.startswith("JAX cannot trace f: ")


def test_a_report_goes_to_json():
    found = json.loads(check_objective(right()).to_json())
    assert found["holds"] and found["method"] == "its claims"


# -- mistakes --------------------------------------------------------------------------------------

ONE = {"facts": gd.Facts(smoothness=1.0)}


def of_both(x, data):
    return square(x)


@pytest.mark.parametrize(
    "error, call, sentence",
    [
        (TypeError, lambda: check_objective(3), "objective must be callable, got int 3"),
        (TypeError, lambda: check_objective(square, np.ones(2, int), **ONE), "at must be floating"),
        (TypeError, lambda: check_objective(square, np.ones(2, complex)), "at must be floating"),
        (ValueError, lambda: check_objective(square, np.ones(0)), "at must not be empty"),
        (ValueError, lambda: check_objective(square, np.array([np.nan])), "must be finite"),
        (ValueError, lambda: check_objective(lambda x: x, np.ones(2)), "one real number"),
        (ValueError, lambda: check_objective(lambda x: square(x) / 0, np.ones(2)), "must be fini"),
        (TypeError, lambda: check_objective(square, np.ones(2), facts=2.0), "facts must be gd.Fac"),
        (TypeError, lambda: check_objective(square, np.ones(2), seed=0.5), "seed must be a whole"),
        (ValueError, lambda: check_objective(square, np.ones(2), instances=0), "instances must be"),
        (
            TypeError,
            lambda: check_objective(lambda p: square(p["w"]), facts=gd.Facts(smoothness=2.0)),
            "at must be a point",
        ),
        (
            TypeError,
            lambda: check_objective(gd.Objective(square), np.ones(2)),
            r"objective.value must take 2 arguments, the parameters and the data, got square\(x\)",
        ),
        (
            TypeError,
            lambda: check_objective(gd.Objective(of_both, gradient=square), np.ones(2)),
            "objective.gradient must take 2 arguments, the parameters and the data, got square",
        ),
        (
            TypeError,
            lambda: check_objective(gd.Objective(of_both, facts=lambda: None), np.ones(2)),
            "objective.facts must take 1 argument, the data, got <lambda>",
        ),
        (
            TypeError,
            lambda: check_objective(gd.Objective(of_both, facts=lambda _: {}), np.ones(2)),
            r"facts must be gd.Facts\(...\), got dict {}",
        ),
        (TypeError, lambda: check_objective(of_both, np.ones(2)), "objective must take 1 argument"),
        (
            TypeError,
            lambda: check_objective(square, np.ones(2), facts=gd.Facts(smoothness="2")),
            "facts.smoothness must be one real number, got str '2'",
        ),
        (
            ValueError,
            lambda: check_objective(square, np.ones(2), facts=gd.Facts(smoothness=np.ones(2))),
            "facts.smoothness must be one real number",
        ),
        (
            ValueError,
            lambda: check_objective(square, np.ones(2), facts=gd.Facts(growth=np.nan)),
            "facts.growth must be one real number",
        ),
        (
            ValueError,
            lambda: check_objective(square, np.ones(2), facts=gd.Facts(minimizer=np.ones(3))),
            r"facts.minimizer must have the form of the parameters, \(2,\), got \(3,\)",
        ),
        (
            ValueError,
            lambda: check_objective(square, np.ones((2, 1)), facts=gd.Facts(minimizer=np.ones(2))),
            r"\(2, 1\), got \(2,\)",
        ),
        (
            ValueError,
            lambda: check_objective(square, np.ones(2), facts=gd.Facts(flat=np.ones(2))),
            r"facts.flat must have shape \(2, 2\)",
        ),
    ],
)
def test_mistakes_are_answered_with_one_sentence(error, call, sentence):
    with pytest.raises(error, match=sentence) as told:
        call()
    assert str(told.value).startswith("check_objective: ")
    assert "\n" not in str(told.value)
