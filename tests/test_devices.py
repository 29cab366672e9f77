"""Platforms and many devices: the same functions on sharded arrays, nothing of our own between."""

import functools

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
START = np.zeros(3, np.float32)
# Sums over shards are taken in another order: numbers below 100, a few hundred roundings of them.
ROUNDING = 100 * 300 * 2**-24


@pytest.fixture(params=[AxisType.Auto, AxisType.Explicit], ids=lambda kind: kind.name)
def mesh(request):
    """Four processors, also where they are not what JAX computes on by default."""
    found = jax.devices("cpu")
    made = jax.make_mesh((4,), ("rows",), axis_types=(request.param,), devices=found[:4])
    with jax.default_device(found[0]), jax.set_mesh(made):
        yield made


def _sharded(mesh, *arrays):
    return jax.device_put(arrays, NamedSharding(mesh, P("rows")))


MAKERS = {
    "least_squares": gd.least_squares,
    "logistic": lambda X, y: gd.logistic(X, y > 0, 0.5),
    "risk": lambda X, y: gd.empirical_risk(lambda theta, e: (e[0] @ theta - e[1]) ** 2, (X, y)),
}
RUNS = {
    "rows": lambda f: gd.descend(f, START, 0.01, steps=9).history.value,
    "lean": lambda f: gd.descend(f, START, gd.Backtracking(), steps=9, record=None).final.value,
    "minimize": lambda f: gd.minimize(f, START, 0.01, max_steps=9).value,
    "stochastic": lambda f: (
        gd.stochastic_descend(
            f, START, 0.01, batch_size=3, epochs=2, key=jax.random.key(0)
        ).final.value
    ),
    "per_sample": lambda f: gd.per_sample(f)(START)[1],
    "in chunks": lambda f: gd.per_sample(f, chunk_size=4)(START)[1],
    "facts": lambda f: gd.facts(f).smoothness,
}
CASES = [("least_squares", run) for run in RUNS]
CASES += [("logistic", "rows"), ("logistic", "facts"), ("risk", "rows"), ("risk", "in chunks")]


@pytest.fixture(scope="module")
def whole():
    """What comes out on one device, where no mesh is set."""

    @functools.cache
    def run(make, name):
        with jax.default_device(jax.devices("cpu")[0]):
            return np.asarray(RUNS[name](MAKERS[make](X, Y)))

    for case in CASES:
        run(*case)
    return run


@pytest.mark.parametrize(("make", "run"), CASES)
def test_data_sharded_over_devices_give_the_same_runs(whole, mesh, make, run):
    found = RUNS[run](MAKERS[make](*_sharded(mesh, X, Y)))
    np.testing.assert_allclose(found, whole(make, run), atol=ROUNDING)


@pytest.mark.parametrize(
    "what",
    [
        lambda f: gd.per_sample(f)(START),
        lambda f: gd.descend(f, START, 0.01, steps=2).final.value,
        gd.facts,
    ],
    ids=["per_sample", "descend", "facts"],
)
def test_sharded_rows_stay_where_they_are(mesh, what):
    data = _sharded(mesh, np.tile(X, (512, 1)), np.tile(Y, 512))  # more rows than facts copy
    compiled = jax.jit(lambda *data: what(gd.least_squares(*data))).lower(*data).compile()
    assert "all-gather" not in compiled.as_text()


@pytest.mark.parametrize("make", ["least_squares", "risk"])  # untraced, and traced
def test_the_rows_of_a_per_sample_gradient_are_on_the_devices_of_the_examples(mesh, make):
    _, gradients = gd.per_sample(MAKERS[make](*_sharded(mesh, X, Y)))(START)
    assert {part.data.shape for part in gradients.addressable_shards} == {(2, 3)}


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("labels", ["everywhere", "nowhere"])
def test_labels_may_lie_elsewhere_than_the_rows_they_belong_to(mesh, make, labels):
    (rows,) = _sharded(mesh, X)
    f = MAKERS[make](rows, jax.device_put(Y, NamedSharding(mesh, P())) if labels[0] == "e" else Y)
    with jax.default_device(jax.devices("cpu")[0]):
        whole = MAKERS[make](X, Y)
        wanted = gd.per_sample(whole)(START)
    for chunk_size in (None, 2):
        found = gd.per_sample(f, chunk_size=chunk_size)(START)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=ROUNDING), found, wanted)


def test_starts_sharded_over_devices_stay_where_they_are(mesh):
    starts = np.tile(np.arange(3, dtype=np.float32), (8, 1))
    (placed,) = _sharded(mesh, starts)
    f, rules = gd.least_squares(X, Y), jnp.array([0.01, 0.02])
    runs, here = (gd.sweep(f, s, rules, steps=5).history.value for s in (placed, starts))
    assert len(runs.sharding.device_set) == 4
    np.testing.assert_allclose(runs, here, atol=ROUNDING)


@pytest.mark.parametrize("mesh", [AxisType.Auto], indirect=True)  # others have to be told more
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
