"""Limits: what cannot be faster on this machine, as functions that do only what has to be done.

A CPU is asked in C: the arithmetic of a job in the order that suits the machine, or its bytes, read
or written into new memory. Without a compiler there are none. Other devices are asked by JAX, for
bytes alone.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

ARITHMETIC, _READ, _WRITE, _COPY = "C", "a read", "a write", "a copy"
_OPTIONS = "-O3 -march=native -fopenmp -shared -fPIC".split()


@cache
def library():
    """Return the kernels, compiled for this machine, or None where they cannot be."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if not compiler:
        return None
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # else its threads spin while others run
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "kernels.so")
        source = Path(__file__).with_name("kernels.c")
        command = [compiler, *_OPTIONS, "-o", made, source]
        done = subprocess.run(command, capture_output=True, check=False)
        return None if done.returncode else ctypes.CDLL(str(made))


def arithmetic(kernel, shape, *arguments):
    """Name a kernel that fills a new array of a shape."""
    return _limit(ARITHMETIC, kernel, shape, arguments)


def write(*shape):
    """Name what writes an array of a shape."""
    size = int(np.prod(shape))
    if _elsewhere():
        return {_WRITE: partial(_written, shape)}
    return _limit(_WRITE, "fill_bytes", size, (size, 1.0))


def copy(x):
    """Name what reads an array and writes another."""
    if _elsewhere():
        return {_COPY: partial(_copied, jnp.asarray(x))}
    return _limit(_COPY, "copy_bytes", x.size, (x, x.size))


def read(x, times):
    """Name what reads an array several times."""
    if _elsewhere():
        x = jnp.asarray(x)
        return {_READ: lambda: [_sum(x) for _ in range(times)]}
    return _limit(_READ, "read_bytes", 1, (x, x.size, times))


def _elsewhere():
    return jax.default_backend() != "cpu"


_written = jax.jit(partial(jnp.full, fill_value=1.0), static_argnums=0)
_copied = jax.jit(lambda x: x + 1)
_sum = jax.jit(jnp.sum)


def _limit(name, kernel, shape, arguments):
    if _elsewhere() or library() is None:
        return {}
    function, known = getattr(library(), kernel), [_given(x) for x in arguments]

    def run():
        out = np.empty(shape, np.float32)
        function(out.ctypes, *(x for x, _ in known))
        return out

    return {name: run}


def _given(x):
    """Return a number or an array as C takes it, and what must live as long."""
    if isinstance(x, (int, np.integer)):
        return ctypes.c_long(x), None
    if isinstance(x, float):
        return ctypes.c_float(x), None
    x = np.ascontiguousarray(x, np.float32)
    return ctypes.c_void_p(x.ctypes.data), x
