"""Platforms and many devices: the same functions on sharded arrays, nothing of our own between."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import gdpure as gd

RANDOM = np.random.default_rng(0)
X = RANDOM.integers(-4, 5, (8, 3)).astype(np.float32)
Y = RANDOM.integers(-4, 5, 8).astype(np.float32)
START = jnp.zeros(3)
# Sums over shards are taken in another order: numbers below 100, a few hundred roundings of them.
ROUNDING = 100 * 300 * 2**-24


@pytest.fixture(scope="module")
def mesh():
    return jax.make_mesh((4,), ("rows",), axis_types=(AxisType.Auto,))


def _sharded(mesh, *arrays):
    return jax.device_put(arrays, NamedSharding(mesh, P("rows")))


def _runs(f, start):
    key = jax.random.key(0)
    yield gd.descend(f, start, 0.01, steps=20).history.value
    yield gd.descend(f, start, gd.Backtracking(), steps=20, record=None).final.value
    yield gd.minimize(f, start, 0.01, max_steps=20).value
    yield gd.stochastic_descend(f, start, 0.01, batch_size=3, epochs=2, key=key).final.value
    yield gd.per_sample(f)(start)[0]
    yield gd.facts(f).smoothness


def test_data_sharded_over_devices_give_the_same_runs(mesh):
    whole = _runs(gd.least_squares(X, Y), START)
    sharded = _runs(gd.least_squares(*_sharded(mesh, X, Y)), START)
    for ours, theirs in zip(whole, sharded, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=ROUNDING)


def test_starts_sharded_over_devices_stay_where_they_are(mesh):
    starts = np.tile(np.arange(3, dtype=np.float32), (8, 1))
    (placed,) = _sharded(mesh, starts)
    f, rules = gd.least_squares(X, Y), jnp.array([0.01, 0.02])
    runs, here = (gd.sweep(f, s, rules, steps=5).history.value for s in (placed, starts))
    assert len(runs.sharding.device_set) == 4
    np.testing.assert_allclose(runs, here, atol=ROUNDING)


def test_runs_go_through_shard_map(mesh):
    f = gd.least_squares(X, Y)

    def ends(starts):
        return jax.vmap(lambda start: gd.descend(f, start, 0.01, steps=5).final.value)(starts)

    starts = jnp.ones((8, 3))
    over_devices = jax.shard_map(ends, mesh=mesh, in_specs=P("rows"), out_specs=P("rows"))
    np.testing.assert_allclose(over_devices(starts), ends(starts), atol=ROUNDING)


def test_a_run_stays_on_the_device_of_its_start(device):
    run = gd.descend(gd.landscapes.bowl, jax.device_put(jnp.ones(2), device), 0.1, steps=3)
    assert {d for leaf in jax.tree.leaves(run) for d in leaf.devices()} == {device}
