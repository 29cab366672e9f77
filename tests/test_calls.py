"""What was checked once for a form is not checked again, and nothing is lost or stale by it."""

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gdpure as gd
from gdpure import calls, gradients, guards

X = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]], np.float32)
Y = np.array([1.0, 2.0, 0.0], np.float32)
F = gd.least_squares(X, Y)
KEY = jax.random.key(0)
# Calls, as functions of a start of shape (2,) and of a step size.
CALLS = {
    "reverse": lambda x, eta: gd.reverse(F)(x),
    "per_sample": lambda x, eta: gd.per_sample(F)(x),
    "begin": lambda x, eta: gd.begin(F, x, eta),
    "advance": lambda x, eta: gd.advance(F, gd.begin(F, x, 0.5), eta),
    "descend": lambda x, eta: gd.descend(F, x, eta, steps=2),
    "without rows": lambda x, eta: gd.descend(F, x, eta, steps=2, record=None),
    "values": lambda x, eta: gd.descend(F, x, eta, steps=2, record=lambda s: s.value),
    "resumed": lambda x, eta: gd.descend(F, gd.begin(F, x, 0.5), eta, steps=2),
    "heavy ball": lambda x, eta: gd.descend(F, x, gd.HeavyBall(eta, 0.5), steps=2),
    "observed": lambda x, eta: gd.descend(F, x, gd.observe(eta, print, 9), steps=2),
    "schedule": lambda x, eta: gd.descend(F, x, np.array([eta, 0.5]), steps=2),
    "minimize": lambda x, eta: gd.minimize(F, x, eta, tolerance=0.1, max_steps=2),
    "sweep": lambda x, eta: gd.sweep(F, x[None], np.array([eta, 0.5]), steps=2),
    "stochastic_descend": lambda x, eta: gd.stochastic_descend(
        F, x, eta, batch_size=2, epochs=1, key=KEY
    ),
}
calls_of_all = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
NUMBERS = [name for name in CALLS if name not in ("reverse", "per_sample")]


@pytest.fixture(autouse=True)
def forgotten():
    calls._known.clear()


def same(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in pairs)


@calls_of_all
def test_a_call_of_a_form_is_prepared_once_and_is_the_same(call, monkeypatch, compilations):
    call(jnp.zeros(2), 0.125)
    x, eta = jnp.array([1.0, -2.0]), 0.25
    with monkeypatch.context() as patch, compilations() as compiled:
        for name in ("parameters", "same_devices"):
            patch.setattr(guards, name, None)  # whatever is prepared asks one of them
        again = call(x, eta)
    assert compiled() == 0
    calls._known.clear()
    assert same(again, call(x, eta))


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("eta", [-0.25, np.inf, np.nan, np.float32(-1), 1e39], ids=str)
def test_numbers_are_judged_at_each_call(name, eta):
    call, x = CALLS[name], jnp.zeros(2)
    with pytest.raises(ValueError, match="must be finite and >= 0") as before:
        call(x, eta)
    call(x, 0.25)
    with pytest.raises(ValueError, match="must be finite and >= 0") as after:
        call(x, eta)
    assert str(before.value) == str(after.value)


REFUSED = {
    "a count that is a flag": lambda: gd.descend(F, jnp.zeros(2), 0.1, steps=True),
    "a count that is a float": lambda: gd.descend(F, jnp.zeros(2), 0.1, steps=1.0),
    "a step size that is a flag": lambda: gd.descend(F, jnp.zeros(2), True, steps=1),
    "a start of integers": lambda: gd.descend(F, jnp.zeros(2, int), 0.1, steps=1),
    "a start of another shape": lambda: gd.descend(F, jnp.zeros(3), 0.1, steps=1),
    "a run": lambda: gd.descend(F, gd.descend(F, jnp.zeros(2), 0.1, steps=1), 0.1, steps=1),
    "a tolerance": lambda: gd.minimize(F, jnp.zeros(2), 0.1, tolerance=-0.1),
    "a number that is rounded to 1": lambda: gd.begin(
        F, jnp.zeros(2), gd.Backtracking(shrink=1 - 1e-9)
    ),
}


@pytest.mark.parametrize("attempt", REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_refused_after_its_like_was_taken(attempt):
    with pytest.raises((TypeError, ValueError)) as before:
        attempt()
    gd.descend(F, jnp.zeros(2), 0.1, steps=1)
    gd.descend(F, jnp.zeros(2), 1, steps=1)
    gd.minimize(F, jnp.zeros(2), 0.1, tolerance=0.1)
    gd.begin(F, jnp.zeros(2), gd.Backtracking(shrink=0.5))
    with pytest.raises(before.type) as after:
        attempt()
    assert str(after.value) == str(before.value)


@pytest.mark.parametrize("name", ["reverse", "per_sample", "descend", "minimize", "sweep"])
def test_arrays_on_other_devices_are_refused_after_their_like_was_taken(name, monkeypatch):
    here, there = jax.devices("cpu")[:2]
    monkeypatch.setitem(globals(), "F", gd.least_squares(*jax.device_put((X, Y), there)))
    CALLS[name](jax.device_put(jnp.zeros(2), there), 0.25)
    with jax.default_device(here):
        CALLS[name](jnp.zeros(2), 0.25)  # not put there on purpose
        assert len(calls._known) == 2
        with pytest.raises(ValueError, match=f"{name}: all arrays must be on the same devices"):
            CALLS[name](jax.device_put(jnp.zeros(2), here), 0.25)


def test_data_that_are_put_into_an_objective_are_seen():
    f = gd.Objective(lambda x, data: jnp.sum((x - data["y"]) ** 2), {"y": np.zeros(2, np.float32)})

    def step():
        return gd.descend(f, jnp.zeros(2), 0.5, steps=1).final.point.tolist()

    assert step() == [0, 0]
    f.data["y"][:] = 1
    assert step() == [1, 1]
    f.data["y"] = jnp.array([2.0, 2.0])
    assert step() == [2, 2]
    f.data["y"] = jnp.array([3.0, 3.0])
    assert step() == [3, 3] and len(calls._known) == 2


def test_what_a_name_comes_to_mean_is_seen():
    cell = {"jnp": jnp}
    exec("def value(x, _): return jnp.sum(abs(x))\ndef record(s): return abs(s.point)", cell)
    f = gd.Objective(cell["value"])

    def values():
        run = gd.descend(f, jnp.array([-1.0, -1.0]), 0.5, steps=0, record=cell["record"])
        return [run.final.value.tolist(), run.history.tolist()]

    assert values() == values() == [2, [[1, 1]]] and calls._known
    cell["abs"] = lambda x: 3 * x
    assert values() == [-6, [[-3, -3]]]


@pytest.mark.parametrize("shared", [jnp.zeros(2), np.zeros(2, np.float32)], ids=["jax", "numpy"])
def test_one_array_in_two_places_is_two(shared):
    f = gd.Objective(lambda x, c: jnp.sum((x - c) ** 2), shared)
    for start in (shared, shared + 1, shared):
        run = gd.descend(f, start, 0.25, steps=1, record=None)
        assert run.final.point.tolist() == (start / 2).tolist()


def test_a_step_size_that_is_the_tolerance_is_both():
    for eta, tolerance in ((0.25, 0.25), (0.125, 0.25), (0.25, 0.25), (0.25, 100.0)):
        found = gd.minimize(F, jnp.zeros(2), eta, tolerance=tolerance, max_steps=3)
        calls._known.clear()
        assert same(found, gd.minimize(F, jnp.zeros(2), eta, tolerance=tolerance, max_steps=3))


def test_step_sizes_are_those_of_the_precision_of_the_call():
    f = gd.Objective(lambda x, _: jnp.sum(x))
    for x64 in (False, True, False):
        with jax.enable_x64(x64):
            point = gd.descend(f, np.zeros(2), 0.1, steps=1, record=None).final.point
            assert point.tolist() == [-np.asarray(0.1, point.dtype)] * 2


def test_a_call_keeps_no_array_and_not_more_than_so_many_forms():
    data = jnp.ones((300, 2))
    f = gd.Objective(lambda x, data: jnp.sum((data @ x) ** 2), data)
    kept = [weakref.ref(data), weakref.ref(f)]
    jax.block_until_ready(gd.descend(f, jnp.zeros(2), 0.1, steps=1))
    assert calls._known
    del f, data
    gc.collect()
    assert not any(ref() is not None for ref in kept)
    for n in range(1, 5):
        calls._known |= {k: () for k in range(calls._MOST - n)}
        gradients.default(F)(jnp.zeros(2))
        assert len(calls._known) <= calls._MOST


def test_the_memory_for_a_large_record_is_asked_for_at_each_call(monkeypatch):
    monkeypatch.setattr(calls, "LARGE", 1)
    CALLS["descend"](jnp.zeros(2), 0.1)
    assert not calls._known
