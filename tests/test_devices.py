"""Platforms and many devices: the same functions on sharded arrays, nothing of our own between."""

import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import gdpure as gd
from gdpure import blocks, sharding

RANDOM = np.random.default_rng(0)
X = RANDOM.integers(-4, 5, (8, 3)).astype(np.float32)
Y = RANDOM.integers(-4, 5, 8).astype(np.float32)
START = np.zeros(3, np.float32)
# Sums over shards are taken in another order: numbers below 100, a few hundred roundings of them.
ROUNDING = 100 * 300 * 2**-24


@pytest.fixture(params=[AxisType.Auto, AxisType.Explicit], ids=lambda kind: kind.name)
def mesh(request):
    """Four of eight processors, also where they are not what JAX computes on by default."""
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
    "as quadratic": lambda f: gd.descend(gd.as_quadratic(f), START, 0.01, steps=9).history.value,
    "sweep": lambda f: gd.sweep(f, X / 8, np.float32([0.01, 0.02]), steps=3).history.value,
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
        lambda f: gd.per_sample(f, chunk_size=64)(START),
        lambda f: gd.descend(f, START, 0.01, steps=2).final.value,
        gd.facts,
    ],
    ids=["per_sample", "in chunks", "descend", "facts"],
)
def test_sharded_rows_stay_where_they_are(mesh, what):
    data = _sharded(mesh, np.tile(X, (512, 1)), np.tile(Y, 512))  # more rows than facts copy
    compiled = jax.jit(lambda *data: what(gd.least_squares(*data))).lower(*data).compile()
    assert "all-gather" not in compiled.as_text()


@pytest.fixture
def small_cache(monkeypatch):
    """Blocks of a few rows; in each test of another number, lest it meets what was traced."""
    if jax.default_backend() != "cpu":
        pytest.skip("blocks are of what processors compute by default: not run")
    monkeypatch.setattr(blocks, "_CACHE", 400)
    monkeypatch.setattr(blocks, "_BLOCK", 320)


def _on(n, kind, rows):
    """Return a mesh of some of the eight processors, and rows of eight numbers and one on it."""
    found = jax.devices("cpu")[:n]
    mesh = jax.make_mesh((n,), ("rows",), axis_types=(kind,), devices=found)
    every = np.random.default_rng(rows).normal(size=(rows, 9)).astype(np.float32)
    return mesh, _sharded(mesh, every[:, 1:], every[:, 0])


def _exchanged(text):
    """Return what compiled code exchanges: how deep in its loops, which way, how many numbers."""
    bodies, lines = {}, []
    for line in text.splitlines():
        if line.endswith("{"):
            lines = bodies[line.removeprefix("ENTRY ").split()[0]] = []
        lines.append(line)
    kinds = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"

    def of(name, depth):
        for line in bodies[name]:
            if found := re.search(rf"= (.*?) ({kinds})(?:-start)?\(", line):
                shapes = re.findall(r"\[([\d,]*)\]", found[1])
                sizes = [math.prod(map(int, filter(None, shape.split(",")))) for shape in shapes]
                yield depth, found[2], sum(sizes)
            for how, other in re.findall(r"(body|condition|calls|to_apply)=(%[\w.\-]+)", line):
                yield from of(other, depth + (how == "body"))

    [entry] = re.findall(r"^ENTRY (\S+)", text, re.MULTILINE)
    found = sorted(of(entry, 0))
    assert len(re.findall(rf" (?:{kinds})(?:-start)?\(", text)) == len(found)
    return found


STEPS = [(make, AxisType.Auto, 512 + more) for make in MAKERS for more in (0, 8)]
STEPS += [("least_squares", AxisType.Explicit, 520)]


@pytest.mark.parametrize(("make", "kind", "rows"), STEPS)
def test_a_step_is_one_all_reduce_of_value_and_gradient(request, make, kind, rows):
    if rows > 512:
        request.getfixturevalue("small_cache")
    mesh, data = _on(8, kind, rows)

    def final(*data):
        return gd.descend(MAKERS[make](*data), np.zeros(8, np.float32), 0.01, steps=4).final

    with jax.set_mesh(mesh):
        text = jax.jit(final).lower(*data).compile().as_text()
    # One at the start, one a step; none within a step, where its blocks are.
    assert _exchanged(text) == [(0, "all-reduce", 9), (1, "all-reduce", 9)]
    assert text.count(" while(") == (1 if rows == 512 else 3)


@pytest.mark.parametrize("make", MAKERS)
def test_blocks_are_of_the_rows_of_each_device_however_many_have_some(small_cache, make):
    _, data = _on(3, AxisType.Auto, 528)  # no mesh is set; 3 divides neither 8 nor the blocks
    f, point = MAKERS[make](*data), np.zeros(8, np.float32)
    evaluate = gd.gradients.evaluation("reverse", f, gd.reverse, point)
    text = jax.jit(lambda f, x: f(x)).lower(evaluate, point).compile().as_text()
    assert _exchanged(text) == [(0, "all-reduce", 9)] and " while(" in text


def test_facts_are_of_the_rows_of_each_device_however_many_have_some(small_cache, monkeypatch):
    parts = []
    cut = sharding.cut
    monkeypatch.setattr(sharding, "cut", lambda rows: parts.append(cut(rows)) or parts[-1])
    _, data = _on(3, AxisType.Auto, 552)
    known = gd.facts(gd.least_squares(*data))
    assert set(parts) == {3}
    largest = np.linalg.svd(np.asarray(data[0], float), compute_uv=False)[0]
    # Computed in float64, and rounded once.
    np.testing.assert_allclose(known.smoothness, 2 / 552 * largest**2, rtol=2**-24)


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
