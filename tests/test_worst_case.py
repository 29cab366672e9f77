"""Worst cases: bounds are reached and not passed, what breaks a theorem passes it."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gdpure as gd
from gdpure.specs import bounds, instances
from gdpure.specs.optimizer.worst_case import ASCENTS, in_words, worst_case
from gdpure.specs.theorem import Theorem

EXACT = gd.ExactLineSearch()
RESTARTS = 16


@cache
def climbed(theorem, subject, h, q):
    """A quarter of the restarts of the default is enough."""
    return worst_case(theorem, subject, step_fraction=h, condition=q, restarts=RESTARTS)


def too_short(point, gradient, step_size):
    """Steps of 0.999 of what is claimed: random instances do not see it."""
    return point - 0.999 * step_size * gradient(point)


@pytest.mark.parametrize(
    ("theorem", "subject", "h", "q"),
    [
        ("value-rate", gd.Constant, 1.0, 0.0),
        ("value-rate", gd.Constant, 0.5, 0.1),
        ("value-rate", gd.Constant, 1.9, 0.1),
        ("gradient-rate", gd.Constant, 0.75, 0.0),
        ("gradient-rate", gd.Constant, 0.5, 0.1),
        ("gradient-rate", gd.Constant, 1.25, 0.1),
        ("line-search-rate", EXACT, 1.0, 0.1),
        ("line-search-rate", EXACT, 1.0, 0.01),
    ],
)
def test_a_tight_bound_is_reached_and_not_passed(theorem, subject, h, q):
    found = climbed(theorem, subject, h, q)
    assert 1 - 1e-6 < found.ratio <= 1 + found.rounding
    assert not found.broken and "holds" in str(found)
    assert found.rounding < 1e-12
    assert found.random <= found.ratio


def test_the_extremal_function_is_found_from_random_starts():
    found = climbed("value-rate", gd.Constant, 1.0, 0.0)
    assert "R/21.00, 0 beyond" in in_words(found.instance)  # Drori and Teboulle: 1 / (2N + 1)
    assert found.random < 0.9999 and found.tried == RESTARTS * ASCENTS
    found = climbed("gradient-rate", gd.Constant, 0.75, 0.0)
    assert "R/8.50, 0 beyond" in in_words(found.instance)  # 1 / (N h + 1)
    found = climbed("line-search-rate", EXACT, 1.0, 0.1)
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
    options = {"seed": 3, "step_fraction": 0.7, "condition": 0.2, "restarts": RESTARTS}
    with compilations() as count:
        first, second = (worst_case("value-rate", **options) for _ in range(2))
    assert count() == 0
    assert first.ratio == second.ratio and first.random == second.random
    assert (first.instance.features == second.instance.features).all()


BEYOND = {"step_fraction": 2, "restarts": RESTARTS}


def host(gradient, start, step_size, steps):
    """A NumPy program."""
    rows = [np.asarray(start)]
    for _ in range(steps):
        rows.append(rows[-1] - step_size * gradient(rows[-1]))
    return np.stack(rows)


def lost(point):
    """Not a number."""
    return point * jnp.nan


# Of one's own; without step sizes it asks for nothing.
RISE = Theorem(
    "rise",
    "monotone descent",
    "f(x[k]) <= f(x[0])",
    "",
    lambda trace: (trace.rows.f - trace.minimum, trace.rows.f[:1] - trace.minimum),
)


@pytest.mark.parametrize(
    ("error", "words", "arguments", "options"),
    [
        (ValueError, "no theorem 'rate' for .*Constant; there are", ("rate",), {}),
        (ValueError, "no theorem 'line-search-rate' for", ("line-search-rate",), {}),
        (ValueError, "orthogonal-gradients is no ineq", ("orthogonal-gradients", EXACT), {}),
        (TypeError, "must be a Theorem or a name, got", (3,), {}),
        (ValueError, "closed-form is no inequality", ("closed-form",), {}),
        (ValueError, "stops-flat is no inequality", ("stops-flat",), {}),
        (TypeError, "no derivative through .*host", ("value-rate", host), {}),
        (TypeError, "the subject must be a rule", ("value-rate", [0.1]), {}),
        (TypeError, "returns no iterates", ("value-rate", gd.reverse), {}),
        (ValueError, "the step size must be known", ("value-rate", lambda point: point), {}),
        (ValueError, "lost returns no finite numbers", (RISE, lost), {"restarts": 1}),
        (
            ValueError,
            "assumes eta < 2/L; got step_fraction=2",
            (),
            {"step_fraction": 2, "restarts": RESTARTS},
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
