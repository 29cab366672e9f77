"""Processes: rows that several of them hold, each its own, over the loopback interface."""

import os
import socket
import subprocess
import sys

import numpy as np

import gdpure as gd

CHILD = """
import sys
import jax

jax.config.update("jax_cpu_collectives_implementation", "gloo")
process = int(sys.argv[1])
jax.distributed.initialize(f"127.0.0.1:{sys.argv[2]}", 2, process)
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

for kind, make in (("Auto", gd.logistic), ("Explicit", gd.least_squares)):
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
    print(error)
jax.distributed.shutdown()
"""
X = np.arange(1, 13, dtype=np.float32).reshape(4, 3) % 5
Y = np.float32([1, 0, 0, 1])


def _said():
    """Return what two processes print; whatever happens, none of them is left behind."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    both = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(i), str(port)],
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
    for process, (_, errors) in zip(both, said, strict=True):
        assert process.returncode == 0, errors[-2000:]
    return [out.splitlines() for out, _ in said]


def test_rows_of_several_processes_give_the_runs_of_all_of_them():
    said, start = _said(), np.zeros(3, np.float32)
    # Sums over processes are taken in another order: numbers below 20, ten roundings of them.
    rounding = 20 * 10 * 2**-24
    for i, lines in enumerate(said):
        found = [line.split()[1:] for line in lines if line.startswith("found")]
        for f, ours in zip((gd.logistic(X, Y), gd.least_squares(X, Y)), found, strict=True):
            run, (_, rows) = gd.descend(f, start, 0.1, steps=3), gd.per_sample(f)(start)
            mine = rows[2 * i : 2 * i + 2].ravel()
            theirs = [*run.history.value, gd.facts(f).smoothness, *mine]
            np.testing.assert_allclose(list(map(float, ours)), theirs, atol=rounding)
    # Each looks at the labels that it has.
    assert [lines[-1] for lines in said] == ["taken", "logistic: labels must be 0 or 1, got 2"]
