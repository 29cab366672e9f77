"""Processes: rows that several of them hold, each its own, and states that outlive them."""

import os
import signal
import socket
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest

import gdpure as gd

CHILD = """
import os, signal, sys
import jax

jax.config.update("jax_cpu_collectives_implementation", "gloo")
process, port, saved = int(sys.argv[1]), sys.argv[2], sys.argv[3]
# An end waits for the others as long as this: one of them will be gone.
jax.distributed.initialize(f"127.0.0.1:{port}", 2, process, shutdown_timeout_seconds=1)
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
import gdpure as gd

X = np.arange(1, 13, dtype=np.float32).reshape(4, 3) % 5
labels, start = np.float32([1, 0, 0, 1]), np.zeros(3, np.float32)
mine = slice(2 * process, 2 * process + 2)

def placed(x):
    return jax.make_array_from_process_local_data(NamedSharding(mesh, P("rows")), x[mine])

for kind, make in (("Explicit", gd.least_squares), ("Auto", gd.logistic)):
    mesh = jax.make_mesh((2,), ("rows",), axis_types=(getattr(jax.sharding.AxisType, kind),))
    with jax.set_mesh(mesh):
        f = make(placed(X), placed(labels))
        run = gd.descend(f, start, 0.1, steps=3)
        [part] = gd.per_sample(f)(start)[1].addressable_shards
        told = run.history.value, gd.facts(f).smoothness, part.data
        print("found", *np.concatenate([np.ravel(x) for x in told]))
try:
    gd.logistic(placed(X), placed(labels + np.float32([0, 0, 0, 1])))
    print("taken")
except ValueError as error:
    print(error, flush=True)

state = run.final
for turn in range(3):
    state = jax.block_until_ready(gd.descend(f, state, 0.1, steps=2, record=None).final)
    if turn == process == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if process == 0:
        np.savez(saved, *jax.tree.leaves(state))
print("to the end")
"""
X = np.arange(1, 13, dtype=np.float32).reshape(4, 3) % 5
Y, START = np.float32([1, 0, 0, 1]), np.zeros(3, np.float32)
# Sums over processes are taken in another order: numbers below 20, ten roundings of them.
ROUNDING = 20 * 10 * 2**-24


@pytest.mark.parametrize("rule", [gd.HeavyBall(0.01, 0.5), optax.adam(0.01)], ids=["ours", "optax"])
def test_a_run_goes_on_from_a_state_on_disk_to_the_bit(tmp_path, rule):
    f, start = gd.empirical_risk(_loss, (X, Y)), {"weights": START, "intercept": np.float32(1)}
    with jax.numpy_dtype_promotion("standard"):  # optax takes powers of integers
        whole = gd.descend(f, start, rule, steps=5).final
        _save(tmp_path / "state.npz", gd.descend(f, start, rule, steps=3).final)
        state = _saved(tmp_path / "state.npz", f, start, rule)
        resumed = gd.descend(f, state, rule, steps=2).final
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)


def _loss(params, example):
    x, y = example
    return (x @ params["weights"] + params["intercept"] - y) ** 2


def _save(path, state):
    np.savez(path, *jax.tree.leaves(state))


def _saved(path, f, start, rule):
    form = jax.tree.structure(gd.begin(f, start, rule))
    with np.load(path) as leaves:
        return jax.tree.unflatten(form, leaves.values())


def _ended(saved):
    """Return how two processes ended; whatever happens, none of them is left behind."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    both = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(i), str(port), str(saved)],
            env=os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in (0, 1)
    ]
    try:
        said = [process.communicate(timeout=60) for process in both]
    finally:
        for process in both:
            process.kill()
            process.wait()
    return [
        (p.returncode, out.splitlines(), errors)
        for p, (out, errors) in zip(both, said, strict=True)
    ]


def test_several_processes_give_the_runs_of_one_which_goes_on_when_one_of_them_is_killed(tmp_path):
    saved = tmp_path / "state.npz"
    (code, *said), (killed, *others) = _ended(saved)
    for i, (lines, errors) in enumerate((said, others)):
        found = [line.split()[1:] for line in lines if line.startswith("found")]
        assert len(found) == 2, errors[-2000:]
        for f, ours in zip((gd.least_squares(X, Y), gd.logistic(X, Y)), found, strict=True):
            run, (_, rows) = gd.descend(f, START, 0.1, steps=3), gd.per_sample(f)(START)
            mine = rows[2 * i : 2 * i + 2].ravel()
            theirs = [*run.history.value, gd.facts(f).smoothness, *mine]
            np.testing.assert_allclose(list(map(float, ours)), theirs, atol=ROUNDING)
    # Each looks at the labels that it has.
    assert [lines[-1] for lines, _ in (said, others)] == [
        "taken",
        "logistic: labels must be 0 or 1, got 2",
    ]
    # One is killed, and the other told so, which is why its last turns are missing.
    assert killed == -signal.SIGKILL and code != 0 and "all-reduce failed" in said[1]
    f = gd.logistic(X, Y)
    state = _saved(saved, f, START, 0.1)
    run = gd.descend(f, state, 0.1, steps=9 - int(state.count), record=None).final
    # No step is longer than 2 / L: what is off in one of them grows in no other.
    whole = gd.descend(f, START, 0.1, steps=9, record=None).final
    assert state.count >= 5 and run.count == 9
    np.testing.assert_allclose(run.point, whole.point, atol=9 * 0.1 * ROUNDING)
    np.testing.assert_allclose(run.value, whole.value, atol=ROUNDING)
