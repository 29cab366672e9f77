"""Long runs: a standstill is seen, counts end where they end, records fit, and chunks go on."""

import io
import pickle
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rich.progress
from sklearn.datasets import load_diabetes

import gdpure as gd

BOWL, START = gd.landscapes.bowl, jnp.array([2.0, 1.0])
MOST = 2**31 - 1
UPHILL = gd.Objective(lambda x, _: jnp.sum(x**2), gradient=lambda x, _: -2 * x)


# -- a standstill ----------------------------------------------------------------------------------


def test_a_run_below_the_floor_of_its_dtype_ends_where_nothing_moves():
    X, y = load_diabetes(return_X_y=True, scaled=False)
    f = gd.least_squares(gd.with_intercept((X - X.mean(axis=0)) / X.std(axis=0)), y)
    rule = gd.Constant(1 / gd.facts(f).smoothness)
    state = gd.minimize(f, jnp.zeros(11), rule, tolerance=0.0, max_steps=3_000_000)
    assert state.status == gd.Status.STALLED and state.count < 100_000
    # Another program adds up the same squares in another order: each sum is off by n u at most.
    onward = gd.descend(f, state, rule, steps=100, record=None).final
    assert abs(onward.value - state.value) <= 2 * len(y) * 2.0**-24 * state.value


STILL = {
    "a step of 0": (BOWL, gd.Constant(0.0)),
    "momentum": (lambda x: jnp.sum(x) * 1e-20, gd.HeavyBall(1.0, 0.5)),
    "a step below the spacing": (lambda x: jnp.sum(x) * 1e-20, 1.0),
    "a line search without descent": (UPHILL, gd.Backtracking()),
}


@pytest.mark.parametrize("name", STILL)
def test_what_cannot_move_is_stalled_however_it_is_run(name):
    f, rule = STILL[name]
    state = gd.minimize(f, START, rule, tolerance=0.0, max_steps=10**6)
    assert state.status == gd.Status.STALLED and state.count <= 200
    for record in (None, gd.descent.history):
        final = gd.descend(f, START, rule, steps=200, record=record).final
        assert final.status == gd.Status.STALLED and final.count == 200
    assert gd.advance(f, final, rule).status == gd.Status.STALLED
    observed = gd.observe(rule, _silent, every=50)
    assert gd.minimize(f, START, observed, tolerance=0.0, max_steps=10**6).count == state.count
    goes_on = gd.descend(BOWL, final.point, 0.25, steps=1).final
    assert goes_on.status == gd.Status.RUNNING


def _silent(count, value):
    pass


MOVING = {
    "a run on its way": (BOWL, 0.1),
    "a step of a schedule that is 0": (BOWL, jnp.zeros(3)),
    "a memory that counts": (BOWL, optax.chain(optax.scale(0.0), optax.scale_by_schedule(abs))),
    "a run that has arrived": (lambda x: jnp.sum(x**2) * 0, 0.5),
}


@pytest.mark.parametrize("name", MOVING)
def test_what_may_still_move_or_need_not_is_not_stalled(name):
    f, rule = MOVING[name]
    for record in (None, gd.descent.history):
        run = gd.descend(f, START, rule, steps=3, record=record)
        assert run.final.status == gd.Status.RUNNING
    state = gd.minimize(f, START, rule, tolerance=0.0, max_steps=3)
    assert state.status in (gd.Status.RUNNING, gd.Status.CONVERGED)


def test_the_sign_of_a_zero_and_the_bits_of_a_nan_decide_what_is_the_same():
    assert not (gd.loop._bits(jnp.array(0.0)) == gd.loop._bits(jnp.array(-0.0)))
    nan = jnp.array(jnp.nan, jnp.bfloat16)
    assert gd.loop._bits(nan) == gd.loop._bits(nan + 1)


def test_epochs_are_not_stalled_and_lanes_are_one_by_one():
    f = gd.least_squares(jnp.ones((3, 1)), jnp.ones(3))
    run = gd.stochastic_descend(f, jnp.zeros(1), 0.0, epochs=2, key=jax.random.key(0))
    assert run.final.status == gd.Status.RUNNING
    ends = jax.vmap(lambda h: gd.minimize(BOWL, START, h, max_steps=5))(jnp.array([0.0, 0.1]))
    assert ends.status.tolist() == [gd.Status.STALLED, gd.Status.RUNNING]


def test_a_state_shows_its_status_by_name():
    stalled = gd.minimize(BOWL, START, 0.0)
    assert repr(stalled).endswith("status=STALLED)") and "point=Array([2., 1.]" in repr(stalled)
    assert "status=RUNNING)" in repr(gd.descend(BOWL, START, 0.1, steps=1))
    many = gd.sweep(BOWL, START[None], jnp.array([0.1, 0.2, 1e38]), steps=9, record=None)
    assert "status=2 RUNNING, 1 DIVERGED)" in repr(many)
    abstract = jax.eval_shape(lambda: stalled)
    assert "status=ShapeDtypeStruct" in repr(abstract)


# -- counts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [0, 4])
def test_counts_end_at_the_largest_and_every_step_is_made(left):
    begun = gd.begin(BOWL, START, 0.25)
    late = begun._replace(count=jnp.int32(MOST - left))
    wanted = gd.descend(BOWL, START, 0.25, steps=9).final.point
    for record in (None, gd.descent.history):
        final = gd.descend(BOWL, late, 0.25, steps=9, record=record).final
        assert final.point.tolist() == wanted.tolist() and final.count == MOST
    final = gd.minimize(BOWL, late, jnp.full(9, 0.25), tolerance=0.0, max_steps=9)
    assert final.point.tolist() == wanted.tolist() and final.count == MOST
    assert gd.advance(BOWL, late, 0.25).count == min(MOST, MOST - left + 1)


KEY = jax.random.key(0)
TOO_MANY = {
    "descend": lambda n: gd.descend(BOWL, START, 0.1, steps=n),
    "sweep": lambda n: gd.sweep(BOWL, START[None], jnp.array([0.1]), steps=n),
    "minimize": lambda n: gd.minimize(BOWL, START, 0.1, max_steps=n),
    "stochastic_descend": lambda n: gd.stochastic_descend(
        gd.least_squares(jnp.ones((3, 1)), jnp.ones(3)), jnp.zeros(1), 0.1, epochs=n, key=KEY
    ),
}


@pytest.mark.parametrize("name", TOO_MANY)
def test_more_steps_than_can_be_counted_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}: .* must be at most {MOST}, got {2**31}"):
        TOO_MANY[name](2**31)


# -- records ---------------------------------------------------------------------------------------


def _sum(x):
    return jnp.sum(x)


@pytest.fixture
def small_machine(monkeypatch):
    monkeypatch.setattr(gd.loop, "_free", lambda devices: 5 * 10**8)


LARGE = jax.ShapeDtypeStruct((10**6,), jnp.float32)


@pytest.mark.usefixtures("small_machine")
def test_a_record_that_cannot_fit_is_refused_with_its_size_and_what_fits_is_not():
    start = jnp.ones(LARGE.shape)
    with pytest.raises(ValueError, match=r"descend: the record .* 0.8 GB where 0.5 GB .* record="):
        gd.descend(_sum, start, 0.1, steps=100)
    with pytest.raises(ValueError, match=r"sweep: the record .* 0.9 GB where 0.5 GB"):
        gd.sweep(_sum, start[None], jnp.linspace(0.1, 0.2, 10), steps=10)
    assert gd.descend(_sum, start, 0.1, steps=100, record=lambda s: s.value).final.count == 100


@pytest.mark.usefixtures("small_machine")
def test_a_large_record_of_few_parameters_is_refused_too():
    f = gd.quadratic(jnp.eye(300), jnp.zeros(300))
    with pytest.raises(ValueError, match=r"must fit into memory, it would take 3.6 GB where 0.5"):
        gd.descend(f, jnp.ones(300), 0.1, steps=10_000, record=lambda s: jax.hessian(f)(s.point))


def test_a_record_is_not_refused_where_nobody_knows_what_becomes_of_it():
    def end(start):
        return gd.descend(_sum, start, 0.1, steps=100).final.value

    assert jax.eval_shape(jax.jit(end), LARGE).shape == ()
    assert jax.eval_shape(jax.jit(lambda: end(jnp.ones(LARGE.shape)))).shape == ()


def test_the_memory_that_is_free_is_known_or_not_asked_for():
    free = gd.loop._free(jax.devices())
    assert free is None or free > 0


# -- chunks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [gd.HeavyBall(1e-3, 0.9), optax.adam(1e-2)], ids=["ours", "adam"])
def test_a_state_that_was_saved_goes_on_as_if_it_had_not_been(rule):
    f = gd.landscapes.rosenbrock
    with jax.numpy_dtype_promotion("standard"):
        whole = gd.descend(f, START, rule, steps=30, record=None).final
        state = gd.descend(f, START, rule, steps=10, record=None).final
        leaves, tree = jax.tree.flatten(state)
        file = io.BytesIO()
        np.savez(file, *leaves)
        file.seek(0)
        loaded = jax.tree.unflatten(tree, np.load(file).values())
        for kept in (pickle.loads(pickle.dumps(state)), loaded):
            final = gd.descend(f, kept, rule, steps=20, record=None).final
            jax.tree.map(np.testing.assert_array_equal, final, whole)


def test_the_long_run_of_the_page_can_be_stopped_between_chunks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    readme = (Path(__file__).parents[1] / "gdpure" / "README.md").read_text()
    [code] = [c for c in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "pickle" in c]

    def interrupted(chunks, *args, **kwargs):
        yield from list(chunks)[:3]
        raise KeyboardInterrupt

    monkeypatch.setattr(rich.progress, "track", interrupted)
    names = {}
    exec(compile(code, "a block", "exec"), names)
    assert names["state"].count == 3000 and names["again"].count == 4000
