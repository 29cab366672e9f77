"""The loop at its edges: where a run ends, how it goes on, and that every argument is used."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gdpure as gd

BOWL, START = gd.landscapes.bowl, jnp.array([2.0, 1.0])
KEY = jax.random.key(0)
BOTH = pytest.mark.parametrize("record", [gd.loop.history, None], ids=["rows", "no rows"])


def _cliff(x):
    return jnp.where(x < 1, -x, jnp.nan)


@BOTH
def test_a_gradient_that_is_not_finite_ends_a_run_though_its_value_is(record):
    final = gd.descend(jnp.sqrt, 0.25, 0.25, steps=1, record=record).final
    assert final.status == gd.Status.DIVERGED and final.count == 0 and final.point == 0.25


@BOTH
def test_a_point_that_is_not_finite_ends_a_run_though_its_value_is(record):
    # exp(-x) falls to 0 at infinity, where value and gradient are 0.
    final = gd.descend(lambda x: jnp.exp(-x), -80.0, 1e5, steps=1, record=record).final
    assert final.status == gd.Status.DIVERGED and final.count == 0 and final.point == -80


def _gap(low, high):
    """Falls to the left with slope 1, has no value between two numbers."""
    return gd.Objective(
        lambda x, _: jnp.where((x > low) & (x < high), jnp.nan, x),
        gradient=lambda x, _: jnp.ones_like(x),
    )


def test_a_run_that_left_the_domain_does_not_come_back():
    run = gd.descend(_gap(1, 2), 2.5, 0.5, steps=5)
    assert run.history.point.tolist() == [2.5, 2, 2, 2, 2, 2]
    assert run.final.status == gd.Status.DIVERGED and run.final.count == 1


@BOTH
def test_a_start_outside_the_domain_is_the_end(record):
    final = gd.descend(_gap(1, 2), 1.5, 0.5, steps=3, record=record).final
    assert final.status == gd.Status.DIVERGED and final.count == 0 and final.point == 1.5


@BOTH
def test_a_diverged_run_keeps_the_memory_of_its_last_finite_state(record):
    rule = gd.HeavyBall(0.25, 0.5)
    final = gd.descend(_cliff, 0.0, rule, steps=9, record=record).final  # 0, 1/4, 5/8, 17/16
    assert final.count == 2 and final.point == 0.625 and final.memory.move == 0.375
    after = gd.advance(_cliff, final, rule)
    assert after.memory.move == 0.375 and after.count == 2


def test_differentiating_does_not_change_a_diverged_run():
    def end(start):
        final = gd.descend(_cliff, start, 0.3, steps=10, record=None).final
        return final.point, final

    (point, final), _ = jax.value_and_grad(end, has_aux=True)(0.0)
    assert np.isclose(point, 0.9) and final.count == 3 and final.status == gd.Status.DIVERGED


@BOTH
def test_a_resumed_schedule_that_diverges_counts_its_own_steps(record):
    state = gd.descend(_cliff, 0.0, 0.3, steps=2).final
    onward = jnp.array([0.25, 0.0, 0.5, 0.0])
    final = gd.descend(_cliff, state, onward, steps=4, record=record).final
    assert final.count == 4 and np.isclose(final.point, 0.85)


def test_a_run_without_rows_goes_on_as_one_with_rows():
    state = gd.descend(BOWL, START, 0.125, steps=3).final
    onward = gd.descend(BOWL, state, 0.125, steps=4, record=None).final
    assert onward.count == 7 and onward.status == gd.Status.RUNNING
    np.testing.assert_allclose(onward.point, START * 0.75**7)
    edge = gd.descend(_cliff, 0.0, 0.3, steps=2).final
    assert gd.descend(_cliff, edge, 0.3, steps=5, record=None).final.count == 3


def test_a_flat_nan_is_not_converged():
    assert gd.minimize(lambda x: 0 * x + jnp.nan, 1.0, 0.1).status == gd.Status.DIVERGED


def test_minimize_waits_for_every_leaf():
    start = {"a": jnp.zeros(2), "b": jnp.ones(2)}
    final = gd.minimize(lambda p: jnp.sum(p["a"] ** 2) + jnp.sum(p["b"] ** 2), start, 0.25)
    assert final.status == gd.Status.CONVERGED and abs(final.gradient["b"]).max() <= 1e-6


def test_a_resumed_minimize_has_all_its_steps_and_its_own_schedule():
    early = gd.minimize(BOWL, START, 0.125, max_steps=2)
    assert gd.minimize(BOWL, early, 0.125, max_steps=2).count == 4
    late = gd.minimize(BOWL, early, jnp.array([0.25, 0.0]), max_steps=2)
    np.testing.assert_array_equal(late.point, early.point / 2)


WRONG = gd.Objective(lambda x, e: jnp.mean((x - e) ** 2), jnp.zeros(4), lambda x, e: 0 * x, axes=0)


@pytest.mark.parametrize(
    "end",
    [
        lambda way: gd.advance(WRONG, gd.begin(WRONG, 1.0, 0.25, gradient=way), 0.25, gradient=way),
        lambda way: gd.descend(WRONG, 1.0, 0.25, steps=1, gradient=way).final,
        lambda way: gd.descend(WRONG, 1.0, 0.25, steps=1, gradient=way, record=None).final,
        lambda way: gd.minimize(WRONG, 1.0, 0.25, max_steps=1, gradient=way),
        lambda way: jax.tree.map(
            lambda x: x[0, 0],
            gd.sweep(WRONG, jnp.ones(1), jnp.full(1, 0.25), steps=1, gradient=way).final,
        ),
        lambda way: (
            gd.stochastic_descend(
                WRONG, 1.0, 0.25, batch_size=4, epochs=1, key=KEY, gradient=way
            ).final
        ),
    ],
    ids=["advance", "descend", "lean", "minimize", "sweep", "stochastic"],
)
def test_gradient_is_used_at_every_point(end):
    final = end(gd.reverse)
    assert final.point == 0.5 and final.gradient == 1


def test_a_sweep_records_what_is_asked_for():
    etas = jnp.array([0.25, 0.5])
    assert gd.sweep(BOWL, START[None], etas, steps=1, record=None).history is None
    runs = gd.sweep(BOWL, START[None], etas, steps=1, record=lambda s: s.value)
    assert runs.history.tolist() == [[[5, 1.25]], [[5, 0]]]


@pytest.mark.parametrize("status", gd.Status)
def test_a_status_says_what_to_do(status):
    words = {
        "RUNNING": "ran out",
        "CONVERGED": "tolerance",
        "DIVERGED": "not finite",
        "STALLED": "raise the tolerance, use float64, or take another rule",
    }
    assert words[status.name] in status.message
