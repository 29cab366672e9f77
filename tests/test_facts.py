"""Facts at any number of rows: against LAPACK in float64, in little memory, on many devices."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from oracles import check_least_squares_facts, near, solution
from strategies import problems

import gdpure as gd
from gdpure import spectra
from gdpure.specs import rounding

FLOAT32, BFLOAT16 = jnp.dtype(jnp.float32), jnp.dtype(jnp.bfloat16)
SIZES = [10, 10_000, 1_000_000]


def data(n, d, kappa, dtype, noise=1.0, seed=0):
    """X with singular values sqrt(n) times from 1 down to 1 / kappa, nearly, and y = X theta + r.

    |r| is `noise` times the root mean square of X theta.
    """
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    X = rng.normal(size=(n, d)) * np.geomspace(1, 1 / kappa, d) @ turn
    y = X @ rng.normal(size=d)
    y += noise * np.sqrt(np.mean(y**2)) * rng.normal(size=n)
    return X.astype(dtype), y.astype(dtype)


def check(X, y, rank=None):
    known = gd.facts(gd.least_squares(X, y))
    check_least_squares_facts(known, X, y, rank)
    return known


# -- against LAPACK --------------------------------------------------------------------------------


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("kappa", [1, 1e3, 1e5])
def test_facts_of_float32_are_those_of_float64(n, kappa):
    assert check(*data(n, 4, kappa, FLOAT32)).strong_convexity > 0


@given(problem=problems())
def test_facts_of_rows_again_and_again_are_those_of_the_rows(problem):
    """So many that they are condensed; whatever the rank is, of zeros and of equal rows, too."""
    check(np.tile(problem.X, (300, 1)), np.tile(problem.y, 300))


@pytest.mark.parametrize("n", [300, 100_000])
def test_nothing_but_zeros(n):
    y = np.ones(n, np.float32)
    known = check(np.zeros((n, 2), np.float32), y)
    assert known.smoothness == known.growth == 0 and known.minimum == 1
    assert check(np.stack([y, 0 * y], axis=1), 0 * y).minimum == 0


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("noise", [0, 1e-5])
def test_minimum_and_minimizer_where_nothing_or_little_is_left_over(n, noise):
    check(*data(n, 4, 100, FLOAT32, noise))


@pytest.mark.parametrize("n", SIZES[:2])
def test_facts_of_bfloat16_are_those_of_float64(n):
    X, y = data(n, 3, 10, BFLOAT16)
    assert check(X, y).strong_convexity > 0


@pytest.mark.parametrize("n", [10, 1000, 100_000])
@pytest.mark.parametrize("kappa", [10, 1e8, 1e11])
def test_facts_of_float64_are_as_good_as_those_of_a_decomposition(n, kappa):
    with jax.enable_x64(True):
        # Beyond kappa^2 eps nothing is known of the minimizer where much is left over.
        check(*data(n, 3, kappa, float, noise=1e-4 if kappa < 1e9 else 0), rank=3)


@pytest.mark.parametrize("n", SIZES)
def test_features_in_units_far_apart(n):
    """Other units are other units of the minimizer, and nothing else."""
    (X, y), units = data(n, 3, 10, FLOAT32), np.float32([2**-10, 1, 2**10])
    known, true = gd.facts(gd.least_squares(X * units, y)), solution(X, y, FLOAT32)
    assert known.strong_convexity > 0
    assert near(np.asarray(known.minimizer) * units, true.minimizer, true.minimizer_error)
    assert near(known.minimum, true.minimum, true.minimum_error)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_squares_that_leave_the_range_of_the_dtype(scale):
    with jax.enable_x64(True):
        X, y = data(1000, 3, 10, float)
        found, wanted = (gd.facts(gd.least_squares(X * s, y)) for s in (scale**6, 1.0))
        known = jax.jit(lambda X, y: gd.facts(gd.least_squares(X, y)))(X * scale, y)
    theta = np.asarray(wanted.minimizer)
    assert near(np.asarray(found.minimizer) * scale**6, theta, 1e-12)
    assert near(np.asarray(known.minimizer) * scale, theta, 1e-12)


@pytest.mark.parametrize("n", SIZES)
def test_the_smoothness_of_logistic_is_that_of_its_features(n):
    X, y = data(n, 3, 10, FLOAT32)
    L = np.linalg.norm(X.astype(float), 2) ** 2 / (4 * n)
    known = gd.facts(gd.logistic(X, y > 0, 0.5))
    assert near(known.smoothness, L + 0.5, 4 * rounding.unit_roundoff(FLOAT32) * (L + 0.5))


# -- rank ------------------------------------------------------------------------------------------


def test_an_intercept_beside_years_is_of_full_rank():
    rng, n = np.random.default_rng(0), 10_000
    years = rng.integers(1990, 2021, n).astype(np.float32)
    y = (3 * (years - 2005) + rng.normal(size=n)).astype(np.float32)
    known = check(np.asarray(gd.with_intercept(years)), y)
    assert known.growth > 0 and not known.flat.any()


@pytest.mark.parametrize(
    "n, d, kappa, dtype",
    [
        (70, 2, 1, BFLOAT16),
        (10_000, 8, 100, BFLOAT16),
        (1_000_000, 8, 100, BFLOAT16),
        (1_000_000, 8, 1e5, FLOAT32),
        (200_000, 32, 1e5, FLOAT32),
    ],
)
def test_random_features_are_of_full_rank(n, d, kappa, dtype):
    known = gd.facts(gd.least_squares(*data(n, d, kappa, dtype)))
    assert known.strong_convexity > 0 and known.growth == known.strong_convexity
    assert not known.flat.any()


DEPENDENT = {
    "twice": lambda a, b, c: (a, b, a),
    "sum": lambda a, b, c: (a, b, a + b),
    "mean in other units": lambda a, b, c: (a, 1024 * b, (a + b + c) / 3, c / 7),
    "differences": lambda a, b, c: (a - b, b - c, c - a),
    "zeros": lambda a, b, c: (a, 0 * a, b),
    "shares": lambda a, b, c: (a * 0 + 1, 1 / (1 + abs(a)), 1 - 1 / (1 + abs(a))),
}


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", [FLOAT32, BFLOAT16])
@pytest.mark.parametrize("name", DEPENDENT)
def test_dependent_columns_are_found_whatever_rounding_made_of_them(n, dtype, name):
    columns = np.random.default_rng(1).normal(size=(3, n)).astype(dtype)
    X = np.column_stack(DEPENDENT[name](*columns))
    known = gd.facts(gd.least_squares(X, columns[2]))
    d, u = X.shape[1], float(rounding.unit_roundoff(dtype))
    assert known.strong_convexity == 0 and known.growth > 0
    assert near(np.trace(np.asarray(known.flat, float)), 1, d * d * u)


def test_many_rows_of_dependent_columns_have_the_facts_of_the_pseudoinverse():
    X, y = data(1_000_000, 3, 10, FLOAT32)
    check(np.column_stack([X, X[:, 0]]), y, rank=3)


@pytest.mark.parametrize("dtype", [FLOAT32, BFLOAT16])
def test_a_quadratic_of_many_parameters_is_not_flat(dtype):
    """A curvature moves by what the roundoff of entries does to it, not by d times as much."""
    d, rng = 300, np.random.default_rng(0)
    A = rng.normal(size=(d, d))
    hessian = A @ A.T / d + (1e-4 if dtype == FLOAT32 else 2.0) * np.eye(d)
    hessian = jnp.asarray((hessian + hessian.T) / 2, dtype)
    minimizer = jnp.asarray(rng.normal(size=d), dtype)
    known, true = (
        gd.facts(gd.quadratic(hessian, minimizer)),
        np.linalg.eigvalsh(hessian.astype(float)),
    )
    u = float(rounding.unit_roundoff(dtype))
    assert np.array_equal(known.minimizer, minimizer)
    assert near(known.strong_convexity, true[0], 2 * u * true[0] + d * 2**-52 * true[-1])
    assert known.growth == known.strong_convexity


@pytest.mark.parametrize("d, rank", [(2, 1), (3, 2), (10, 5), (100, 50)])
def test_a_quadratic_of_products_in_float32_is_as_flat_as_they_were(d, rank):
    rng = np.random.default_rng(0)
    for rows in (d, 1000):
        X = (rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, d))).astype(np.float32)
        known = gd.facts(gd.quadratic(jnp.asarray(X.T @ X / np.float32(rows)), jnp.zeros(d)))
        assert known.strong_convexity == 0
        assert near(np.trace(np.asarray(known.flat, float)), d - rank, 1e-3)


# -- what is not a number --------------------------------------------------------------------------


def numbers(known):
    parts = known.smoothness, known.strong_convexity, known.growth, known.minimum, known.minimizer
    return np.concatenate([np.ravel(part) for part in parts])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("n", [3, 1000])
def test_facts_are_nan_where_decompositions_lose_it(n, bad, monkeypatch):
    """As on a GPU, where decompositions of matrices with NaN give numbers."""
    for name in ("svd", "eigh"):
        own = getattr(jnp.linalg, name)
        monkeypatch.setattr(
            jnp.linalg, name, lambda A, own=own, **how: own(jnp.nan_to_num(A, posinf=0), **how)
        )
    with jax.disable_jit():
        X, y = jnp.ones((n, 2)).at[1, 1].set(3), jnp.arange(1.0, n + 1)
        assert np.isfinite(numbers(gd.facts(gd.least_squares(X, y)))).all()
        assert np.isnan(numbers(gd.facts(gd.least_squares(X.at[0, 0].set(bad), y)))).all()
        assert np.isnan(numbers(gd.facts(gd.least_squares(X, y.at[2].set(bad))))).all()
        logistic = gd.logistic(X.at[0, 0].set(bad), (y > 1).astype(y.dtype))
        assert np.isnan(gd.facts(logistic).smoothness)
        hessian = jnp.diag(jnp.array([bad, 1]))
        assert np.isnan(numbers(gd.facts(gd.quadratic(hessian, jnp.zeros(2))))).all()


# -- memory, passes, devices -----------------------------------------------------------------------


MANY_ROWS = """
import resource
import numpy as np, gdpure as gd
rng = np.random.default_rng(0)
X = rng.normal(size=(1_000_000, 2)).astype(np.float32)
gd.facts(gd.least_squares(X[:1000], X[:1000, 0]))  # starts the threads
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, -1))
f = gd.least_squares(X, X[:, 0])
assert gd.facts(f).strong_convexity > 1.9 and gd.as_quadratic(f).data[0].shape == (2, 2)
assert gd.closed_form(f, np.zeros(2, np.float32), 0.1, 3).point.shape == (4, 2)
assert gd.facts(gd.logistic(X, X[:, 0] > 0)).smoothness > 0.2
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
def test_a_million_rows_fit_into_the_memory_of_a_few_copies():
    done = subprocess.run(
        [sys.executable, "-c", MANY_ROWS], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


USES = {
    "facts": lambda X, y: gd.facts(gd.least_squares(X, y)),
    "as_quadratic": lambda X, y: gd.as_quadratic(gd.least_squares(X, y)).data,
    "closed_form": lambda X, y: gd.closed_form(
        gd.least_squares(X, y), jnp.zeros(X.shape[1], X.dtype), jnp.asarray(0.1, X.dtype), 3
    ),
    "logistic": lambda X, y: gd.facts(gd.logistic(X, (y > 0).astype(X.dtype))),
}


@pytest.mark.parametrize("x64", [True, False])
@pytest.mark.parametrize("name", USES)
def test_sharded_rows_stay_where_they_are(name, x64):
    mesh = jax.make_mesh((4,), ("rows",), axis_types=(AxisType.Auto,))
    X, y = data(40_000, 4, 10, FLOAT32)
    with jax.enable_x64(x64):
        placed = jax.device_put((X, y), NamedSharding(mesh, P("rows")))
        compiled = jax.jit(USES[name]).lower(*placed).compile()
        there, here = compiled(*placed), jax.jit(USES[name])(X, y)
    text = compiled.as_text()
    for moved in ("all-gather", "all-to-all", "collective-permute"):
        assert moved not in text
    # Ten blocks of sqrt(n) rows in float64; those of one device alone are 160 kB in float32.
    assert compiled.memory_analysis().temp_size_in_bytes < 10 * 256 * 5 * 8
    for ours, theirs in zip(jax.tree.leaves(there), jax.tree.leaves(here), strict=True):
        u = rounding.unit_roundoff(FLOAT32)
        np.testing.assert_allclose(ours, theirs, rtol=200 * u, atol=200 * u)


def test_rows_are_read_once_and_again_where_columns_depend(monkeypatch):
    reads, own = [], spectra._gram
    monkeypatch.setattr(spectra, "_gram", lambda *rows: (reads.append(1), own(*rows))[1])
    X, y = data(1000, 2, 10, FLOAT32)
    with jax.disable_jit():
        gd.as_quadratic(gd.least_squares(X, y))
        assert len(reads) == 1
        gd.facts(gd.least_squares(np.column_stack([X, X[:, 0]]), y))
        assert len(reads) == 3


# -- transformations -------------------------------------------------------------------------------


def test_facts_inside_jit_are_as_good_as_float32():
    """There, sums of so many rows are off by more than data in float32 are."""
    X, y = data(10_000, 3, 1e3, FLOAT32)
    known = jax.jit(lambda X, y: gd.facts(gd.least_squares(X, y)))(X, y)
    check_least_squares_facts(known, X, y)
    known = jax.jit(lambda X, y: gd.facts(gd.least_squares(X, y)))(X[:, [0, 1, 0]], y)
    check_least_squares_facts(known, X[:, [0, 1, 0]], y, rank=2)


def test_facts_of_many_problems_at_once():
    X, y = data(3000, 2, 10, FLOAT32)
    X = np.stack([X[:1000], X[1000:2000] * np.float32([1, 0]), X[2000:][:, [0, 0]]])
    y = y.reshape(3, -1)
    known = jax.vmap(lambda X, y: gd.facts(gd.least_squares(X, y)))(X, y)
    for i, rank in enumerate((2, 1, 1)):
        each = jax.tree.map(lambda leaf, i=i: leaf[i], known)
        check_least_squares_facts(each, X[i], y[i], rank)


@pytest.mark.parametrize("n", [50, 1000])
def test_facts_have_the_derivatives_of_their_formulas(n):
    """With H = X'X, x* = H^-1 X'y and r = y - X x*: d L, d f* and d x* along a change of X."""
    with jax.enable_x64(True):
        X, y = data(n, 3, 10, float)
        change = np.random.default_rng(2).normal(size=X.shape)
        known, slope = jax.jvp(lambda X: gd.facts(gd.least_squares(X, y)), (X,), (change,))
        back = jax.grad(lambda X: gd.facts(gd.least_squares(X, y)).smoothness)(X)
    left, s, axes = np.linalg.svd(X, full_matrices=False)
    theta = np.linalg.lstsq(X, y, rcond=None)[0]
    r, H = y - X @ theta, X.T @ X
    near_by = 1e-9 * n
    assert near(slope.smoothness, 4 / n * s[0] * (left[:, 0] @ change @ axes[0]), near_by)
    assert near(slope.minimum, -2 / n * r @ change @ theta, near_by)
    moved = np.linalg.solve(H, change.T @ r - X.T @ (change @ theta))
    assert near(slope.minimizer, moved, near_by)
    assert near(back, 4 / n * s[0] * np.outer(left[:, 0], axes[0]), near_by)
