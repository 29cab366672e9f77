"""Objectives: their values, their gradients, what is known about them, and their rows."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracles import (
    check_evaluation,
    check_least_squares_facts,
    logistic_rounding,
    near,
    spectrum,
)
from strategies import arrays, problems
from ways import WAYS, evaluate, ways

import gdpure as gd
from gdpure.specs import rounding

FLOAT32 = np.dtype(np.float32)

# -- values and gradients --------------------------------------------------------------------------


@ways
@given(problem=problems())
def test_least_squares_is_the_mean_of_squared_residuals(way, problem):
    X, y, theta = problem
    found = evaluate(way, gd.least_squares(X, y), theta)
    check_evaluation(found, rounding.least_squares(X, y, theta, FLOAT32))


@ways
@given(hessian=arrays((3, 3)), minimizer=arrays((3,)), minimum=arrays(()), x=arrays((3,)))
def test_quadratic_is_half_the_symmetric_form_above_its_minimum(
    way, hessian, minimizer, minimum, x
):
    found = evaluate(way, gd.quadratic(hessian, minimizer, minimum), x)
    symmetric = (hessian + hessian.T) / 2  # exact: quarters of small integers
    check_evaluation(found, rounding.quadratic(symmetric, minimizer, minimum, x, FLOAT32))


labels = hnp.arrays(np.float32, (7,), elements=st.sampled_from([0.0, 1.0]))


@ways
@given(X=arrays((7, 3)), labels=labels, ridge=st.sampled_from([0, 0.25, 3.0]), theta=arrays((3,)))
def test_logistic_is_the_mean_log_loss_plus_the_ridge(way, X, labels, ridge, theta):
    data = X, labels, np.float32(ridge)
    found = evaluate(way, gd.logistic(*data), theta)
    check_evaluation(found, logistic_rounding(*data, theta, FLOAT32))


def naive_logistic(theta, data):
    X, labels, _ = data
    return jnp.mean(jnp.log(1 + jnp.exp((1 - 2 * labels) * (X @ theta))))


@pytest.mark.parametrize("margin", [1e4, 90.0, 50.0, 20.0, 1.0, 0.0, -1.0, -50.0, -90.0, -1e4])
def test_logistic_keeps_its_digits_at_any_margin(margin):
    X, label, theta = np.ones((1, 1), np.float32), np.ones(1, np.float32), np.float32([margin])
    f, allowed = gd.logistic(X, label), logistic_rounding(X, label, 0.0, theta, FLOAT32)
    for way in WAYS:
        check_evaluation(way(f)(theta), allowed)
    if margin in (50, 20, -90, -1e4):  # here exp is lost beside 1, or overflows: the bound sees it
        with pytest.raises(AssertionError):
            check_evaluation(gd.reverse(replace(f, value=naive_logistic))(theta), allowed)


def test_no_ridge_costs_nothing_where_the_squares_of_coefficients_overflow():
    f = gd.logistic(np.float32([[1], [-1]]), [1, 0])
    for way in WAYS:
        value, gradient = way(f)(np.float32([1e20]))
        assert value == 0 and gradient == 0
    state = gd.minimize(f, np.zeros(1, np.float32), 1e20)  # separable: any length is right
    assert state.status == gd.Status.CONVERGED
    # Its derivative is what a ridge would cost, not 0 as of a ridge that is left out.
    X, labels, _ = f.data
    by_ridge = jax.grad(lambda ridge: f.value(jnp.array([3.0]), (X, labels, ridge)))
    assert by_ridge(jnp.float32(0)) == 4.5


WIDE = np.float32([np.arange(9), np.arange(9) ** 2]) / 8  # more columns than are summed one by one
OURS = {
    "least_squares": gd.least_squares(WIDE, [1, 2]),
    "logistic": gd.logistic(WIDE, [0, 1], 0.5),
    "quadratic": gd.quadratic(np.eye(9, dtype=np.float32), np.ones(9, np.float32)),
}


def _precisions(jaxpr):
    """Yield the precision of every matrix product in a program."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation.params["precision"]
        programs = jax.tree.leaves(list(equation.params.values()), is_leaf=_is_program)
        for program in filter(_is_program, programs):
            yield from _precisions(getattr(program, "jaxpr", program))


def _is_program(x):
    return hasattr(x, "eqns")


USES = {
    "value": lambda f: f,
    **{way.__name__: way for way in (gd.reverse, gd.forward, gd.analytic, gd.central)},
    "per_sample": gd.per_sample,
    "per_sample, forward": lambda f: gd.per_sample(f, gradient=gd.forward, chunk_size=1),
    "descend": lambda f: lambda x: gd.descend(f, x, gd.Backtracking(), steps=1),
    "facts": lambda f: lambda x: gd.facts(f),
    "closed_form": lambda f: lambda x: gd.closed_form(f, x, 0.1, 2),
    "as_quadratic": lambda f: lambda x: gd.as_quadratic(f)(x),
}


@pytest.mark.parametrize("name", OURS)
def test_every_product_of_ours_asks_for_all_digits(name):
    """A GPU multiplies float32 in TF32 where it is not asked, as under vmap: 3e-4 for 1e-7."""
    without = {"quadratic": "per_sample", "logistic": ("closed_form", "as_quadratic")}
    for use, apply in USES.items():
        if use.startswith(without.get(name, "nothing")):
            continue
        program = jax.make_jaxpr(lambda f, x, apply=apply: jax.vmap(apply(f))(x))
        found = list(_precisions(program(OURS[name], jnp.ones((2, 9))).jaxpr))
        assert set(found) <= {(jax.lax.Precision.HIGHEST,) * 2}, use
        assert found or (name, use) == ("logistic", "facts")  # of a singular value alone


MAKERS = {
    "quadratic": lambda dtype: gd.quadratic(jnp.eye(2, dtype=dtype), jnp.ones(2, dtype)),
    "least_squares": lambda dtype: gd.least_squares(jnp.eye(2, dtype=dtype), jnp.ones(2, dtype)),
    "logistic": lambda dtype: gd.logistic(jnp.eye(2, dtype=dtype), jnp.array([0, 1]), 0.1),
    "empirical_risk": lambda dtype: gd.empirical_risk(
        lambda x, e: jnp.sum((x - e) ** 2), jnp.eye(2, dtype=dtype)
    ),
}


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64])
@pytest.mark.parametrize("name", MAKERS)
def test_values_gradients_and_facts_keep_the_dtype_of_the_data_under_x64(name, dtype):
    with jax.enable_x64(True):
        f = MAKERS[name](dtype)
        found = [gd.begin(f, jnp.ones(2, dtype), 0.1)[:3], gd.reverse(f)(jnp.ones(2, dtype))]
        leaves = jax.tree.leaves((f.data, found, gd.facts(f)))
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype(dtype)}


def test_unpack_turns_functions_of_coordinates_into_functions_of_a_vector():
    def cost(a, b, scale):
        return scale * (a**2 + 3 * b)

    def gradient(a, b, scale):
        return 2 * scale * a, 3 * scale

    f = gd.Objective(gd.unpack(cost), jnp.float32(2), gd.unpack(gradient))
    for way in WAYS:
        value, slope = way(f)(jnp.array([5.0, 1.0]))
        assert value == 56 and slope.tolist() == [20, 6]


def test_with_intercept_puts_a_column_of_ones_first():
    assert gd.with_intercept([3.0, 5.0]).tolist() == [[1, 3], [1, 5]]
    assert gd.with_intercept(np.float32([[3, 4], [5, 6]])).tolist() == [[1, 3, 4], [1, 5, 6]]


# -- facts -----------------------------------------------------------------------------------------


DEGENERATE = {
    "square": np.array([[2, 0], [1, 1]]),
    "one entry": np.array([[3]]),
    "a zero column": np.array([[1, 0], [2, 0], [3, 0]]),
    "equal columns": np.array([[1, 1], [2, 2], [4, 4]]),
    "wide": np.array([[1, 2, 3], [0, 1, 1]]),
    "wide of rank one": np.array([[1, 2, 3], [2, 4, 6]]),
    "zero": np.zeros((3, 2)),
}


@given(problem=problems())
def test_least_squares_facts_are_those_of_the_singular_values(problem):
    known = gd.facts(gd.least_squares(problem.X, problem.y))
    check_least_squares_facts(known, problem.X, problem.y)


@pytest.mark.parametrize("name", DEGENERATE)
def test_least_squares_facts_hold_whatever_the_rank(name):
    X = DEGENERATE[name].astype(np.float32)
    y = np.arange(1, len(X) + 1, dtype=np.float32)
    check_least_squares_facts(gd.facts(gd.least_squares(X, y)), X, y)


@pytest.mark.parametrize(
    "bug",
    [
        lambda known: replace(known, strong_convexity=known.growth),
        lambda known: replace(known, growth=0 * known.growth),
        lambda known: replace(known, smoothness=known.smoothness / 2),
        lambda known: replace(known, minimizer=known.minimizer + known.flat[0] / 100),
        lambda known: replace(known, minimum=known.minimum + 1e-3),
        lambda known: replace(known, flat=jnp.eye(3) - known.flat),
    ],
    ids=["flat is curved", "no growth", "1/n for 2/n", "not least norm", "too high", "range"],
)
def test_the_check_of_facts_sees_a_wrong_one(bug):
    X, y = DEGENERATE["wide of rank one"].astype(np.float32), np.float32([1, 1])
    known = gd.facts(gd.least_squares(X, y))
    check_least_squares_facts(known, X, y)
    with pytest.raises(AssertionError):
        check_least_squares_facts(bug(known), X, y)


def test_strong_convexity_of_ill_conditioned_float32_data_is_not_claimed_too_high():
    def growth_of_products(X):  # the eigenvalues of X'X know half of the digits
        return jnp.linalg.eigvalsh(X.T @ X * (2 / len(X)))[0]

    caught = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        Q, P = (np.linalg.qr(rng.normal(size=shape))[0] for shape in [(8, 3), (3, 3)])
        X, y = np.float32(Q * [1, 0.03, 1e-3] @ P), rng.normal(size=8).astype(np.float32)
        L, mu = spectrum(X)
        assert 0.9e6 < L / mu < 1.1e6
        known = gd.facts(gd.least_squares(X, y))
        check_least_squares_facts(known, X, y)
        try:
            claim = growth_of_products(jnp.asarray(X))
            bug = replace(known, growth=claim, strong_convexity=claim)
            check_least_squares_facts(bug, X, y)
        except AssertionError:
            caught.append(seed)
    assert len(caught) >= 5


@pytest.mark.parametrize("where", [(0, 0), (2, 1)])
def test_facts_of_data_with_nan_are_nan(where):
    X = jnp.eye(3, 2).at[where].set(jnp.nan)
    known = gd.facts(gd.least_squares(X, jnp.ones(3)))
    numbers = [known.smoothness, known.strong_convexity, known.growth, known.minimum]
    assert np.isnan(numbers).all() and np.isnan(known.minimizer).all()
    hessian = jnp.diag(jnp.array([jnp.nan, 1]))
    assert np.isnan(gd.facts(gd.quadratic(hessian, jnp.zeros(2))).smoothness)


def test_facts_of_nan_are_nan_whatever_a_decomposition_makes_of_them(monkeypatch):
    """The singular values that a GPU finds of nan are numbers."""
    for name in ("svd", "eigh"):
        blind = functools.partial(_of_numbers, getattr(jnp.linalg, name))
        monkeypatch.setattr(jnp.linalg, name, blind)
    X, y = jnp.ones((5, 4)).at[3, 2].set(jnp.nan), jnp.ones(5)
    known = gd.facts(gd.least_squares(X, y))
    assert all(np.isnan(fact).all() for fact in jax.tree.leaves(known))
    assert np.isnan(gd.facts(gd.logistic(X, y)).smoothness)
    known = gd.facts(gd.quadratic(X[1:], y[1:]))
    assert all(np.isnan(fact).all() for fact in jax.tree.leaves(known))


def _of_numbers(decomposition, x, **options):
    return decomposition(jnp.nan_to_num(x), **options)


def check_quadratic_facts(known, hessian, minimizer):
    """Facts against NumPy in float64; eigenvalues are off by eps |H|, eps = 2 d ulps."""
    d, curvatures = len(hessian), np.linalg.eigvalsh(hessian.astype(float))
    eps = 2 * d * np.finfo(np.float32).eps
    size = np.abs(curvatures).max()
    rank = np.linalg.matrix_rank(hessian.astype(float), hermitian=True)
    nonzero = curvatures[np.argsort(np.abs(curvatures))[d - rank :]]
    indefinite = rank and nonzero.min() < 0
    assert near(known.smoothness, size, eps * size)
    mu = nonzero.min() if indefinite or rank == d else 0.0
    assert near(known.strong_convexity, mu, eps * size if mu else 0)
    growth = 0.0 if indefinite or not rank else nonzero.min()
    assert near(known.growth, growth, eps * size if growth else 0)
    assert known.minimum == (-np.inf if indefinite else 0.5)
    axes = np.linalg.eigh(hessian.astype(float))[1][:, np.argsort(np.abs(curvatures))[d - rank :]]
    if indefinite:
        assert np.isnan(known.minimizer).all()
    elif rank == d:
        assert np.array_equal(known.minimizer, minimizer)
    else:  # of several, the one of least norm
        least = axes @ (axes.T @ minimizer)
        assert near(known.minimizer, least, d * eps * np.linalg.norm(minimizer))
    assert near(np.trace(known.flat), d - rank, d * eps)
    assert near(hessian @ known.flat, 0 * hessian, d * eps * size)


symmetric = hnp.arrays(np.int8, (3, 3), elements=st.integers(-4, 4)).map(
    lambda a: np.float32(np.tril(a) + np.tril(a, -1).T)
)
low_rank = hnp.arrays(np.int8, (3, 2), elements=st.integers(-4, 4)).map(
    lambda a: np.float32(a.astype(int) @ a.T.astype(int))
)


@example(np.float32([[50, 15, 35], [15, 65, -17], [35, -17, 37]]))  # rank 2, noise of -3 d ulps
@example(np.float32([[50, 15, 0], [15, 65, 0], [0, 0, -1]]))
@given(symmetric | low_rank)
def test_quadratic_facts_are_those_of_the_eigenvalues(hessian):
    minimizer = np.float32([1, 2, 3])
    check_quadratic_facts(gd.facts(gd.quadratic(hessian, minimizer, 0.5)), hessian, minimizer)


@pytest.mark.parametrize("turn", [np.eye(5), np.linalg.qr(np.vander(np.arange(1.0, 6)))[0]])
def test_a_small_curvature_that_the_entries_carry_is_not_zero(turn):
    """Rounding the entries moves a curvature by d eps of |v|' |H| |v|, less than 4.5e-6 here."""
    hessian = ((turn * np.array([4.5e-6, 1, 2, 3, 4])) @ turn.T).astype(np.float32)
    known, least = gd.facts(gd.quadratic(hessian, np.ones(5, np.float32))), 4.5e-6
    # Half of an ulp in each entry, and no more, is between the two.
    size = np.linalg.norm(np.abs(hessian.astype(float)), 2) * np.finfo(np.float32).eps
    assert near(known.growth, least, size) and near(known.strong_convexity, least, size)
    assert known.growth > 0 and not known.flat.any()
    # What products in float32 left of a 0 is 0 still.
    X = np.vander(np.arange(1, 6), 3).astype(np.float32) @ turn[:3].astype(np.float32)
    known = gd.facts(gd.quadratic(X.T @ X, np.ones(5, np.float32)))
    assert known.strong_convexity == 0 and near(np.trace(known.flat), 2, 1e-5)


@given(X=arrays((7, 3)), labels=labels, theta=arrays((3,)), ridge=st.sampled_from([0.0, 0.25]))
def test_logistic_facts_bound_its_curvature_and_leave_the_minimizer_unknown(
    X, labels, theta, ridge
):
    known = gd.facts(gd.logistic(X, labels, ridge))
    L = np.linalg.norm(X.astype(float), 2) ** 2 / (4 * 7) + ridge
    assert near(known.smoothness, L, 3 * 14 * np.finfo(np.float32).eps * L)
    assert known.strong_convexity == known.growth == ridge
    assert known.minimizer is known.minimum is known.flat is None
    slopes = 1 / (2 + 2 * np.cosh(np.clip(X.astype(float) @ theta, -300, 300)))
    assert np.linalg.norm((X.T * slopes) @ X / 7, 2) + ridge <= L * (1 + 1e-12)


def test_facts_are_computed_only_when_somebody_asks():
    asked = []

    def known(data):
        asked.append(data)
        return gd.Facts(smoothness=2 * data)

    f = gd.Objective(lambda x, c: c * jnp.sum(x**2), jnp.float32(3), facts=known)
    gd.descend(f, jnp.ones(2), 0.1, steps=3)
    gd.minimize(f, jnp.ones(2), 0.1, max_steps=3)
    gd.reverse(f)(jnp.ones(2))
    assert not asked
    assert gd.facts(f).smoothness == 6 and len(asked) == 1


def test_facts_that_were_given_are_returned_and_others_are_unknown():
    given_facts = gd.Facts(smoothness=4.0)
    assert gd.facts(gd.Objective(lambda x, _: x, facts=given_facts)) is given_facts
    assert not jax.tree.leaves(gd.facts(lambda x: x))


# -- compilation -----------------------------------------------------------------------------------


def test_new_data_compile_nothing(compilations):
    first, second = np.float32([[1, 2], [3, 5]]), np.float32([[2, 1], [7, 4]])
    start, targets = np.ones(2, np.float32), np.float32([1, 2])
    fits = [gd.least_squares(X, targets) for X in (first, second)]
    before = gd.descend(fits[0], start, 0.01, steps=3)
    with compilations() as count:
        after = gd.descend(fits[1], start, 0.01, steps=3)
    assert count() == 0 and not np.array_equal(before.final.point, after.final.point)


def test_two_risks_of_one_loss_share_one_compilation(compilations):
    def loss(x, example):
        return jnp.sum((x - example) ** 2)

    risks = [gd.empirical_risk(loss, np.float32(e)) for e in ([[1, 2], [3, 4]], [[5, 6], [7, 8]])]
    start = np.zeros(2, np.float32)
    gd.descend(risks[0], start, 0.5, steps=1)
    with compilations() as count:
        assert gd.descend(risks[1], start, 0.5, steps=1).final.point.tolist() == [6, 7]
    assert count() == 0
