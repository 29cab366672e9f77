"""Libraries: the gradient descent of others, as subjects.

Each function is a black box, told by the names of its parameters as in `subjects`: ``gdpure check
tests/benchmarks/libraries.py:jaxopt_plain`` tries every theorem on it. `plain` is gradient descent
with a constant step size and no more, as far as the library can be told so; `default` is what it
does when it is told nothing that it does not ask for. What ends in `_stops` runs until the library
says that it converged, its own tolerances set to the one that is given.

A library is imported when its subject runs. jaxopt and optimistix are traced, torch and SciPy are
not.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def _library(name) -> Any:
    """Return a module of a library, or say how to get it."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "JAXopt is no longer maintained", DeprecationWarning)
            return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f"libraries: {name} cannot be imported ({error}): pip install {package}"
        ) from error


# -- jaxopt ----------------------------------------------------------------------------------------


def jaxopt_plain(value, gradient, start, step_size, steps):
    """`jaxopt.GradientDescent` with a step size and ``acceleration=False``."""
    return _updated(_jaxopt(value, gradient, step_size, acceleration=False), start, steps)


def jaxopt_default(value, gradient, start, step_size, steps):
    """`jaxopt.GradientDescent` with a step size alone."""
    return _updated(_jaxopt(value, gradient, step_size), start, steps)


def jaxopt_line_search(point, value, gradient):
    """`jaxopt.GradientDescent` with its own line search and ``acceleration=False``, one step.

    The solver is new at every point, so that each search begins with a step size of 1: it is
    Armijo's with c = 1/2 and at most 15 halvings, ``gd.Backtracking(1.0, 0.5, 0.5, 15)``.
    """
    return _updated(_jaxopt(value, gradient, acceleration=False), point, 1)[1]


def jaxopt_plain_stops(value, gradient, start, step_size, steps, tolerance):
    """`run` of `jaxopt_plain`, until the ``error`` is within the tolerance."""
    known = {"maxiter": steps, "tol": tolerance, "acceleration": False}
    return _ran(_jaxopt(value, gradient, step_size, **known), start)


def jaxopt_default_stops(value, gradient, start, step_size, steps, tolerance):
    """`run` of `jaxopt_default`, until the ``error`` is within the tolerance."""
    return _ran(_jaxopt(value, gradient, step_size, maxiter=steps, tol=tolerance), start)


def jaxopt_line_search_stops(value, gradient, start, steps, tolerance):
    """`run` with the line search that `jaxopt_line_search` steps with; here each goes on."""
    known = {"maxiter": steps, "tol": tolerance, "acceleration": False}
    return _ran(_jaxopt(value, gradient, **known), start)


def _jaxopt(value, gradient, step_size=None, **options):
    # jaxopt asks whether a number is positive, which no traced one can answer.
    steps = {} if step_size is None else {"stepsize": lambda k: step_size}
    return _library("jaxopt").GradientDescent(
        lambda x: (value(x), gradient(x)), value_and_grad=True, **steps, **options
    )


def _updated(solver, start, steps):
    """Return the start and what `update` makes of it, step by step."""

    def step(carry, _):
        after = solver.update(*carry)
        return tuple(after), after.params

    start = jnp.asarray(start)
    _, rows = jax.lax.scan(step, (start, solver.init_state(start)), length=steps)
    return jnp.concatenate([start[None], rows])


def _ran(solver, start):
    point, state = solver.run(jnp.asarray(start))
    return point, state.error <= solver.tol


# -- optimistix ------------------------------------------------------------------------------------


def optimistix_plain(value, start, step_size, steps):
    """`optimistix.GradientDescent` by its own `step`, of which the first evaluates the start."""
    solver, start, tags = _optimistix(step_size, 0.0), jnp.asarray(start), frozenset()

    def f(y, args):
        return value(y), None

    def step(carry, _):
        y, state, _ = solver.step(f, carry[0], None, {}, carry[1], tags)
        return (y, state), y

    begun = solver.init(f, start, None, {}, jax.eval_shape(value, start), None, tags)
    return jax.lax.scan(step, (start, begun), length=steps + 1)[1]


def optimistix_default(value, start, step_size, steps):
    """`optimistix.minimise` with ``max_steps`` 0, 1, ..., one run a row, without tolerance."""
    runs = (_minimised(value, start, step_size, k, 0.0) for k in range(steps + 1))
    return jnp.stack([run.value for run in runs])


def optimistix_default_stops(value, start, step_size, steps, tolerance):
    """`optimistix.minimise`, until a move and its decrease are within ``atol``; ``rtol`` is 0."""
    run = _minimised(value, start, step_size, steps, tolerance)
    return run.value, run.result == _library("optimistix").RESULTS.successful


def _optimistix(step_size, tolerance):
    return _library("optimistix").GradientDescent(step_size, rtol=0.0, atol=tolerance)


def _minimised(value, start, step_size, steps, tolerance):
    return _library("optimistix").minimise(
        lambda y, args: value(y),
        _optimistix(step_size, tolerance),
        jnp.asarray(start),
        max_steps=steps,
        throw=False,
    )


# -- torch -----------------------------------------------------------------------------------------


def torch_plain(value, gradient, start, step_size, steps):
    """`torch.optim.SGD` with a step size."""
    return _stepped(value, gradient, start, steps, lr=step_size)


def torch_default(value, gradient, start, steps):
    """`torch.optim.SGD` with nothing at all: its step size is 1e-3, ``gd.Constant(1e-3)``."""
    return _stepped(value, gradient, start, steps)


def _stepped(value, gradient, start, steps, **options):
    torch = _library("torch")
    x = torch.tensor(start)
    optimizer = torch.optim.SGD([x], **options)

    def closure():
        x.grad = torch.tensor(gradient(x.numpy()))
        return value(x.numpy())

    rows = [start]
    for _ in range(steps):
        optimizer.step(closure)
        rows.append(x.numpy().copy())
    return np.stack(rows)


# -- SciPy -----------------------------------------------------------------------------------------


def scipy_default(value, gradient, start, steps):
    """`scipy.optimize.minimize`, which is BFGS; its last row is repeated where it has stopped."""
    rows = [start]
    _minimized(value, gradient, start, rows.append, maxiter=steps)
    return np.stack([*rows, *[rows[-1]] * (steps + 1 - len(rows))])


def scipy_default_stops(value, gradient, start, steps, tolerance):
    """`scipy.optimize.minimize`, which is BFGS, until the gradient is within ``gtol``."""
    found = _minimized(value, gradient, start, maxiter=steps, gtol=tolerance)
    return found.x.astype(start.dtype), found.success


def _minimized(value, gradient, start, record=None, **options):
    """Run SciPy, which is float64 inside, on the function as it is in the dtype of the start."""

    def here(x):
        return x.astype(start.dtype)

    return _library("scipy.optimize").minimize(
        lambda x: float(value(here(x))),
        start,
        jac=lambda x: gradient(here(x)).astype(float),
        callback=None if record is None else lambda x: record(here(x)),
        options=options,
    )
