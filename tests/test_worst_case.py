"""Worst cases: bounds are reached and not passed, what breaks a theorem passes it."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gdpure as gd
from gdpure.specs import THEOREMS, bounds, instances, rounding
from gdpure.specs.balls import norm
from gdpure.specs.optimizer import search
from gdpure.specs.optimizer.subjects import as_subject
from gdpure.specs.optimizer.worst_case import ASCENTS, in_words, worst_case
from gdpure.specs.theorem import Evidence, Theorem

U = rounding.unit_roundoff(jnp.float64)


def _gradient_rate(trace):
    """C3, compared by norms: ``|g_N|^2 <= 2 L F_0 max(A, (1 - h)^(2N))``."""
    k = jnp.arange(len(trace.x), dtype=jnp.float64)
    rate = bounds.value_rate(trace.L, trace.instance.strong_convexity, trace.eta, k)
    bound = (trace.gap[0] * 4.0 * rate).sqrt()
    # The rate is a power 2k of 1 - h or 1 - q h, and two operations.
    allowed = trace.L * trace.drift() + (2 * k + 4) * 4 * U * bound.middle
    return Evidence(norm(trace.g), bound, allowed, bound.middle > allowed)


def _exact_line_search(trace):
    """E1: ``F_N <= ((1 - q) / (1 + q))^(2N) F_0``."""
    k = jnp.arange(len(trace.x), dtype=jnp.float64)
    q = trace.instance.strong_convexity / trace.L
    bound = trace.gap[0] * ((1 - q) / (1 + q)) ** (2 * k)
    # A step that is off by e loses L |e|^2 / 2, as the line is searched; powers magnify 2k times.
    allowed = (2 * k + 4) * 4 * U * bound.middle + trace.gap.radius
    return Evidence(trace.gap, bound, allowed, bound.middle > allowed)


RATE = Theorem(
    "gradient-rate", "convergence", "|g[k]|^2 <= 2 L F[0] max(A, (1 - h)^(2k))", "", _gradient_rate
)
SEARCH = Theorem(
    "exact-line-search",
    "convergence",
    "F[k] <= ((1 - q) / (1 + q))^(2k) F[0]",
    "",
    _exact_line_search,
    assumes=("f quadratic", "f mu-strongly convex"),
)
EXACT = gd.ExactLineSearch()


@cache
def climbed(theorem, subject, h, q):
    """Half of the restarts of the default are enough."""
    return worst_case(theorem, subject, step_fraction=h, condition=q, restarts=128)


def too_short(point, gradient, step_size):
    """Steps of 0.999 of what is claimed: random instances do not see it."""
    return point - 0.999 * step_size * gradient(point)


@pytest.mark.parametrize(
    ("theorem", "subject", "h", "q"),
    [
        ("value-rate", gd.Constant, 1.0, 0.0),
        ("value-rate", gd.Constant, 0.5, 0.1),
        ("value-rate", gd.Constant, 1.9, 0.1),
        (RATE, gd.Constant, 1.0, 0.0),
        (RATE, gd.Constant, 0.5, 0.1),
        (SEARCH, EXACT, 1.0, 0.1),
        (SEARCH, EXACT, 1.0, 0.01),
    ],
)
def test_a_tight_bound_is_reached_and_not_passed(theorem, subject, h, q):
    found = climbed(theorem, subject, h, q)
    assert 1 - 1e-6 < found.ratio <= 1 + found.rounding
    assert not found.broken and "holds" in str(found)
    assert found.rounding < 1e-12
    assert found.random <= found.ratio + found.rounding


def test_the_extremal_function_is_found_from_random_starts():
    found = climbed("value-rate", gd.Constant, 1.0, 0.0)
    assert "R/21.00, 0 beyond" in in_words(found.instance)  # Drori and Teboulle: 1 / (2N + 1)
    assert found.random < 0.9999 and found.tried == 128 * ASCENTS
    assert "R/11.00, 0 beyond" in in_words(
        climbed(RATE, gd.Constant, 1.0, 0.0).instance
    )  # 1 / (N + 1)
    found = climbed(SEARCH, EXACT, 1.0, 0.1)
    assert "curvatures 0.1 L and L" in str(found)
    # De Klerk, Glineur and Taylor: from (1/mu, 1/L), in either order of the axes.
    gentle, steep = sorted(abs(found.instance.start), reverse=True)
    assert steep / gentle == pytest.approx(0.1, rel=1e-4)


def test_climbing_finds_a_counterexample_that_random_search_misses():
    found = climbed("value-rate", too_short, 1.0, 0.0)
    assert found.broken and "broken" in str(found)
    assert found.random < 1
    # The bound of the steps that were made over that of those that were claimed.
    assert found.ratio == pytest.approx(21 / 20.98, abs=1e-6)


def test_what_is_found_is_an_instance_whose_claims_are_true():
    found = climbed("value-rate", gd.Constant, 1.0, 0.1)
    made = found.instance
    assert all(isinstance(x, (np.ndarray, np.float64)) for x in jax.tree.leaves(made))
    assert {x.dtype for x in jax.tree.leaves(made)} == {np.dtype("float64")}
    with jax.enable_x64(True):
        gram = made.features.T.astype(np.longdouble) @ made.features / len(made.features)
        least, greatest = np.linalg.eigvalsh(gram.astype(np.float64))
        assert greatest <= made.smoothness == 1
        assert made.strong_convexity <= made.tail * least
        # Run again by NumPy: the ratio is that of the instance.
        x = made.start
        for _ in range(found.steps):
            x = x - made.step_size * instances.gradient(x, made.data)
        bound = bounds.value_rate(1.0, made.strong_convexity, 1.0, 10) * (made.start**2).sum()
        ratio = instances.value(x, made.data) / bound
    assert ratio == pytest.approx(found.ratio, abs=1e-12)


def test_new_numbers_are_not_compiled_and_a_seed_says_all(compilations):
    climbed("value-rate", gd.Constant, 1.0, 0.0)
    options = {"seed": 3, "step_fraction": 0.7, "condition": 0.2, "restarts": 128}
    with compilations() as count:
        first, second = (worst_case("value-rate", **options) for _ in range(2))
    assert count() == 0
    assert first.ratio == second.ratio and first.random == second.random
    assert (first.instance.features == second.instance.features).all()


BEYOND = {"step_fraction": 2, "restarts": 128}


def host(gradient, start, step_size, steps):
    """A NumPy program."""
    rows = [np.asarray(start)]
    for _ in range(steps):
        rows.append(rows[-1] - step_size * gradient(rows[-1]))
    return np.stack(rows)


@pytest.mark.parametrize(
    ("error", "words", "arguments", "options"),
    [
        (ValueError, "no theorem 'rate'; there are", ("rate",), {}),
        (TypeError, "must be a Theorem or a name, got", (3,), {}),
        (ValueError, "closed-form is no inequality", ("closed-form",), {}),
        (ValueError, "stops-flat is no inequality", ("stops-flat",), {}),
        (TypeError, "no derivative through .*host", ("value-rate", host), {}),
        (TypeError, "the subject must be a rule", ("value-rate", [0.1]), {}),
        (TypeError, "returns no iterates", ("value-rate", gd.reverse), {}),
        (ValueError, "the step size must be known", ("value-rate", lambda point: point), {}),
        (
            ValueError,
            "assumes eta < 2/L; got step_fraction=2",
            (),
            {"step_fraction": 2, "restarts": 128},
        ),
        (ValueError, "step_fraction must be finite and > 0", (), {"step_fraction": 0.0}),
        (ValueError, "step_fraction must be finite", (), {"step_fraction": np.nan}),
        (ValueError, "step_fraction must be one number", (), {"step_fraction": np.ones(2)}),
        (TypeError, "step_fraction must be a real number", (), {"step_fraction": 1j}),
        (ValueError, "condition must be in", (), {"condition": 1.5}),
        (TypeError, "condition must be a real number", (), {"condition": "0"}),
        (ValueError, "steps must be a whole number, at least 1", (), {"steps": 0}),
        (TypeError, "restarts must be a whole number", (), {"restarts": 2.5}),
        (ValueError, "seed must be a whole number", (), {"seed": -1}),
    ],
)
def test_what_it_is_not_for_is_refused(error, words, arguments, options):
    with pytest.raises(error, match=f"worst_case: .*{words}"):
        worst_case(*(arguments or ("value-rate",)), **options)


EXTREMAL = [(theorem, f) for theorem in THEOREMS for f in theorem.extremal]
[SHAPE] = (shape for shape in instances.SHAPES if shape[:2] == (1, 1))


@pytest.fixture(scope="module")
def extremal():
    functions = tuple(dict.fromkeys(f for _, f in EXTREMAL))
    with jax.enable_x64(True):
        made = search._make_extremal(
            np.int64(0), functions=functions, count=search.FEW, steps=SHAPE.steps
        )
    return dict(zip(functions, made, strict=True))


@pytest.mark.parametrize(
    ("theorem", "function"), EXTREMAL, ids=lambda x: getattr(x, "name", "") or x.__name__
)
def test_extremal_instances_attain_the_bound(theorem, function, extremal):
    subject, batch = as_subject(gd.Constant), extremal[function]
    with jax.enable_x64(True):
        short = search._cast(search._cast(batch, dtype=jnp.float32), dtype=jnp.float64)
    for dtype in (jnp.float32, jnp.float64):
        [found] = search.judge(subject, [theorem], short, SHAPE, dtype, attained=True)
        assert found.applies.all() and not found.violated.any()
    wrong = as_subject(too_short)
    assert search.judge(wrong, [theorem], batch, SHAPE, jnp.float64, attained=True)[
        0
    ].violated.any()
    runs = search.run(subject, batch, SHAPE, jnp.float64)
    with jax.enable_x64(True):
        traces = search._observe(batch, runs, search._model(jnp.float64))
        said = jax.jit(jax.vmap(theorem.evidence))(traces)
        measured, bound = said.measured.middle[:, -1], said.bound.middle[:, -1]
        assert (abs(measured - bound) <= 1e-9 * bound).all()
