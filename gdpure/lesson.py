"""The lesson: gradient descent on two costs of two parameters, as one pure function.

After the notebook "Gradient Descent" of nipunbatra/ml2023 (CC0); the numbers are float32, as there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.optimize import minimize

import gdpure as gd


def simple_cost(theta_0, theta_1):
    """Return ``theta_0^2 + theta_1^2``, shape ().

    Examples
    --------
    >>> assert simple_cost(2.0, 1.0) == 5.0
    """
    return theta_0**2 + theta_1**2


def cost(theta_0, theta_1, data):
    """Return the mean squared error of the line ``theta_0 + theta_1 x``, shape ().

    Parameters
    ----------
    theta_0, theta_1
        Intercept and slope, shape ().
    data
        The points ``(x, y)``, shapes (n,).

    Examples
    --------
    >>> assert cost(1.0, 2.0, (jnp.array([1.0, 2.0]), jnp.array([3.0, 7.0]))) == 2.0
    """
    x, y = data
    return jnp.mean((theta_0 + theta_1 * x - y) ** 2)


def cost_gradient(theta_0, theta_1, data):
    """Return the gradient of `cost` as derived by hand, two numbers of shape ().

    Examples
    --------
    >>> a, b = cost_gradient(1.0, 2.0, (jnp.array([1.0, 2.0]), jnp.array([3.0, 7.0])))
    >>> assert (a, b) == (-2.0, -4.0)
    """
    x, y = data
    residual = theta_0 + theta_1 * x - y
    return 2 * jnp.mean(residual), 2 * jnp.mean(residual * x)


def quadratic() -> gd.Objective:
    """Return `simple_cost` as an objective that knows its own constants.

    Examples
    --------
    >>> assert gd.facts(quadratic()).smoothness == 2.0
    """
    return gd.Objective(gd.unpack(simple_cost), facts=_quadratic_facts)


def _quadratic_facts(_):
    f, anywhere = gd.unpack(simple_cost), jnp.ones(2, jnp.float32)
    _, gradient = gd.reverse(f)(anywhere)
    hessian = jax.hessian(f)(anywhere)
    minimizer = anywhere - jnp.linalg.solve(hessian, gradient)  # exact, f being quadratic
    return gd.facts(gd.quadratic(hessian, minimizer, f(minimizer)))


def regression() -> gd.Objective:
    """Return `cost` on the three points of the lesson, a finite sum with its hand-derived gradient.

    Examples
    --------
    >>> values, gradients = gd.per_sample(regression())(jnp.array([2.0, 2.0], jnp.float32))
    >>> assert values.shape == (3,) and gradients.shape == (3, 2)
    """
    data = np.array([1, 2, 3], np.float32), np.array([1, 2.2, 2.8], np.float32)
    gradient = gd.unpack(cost_gradient)
    return gd.Objective(gd.unpack(cost), data, gradient, facts=_regression_facts, axes=(0, 0))


def _regression_facts(data):
    x, y = data
    with jax.ensure_compile_time_eval():  # in float64, on every platform, also inside of `jax.jit`
        return gd.facts(gd.least_squares(gd.with_intercept(x), y))


class Quadratic(NamedTuple):
    """Descent on the simple cost: ten steps of 0.1 from (2, 1).

    `found` is where BFGS stops, from the same start (2,); `limit` 2/L, from which step size on no
    descent is promised; `differences` the gradient at the start by central differences (2,);
    `factors` gap after each step over gap before (10,), and `promised` what theory says they are.
    """

    found: Any
    facts: gd.Facts
    step_size: Any
    limit: Any
    run: gd.Descent
    differences: Any
    factors: Any
    promised: Any


class Regression(NamedTuple):
    """Linear regression by steps of 1/L from (2, 2), beside the exact solution in `facts`.

    The gradient at the start is there by `autodiff`, `by_hand` and by `differences` (2,). `run` are
    the first hundred steps, with the `distances` from the exact solution (101,) and the `factors`
    of the gap (100,), and what theory says both are at most. `final` is where no entry of the
    gradient exceeds the `tolerance` any more, after `promised_steps` at most.
    """

    x: Any
    y: Any
    value: Any
    autodiff: Any
    by_hand: Any
    differences: Any
    facts: gd.Facts
    step_size: Any
    run: gd.Descent
    distances: Any
    promised_distances: Any
    factors: Any
    promised_factor: Any
    tolerance: Any
    final: gd.State
    promised_steps: Any
    final_distance: Any
    promised_final_distance: Any


class Samples(NamedTuple):
    """The three per-sample costs at (2, 2), their means, and the cost and gradient of all three.

    The minimizers of cost i are the line ``minimizer[i] + t direction[i]``, shapes (3, 2): its
    point of least norm and a unit vector. `found` (2, 3, 2) is where BFGS stops from (0, 0) and
    from (2, 2), `remaining` (2, 3) the cost there.
    """

    values: Any
    gradients: Any
    mean_value: Any
    mean_gradient: Any
    full_value: Any
    full_gradient: Any
    minimizer: Any
    direction: Any
    found: Any
    remaining: Any


class Lesson(NamedTuple):
    """All numbers of the lesson, as arrays."""

    quadratic: Quadratic
    regression: Regression
    samples: Samples


def _quadratic_part():
    f, start, step_size = quadratic(), jnp.array([2, 1], jnp.float32), jnp.float32(0.1)
    facts = gd.facts(f)
    run = gd.descend(f, start, step_size, steps=10)
    gap = run.history.value - facts.minimum
    return Quadratic(
        minimize(f, start, method="BFGS").x,
        facts,
        step_size,
        2 / facts.smoothness,
        run,
        gd.central(f)(start)[1],
        gap[1:] / gap[:-1],
        _contraction(facts, step_size) ** 2,
    )


def _regression_part(f, start):
    facts = gd.facts(f)
    step_size, tolerance = 1 / facts.smoothness, jnp.float32(1e-5)
    value, autodiff = gd.reverse(f)(start)
    run = gd.descend(f, start, step_size, steps=100)
    final = gd.minimize(f, run.final, step_size, tolerance=tolerance)

    rho = _contraction(facts, step_size)
    distances = jnp.linalg.norm(run.history.point - facts.minimizer[None], axis=1)
    gap = run.history.value - facts.minimum
    needed = jnp.log(tolerance / jnp.linalg.norm(autodiff)) / jnp.log(rho)
    x, y = f.data
    return Regression(
        x=x,
        y=y,
        value=value,
        autodiff=autodiff,
        by_hand=gd.analytic(f)(start)[1],
        differences=gd.central(f)(start)[1],
        facts=facts,
        step_size=step_size,
        run=run,
        distances=distances,
        promised_distances=rho ** jnp.arange(len(distances), dtype=rho.dtype) * distances[0],
        factors=gap[1:] / gap[:-1],
        promised_factor=rho**2,
        tolerance=tolerance,
        final=final,
        promised_steps=jnp.ceil(needed).astype(jnp.int32),
        final_distance=jnp.linalg.norm(final.point - facts.minimizer),
        promised_final_distance=rho ** final.count.astype(rho.dtype) * distances[0],
    )


def _samples_part(f, theta):
    values, gradients = gd.per_sample(f)(theta)
    starts = jnp.stack([jnp.zeros_like(theta), theta])

    def alone(x, y):
        one = gd.least_squares(gd.with_intercept(x[None]), y[None])
        facts = gd.facts(one)
        column = facts.flat[:, jnp.argmax(jnp.diagonal(facts.flat))]
        stops = jax.vmap(lambda start: minimize(one, start, method="BFGS"))(starts)
        return facts.minimizer, column / jnp.linalg.norm(column), stops.x, stops.fun

    minimizer, direction, found, remaining = jax.vmap(alone)(*f.data)
    return Samples(
        values,
        gradients,
        values.mean(),
        gradients.mean(0),
        *gd.analytic(f)(theta),
        minimizer,
        direction,
        found.swapaxes(0, 1),
        remaining.T,
    )


def _contraction(facts, step_size):
    """How much nearer to the minimizer a step leads at least: |x+ - x*| <= rho |x - x*|."""
    most, least = 1 - step_size * facts.smoothness, 1 - step_size * facts.strong_convexity
    return jnp.maximum(jnp.abs(most), jnp.abs(least))


@jax.default_matmul_precision("highest")
def lesson() -> Lesson:
    """Return the whole lesson; pure, `jax.jit` compiles it as it is.

    Examples
    --------
    >>> whole = lesson()
    >>> assert whole.quadratic.run.history.value[0] == 5
    >>> assert whole.samples.gradients[0].tolist() == [6.0, 6.0]
    """
    f, theta = regression(), jnp.array([2, 2], jnp.float32)
    return Lesson(_quadratic_part(), _regression_part(f, theta), _samples_part(f, theta))
