"""Stochastic descent: every example once an epoch, and otherwise gradient descent."""

from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import check_evaluation, check_run, exact, spectrum
from strategies import fractions, problems

import gdpure as gd
from gdpure.objectives import restrict
from gdpure.specs import rounding
from gdpure.stochastic import minibatches

FLOAT32 = np.dtype(np.float32)
KEY = jax.random.key(0)
SIZES = st.sampled_from([1, 3, 4, 12, 13])


def same(tree, other):
    """Two trees are equal to the last bit."""
    jax.tree.map(np.testing.assert_array_equal, tree, other)
    return jax.tree.structure(tree) == jax.tree.structure(other)


# -- mini-batches ----------------------------------------------------------------------------------


def check_partition(split, key, n, batch_size):
    """Full batches and a rest that is smaller hold every index once."""
    full, rest = split(key, n, batch_size)
    assert full.shape == (n // batch_size, batch_size) and rest.shape == (n % batch_size,)
    assert sorted([*np.ravel(full).tolist(), *rest.tolist()]) == list(range(n))


@given(n=SIZES, batch_size=SIZES, seed=st.integers(0, 2**32 - 1))
def test_an_epoch_is_a_partition_of_the_examples(n, batch_size, seed):
    check_partition(minibatches, jax.random.key(seed), n, min(n, batch_size))


def dropping(key, n, batch_size):
    full, rest = minibatches(key, n, batch_size)
    return full, rest[:0]


def with_replacement(key, n, batch_size):
    order = jax.random.randint(key, (n,), 0, n)
    cut = n - n % batch_size
    return order[:cut].reshape(-1, batch_size), order[cut:]


def padding(key, n, batch_size):
    full, rest = minibatches(key, n, batch_size)
    return jnp.concatenate([full, jnp.resize(rest, (1, batch_size))]), rest[:0]


def repeating(key, n, batch_size):
    full, rest = minibatches(key, n, batch_size)
    return full, jnp.full_like(rest, full[0, 0])


BUGS = [dropping, with_replacement, padding, repeating]


@pytest.mark.parametrize("bug", BUGS)
def test_the_check_of_partitions_sees_batches_that_are_none(bug):
    with pytest.raises(AssertionError):
        check_partition(bug, KEY, 7, 3)


def test_the_same_key_gives_the_same_order_and_another_key_another():
    def order(key):
        return np.concatenate([np.ravel(part) for part in minibatches(key, 12, 5)]).tolist()

    assert order(KEY) == order(jax.random.key(0)) != order(jax.random.key(1))


# -- one epoch counts everything once --------------------------------------------------------------


def own_coordinate(theta, example):
    return theta @ example


def fresh():
    """A loss of its own identity, so that a planted bug is traced and what it traced forgotten."""
    return lambda theta, example: theta @ example


def check_epoch(n, batch_size, loss=own_coordinate):
    """Example i pulls at coordinate i alone: the final point shows how often it was counted.

    The gradient of a mean over b examples is 1/b at each of their coordinates, so after an epoch
    theta_i is minus the sum of 1/b over the batches that held example i.
    """
    f = gd.empirical_risk(loss, jnp.eye(n))
    run = gd.stochastic_descend(f, jnp.zeros(n), 1.0, batch_size=batch_size, epochs=1, key=KEY)
    rest = n % batch_size
    wanted = [-1 / np.float32(batch_size)] * (n - rest) + [-1 / np.float32(rest or 1)] * rest
    assert sorted(run.final.point.tolist()) == sorted(np.float32(wanted).tolist())


@pytest.mark.parametrize("batch_size", [1, 4, 10, 11])
def test_every_example_is_counted_once_the_ragged_rest_too(batch_size):
    check_epoch(11, batch_size)


@pytest.mark.parametrize("bug", BUGS)
def test_the_check_of_epochs_sees_examples_that_are_dropped_or_counted_twice(monkeypatch, bug):
    monkeypatch.setattr(gd.stochastic, "minibatches", bug)
    with pytest.raises(AssertionError):
        check_epoch(11, 4, fresh())


def test_every_epoch_takes_another_order():
    # Steps to the example itself: the last point of an epoch is the last example it saw.
    f = gd.empirical_risk(lambda theta, x: (theta - x) ** 2 / 2, jnp.arange(50.0))
    run = gd.stochastic_descend(f, jnp.float32(0), 1.0, batch_size=1, epochs=8, key=KEY)
    assert len(set(run.history.point.tolist())) > 5


# -- the mean over mini-batches --------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5])
@given(problem=problems(shapes=((5, 2),)))
def test_the_mean_over_all_mini_batches_is_the_gradient_and_the_variance_is_the_law(
    batch_size, problem
):
    """E |g_S - g|^2 = (n - b) / (b (n - 1)) mean |g_i - g|^2, by enumeration."""
    X, y, theta = problem
    n, f = len(y), gd.least_squares(X, y)
    batches = np.array(list(combinations(range(n), batch_size)))
    found = exact(gradients_on(f, batches, theta))
    allowed = np.stack(
        [rounding.least_squares(X[b], y[b], theta, FLOAT32).gradient_error for b in batches]
    )
    rows = 2 * exact(X) * (exact(X) @ exact(theta) - exact(y))[:, None]
    mean = rows.mean(0)
    assert (np.abs(found.mean(0) - mean) <= allowed.mean(0) + 1e-15 * np.abs(rows).max(0)).all()
    # |a + e|^2 is off |a|^2 by at most 2 |a| |e| + |e|^2.
    off, spread = np.linalg.norm(allowed.astype(float), axis=1), ((found - mean) ** 2).sum(1)
    variance = (n - batch_size) / (batch_size * (n - 1)) * ((rows - mean) ** 2).sum(1).mean()
    spare = np.mean(2 * np.sqrt(spread.astype(float)) * off + off**2) + 1e-15 * variance
    assert abs(spread.mean() - variance) <= spare


@jax.jit
def gradients_on(f, batches, theta):
    return jax.vmap(lambda rows: gd.analytic(restrict(f, rows))(theta)[1])(batches)


# -- a run of epochs -------------------------------------------------------------------------------


@given(problem=problems(shapes=((7, 3), (3, 2))), h=fractions(), seed=st.integers(0, 100))
def test_with_all_examples_in_a_batch_it_is_gradient_descent(problem, h, seed):
    X, y, start = problem
    step_size = np.float32(h / spectrum(X)[0])
    run = gd.stochastic_descend(
        gd.least_squares(X, y),
        start,
        step_size,
        batch_size=len(y),
        epochs=6,
        key=jax.random.key(seed),
    )
    check_run(X, y, run.history.point, step_size, FLOAT32)


def test_the_check_of_runs_sees_batches_that_are_not_all_examples():
    rng = np.random.default_rng(0)
    X, y, start = (rng.normal(size=shape).astype(FLOAT32) for shape in [(7, 3), 7, 3])
    run = gd.stochastic_descend(gd.least_squares(X, y), start, 0.1, batch_size=6, epochs=6, key=KEY)
    with pytest.raises(AssertionError):
        check_run(X, y, run.history.point, np.float32(0.1), FLOAT32)


RNG = np.random.default_rng(0)
X = RNG.normal(size=(10, 3)).astype(FLOAT32)
Y = RNG.normal(size=10).astype(FLOAT32)
F = gd.least_squares(X, Y)
START = np.zeros(3, FLOAT32)


def epochs(n, start=START, rule=0.05, key=KEY, **options):
    options = {"batch_size": 4, **options}
    foreign = isinstance(rule, optax.GradientTransformation)  # mixes int32 counts with floats
    with jax.numpy_dtype_promotion("standard" if foreign else "strict"):
        return gd.stochastic_descend(F, start, rule, epochs=n, key=key, **options)


def test_the_same_key_gives_the_same_bits_and_another_key_another_run():
    assert same(epochs(3), epochs(3, key=jax.random.key(0)))
    assert not np.array_equal(epochs(3).final.point, epochs(3, key=jax.random.key(1)).final.point)


@pytest.mark.parametrize("rule", [0.05, gd.HeavyBall(0.05, 0.5), optax.adam(0.1)])
def test_three_epochs_and_four_more_are_seven(rule):
    whole = epochs(7, rule=rule)
    first = epochs(3, rule=rule)
    then = epochs(4, start=first.final, rule=rule)
    assert same(then.final, whole.final) and whole.final.count == 7
    for k, rows in ((0, first.history), (3, then.history)):
        n = len(rows.value)
        assert same(rows, jax.tree.map(lambda leaf, k=k, n=n: leaf[k : k + n], whole.history))


def test_no_epochs_are_the_start():
    run = epochs(0)
    assert run.history.point.tolist() == [START.tolist()] and run.final.count == 0


@pytest.mark.parametrize(
    "rule", [0.05, np.full(5, 0.05), optax.adam(0.1)], ids=["number", "array", "adam"]
)
def test_keeping_no_record_changes_nothing_else(rule):
    recorded, bare = epochs(5, rule=rule), epochs(5, rule=rule, record=None)
    assert bare.history is None
    if jax.default_backend() == "cpu":
        assert same(bare.final, recorded.final)
    else:  # two programs: a GPU may fuse them differently, 15 steps of numbers below 8
        for x, y in zip(*map(jax.tree.leaves, (bare.final, recorded.final)), strict=True):
            np.testing.assert_allclose(x, y, atol=15 * 8 * 2**-24)


def test_a_batch_is_no_larger_than_the_data():
    f = gd.least_squares(X[:3], Y[:3])
    runs = [
        gd.stochastic_descend(f, START, 0.1, epochs=2, key=KEY, **options)
        for options in ({}, {"batch_size": 3}, {"batch_size": 100})
    ]
    assert same(runs[0], runs[1]) and same(runs[1], runs[2])


def test_an_observed_run_of_epochs_counts_mini_batches_from_where_it_stands():
    seen = []
    rule = gd.observe(0.05, lambda count, value: seen.append(int(count)), every=4)
    early = epochs(3, rule=rule)  # of two full batches and a rest
    assert same(early, epochs(3))
    epochs(2, start=early.final, rule=rule)
    jax.effects_barrier()
    assert seen == [0, 4, 8, 12]


def test_rows_hold_the_value_and_gradient_of_all_examples():
    rows = epochs(5).history
    for point, value, gradient in zip(*rows, strict=True):
        check_evaluation((value, gradient), rounding.least_squares(X, Y, point, FLOAT32))


def test_an_array_holds_one_step_size_an_epoch():
    run = epochs(4, rule=np.array([0.1, 0.0, 0.1, 0.0], FLOAT32))
    moved = np.any(np.diff(run.history.point, axis=0) != 0, axis=1)
    assert moved.tolist() == [True, False, True, False]


@pytest.mark.parametrize("record", [None, lambda state: state.value])
def test_a_diverging_run_ends_at_its_last_finite_state(record):
    run = epochs(200, rule=10.0, record=record)
    assert run.final.status == gd.Status.DIVERGED and 0 < run.final.count < 200
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run.final[:3]))


def test_optax_rules_descend():
    run = epochs(50, rule=optax.adam(0.05), batch_size=3)
    least = np.linalg.lstsq(X.astype(float), Y.astype(float))[1][0] / 10
    assert run.final.status == gd.Status.RUNNING
    assert run.final.value - least < (run.history.value[0] - least) / 10


def test_new_data_keys_and_step_sizes_compile_nothing(compilations):
    def run(X, key, step_size):
        f = gd.least_squares(X, Y)
        gd.stochastic_descend(f, START, step_size, batch_size=4, epochs=2, key=key)

    other = jax.random.key(5)
    run(X, KEY, 0.1)
    with compilations() as count:
        run(X + 1, other, 0.05)
    assert count() == 0


@pytest.mark.parametrize("rule", [gd.Backtracking(), gd.ExactLineSearch()])
def test_rules_see_the_values_of_the_batch_alone(rule):
    examples = jnp.array([1.0, 2.0, 4.0, 8.0])
    f = gd.empirical_risk(lambda x, e: e * (x - e) ** 2, examples)
    run = gd.stochastic_descend(f, 0.0, rule, batch_size=1, epochs=1, key=KEY)
    full, _ = minibatches(jax.random.fold_in(KEY, 0), 4, 1)
    state = gd.begin(f, 0.0, rule)
    for rows in full:
        batch = restrict(f, rows)
        state = gd.advance(batch, gd.descend(batch, state, rule, steps=0).final, rule)
    np.testing.assert_allclose(run.final.point, state.point, rtol=1e-5)


def test_the_rest_of_an_epoch_is_a_step_with_its_memory():
    rule, f = gd.HeavyBall(0.05, 0.5), gd.empirical_risk(lambda x, e: (x - e) ** 2, jnp.arange(5.0))
    run = gd.stochastic_descend(f, 1.0, rule, batch_size=2, epochs=1, key=KEY)
    full, rest = minibatches(jax.random.fold_in(KEY, 0), 5, 2)
    state = gd.begin(f, 1.0, rule)
    for rows in (*full, rest):
        batch = restrict(f, rows)
        state = gd.advance(batch, gd.descend(batch, state, rule, steps=0).final, rule)
    np.testing.assert_allclose(run.final.point, state.point, rtol=1e-5)
    np.testing.assert_allclose(run.final.memory.move, state.memory.move, rtol=1e-4)


def test_no_step_is_taken_that_is_not_kept():
    seen, f = [], gd.empirical_risk(lambda x, e: (x - e) ** 2, jnp.arange(6.0))
    rule = gd.observe(0.1, lambda count, value: seen.append(int(count)), every=1)
    gd.stochastic_descend(f, 1.0, rule, batch_size=2, epochs=3, key=KEY)
    jax.effects_barrier()
    assert seen == list(range(9))
