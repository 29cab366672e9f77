"""Extremal instances: functions on which a bound is attained, and those that are hard to stop on.

All have one row and one parameter, and numbers that are short in any dtype.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp

import gdpure as gd

from . import bounds, instances


def _numbers(key):
    """Return h, q, s and R: sixteenths, a power of four, powers of two; all short."""
    keys = jax.random.split(key, 4)
    h = jax.random.randint(keys[0], (), 1, 32).astype(jnp.float64) / 16
    powers = [_power_of_two(jax.random.randint(k, (), -3, 4)) for k in keys[1:3]]
    q = _power_of_two(-2 * jax.random.randint(keys[3], (), 1, 4))
    return h, q, *powers


def _power_of_two(k):
    return jnp.ldexp(jnp.ones((), jnp.float64), k)


def _one_parameter(stretch, bend, tail, distance, step_size, smoothness, strong_convexity):
    """Return ``phi(stretch x)`` from `distance`, with claims of a whole class of functions."""

    def row(x):
        return jnp.reshape(x, (1,))

    recipe = instances.Recipe(
        jnp.reshape(stretch, (1, 1)), row(0.0), bend, tail, 0.0, row(distance), row(0.0), 1.0
    )
    made = instances.instance(recipe, jnp.float64)
    return replace(
        made, step_size=step_size, smoothness=smoothness, strong_convexity=strong_convexity
    )


def huber(key, steps):
    """Return the slowest convex function for values after N steps: Huber's, or a parabola."""
    h, _, s, distance = _numbers(key)
    return _slowest(steps, h, 0.0, s, distance)


def tailed_huber(key, steps):
    """Return the slowest mu-strongly convex function for values after N steps."""
    h, q, s, distance = _numbers(key)
    return _slowest(steps, h, q, s, distance)


def _slowest(steps, h, q, s, distance):
    L = s**2
    slow = bounds.bend(L, q * L, h / L, float(steps))
    bent = slow >= (1 - h) ** (2 * steps)
    bend = jnp.where(bent, s * distance * slow, jnp.inf)
    return _one_parameter(s, bend, q, distance, h / L, L, q * L)


def slowest_quadratic(key, steps):
    """Return the parabola that is slowest for values after N steps, of a curvature in [mu, L]."""
    h, q, s, distance = _numbers(key)
    a = jnp.clip(1 / (h * (2 * steps + 1)), q, 1)
    slow = a * abs(1 - a * h) ** (2 * steps) >= abs(1 - h) ** (2 * steps)
    stretch = jnp.where(slow, s * jnp.sqrt(a), s)
    return _one_parameter(stretch, jnp.inf, 0.0, distance, h / s**2, s**2, q * s**2)


def gradient_huber(key, steps):
    """Return the convex function whose gradient is slowest after N steps: Huber's, or a parabola.

    Descent on it ends where the function bends.
    """
    h, _, s, bend = _numbers(key)
    return _steepest_end(steps, h, 0.0, s, bend, steps * h + 1)


def gradient_tailed_huber(key, steps):
    """Return the mu-strongly convex function whose gradient is slowest after N steps."""
    h, q, s, bend = _numbers(key)
    c = (1 - q) / q
    return _steepest_end(steps, h, q, s, bend, (1 + c) / abs(1 - q * h) ** steps - c)


def _steepest_end(steps, h, q, s, bend, ratio):
    L = s**2
    bent = bounds.bend(L, q * L, h / L, float(steps)) >= (1 - h) ** (2 * steps)
    bent_at = jnp.where(bent, s * bend, jnp.inf)
    return _one_parameter(s, bent_at, q, bend * ratio, h / L, L, q * L)


def silver_huber(key, steps):
    """Return the convex function whose values are slowest for the silver schedule: Huber's.

    Its `bend` is that of as many steps of one size as the silver steps sum up to.
    """
    _, _, s, distance = _numbers(key)
    bend = s * distance / (1 + 2 * gd.schedules.silver(steps).sum())
    return _one_parameter(s, bend, 0.0, distance, 1 / s**2, s**2, 0.0)


def silver_gradient_huber(key, steps):
    """Return the convex function whose gradient is slowest for the silver schedule: Huber's.

    Descent on it ends where the function bends.
    """
    _, _, s, bend = _numbers(key)
    distance = bend * (1 + gd.schedules.silver(steps).sum())
    return _one_parameter(s, s * bend, 0.0, distance, 1 / s**2, s**2, 0.0)


def steepest_parabola(key, steps):
    """Return ``L/2 x^2``, on which one step promises no more than it keeps."""
    h, q, s, distance = _numbers(key)
    return _one_parameter(s, jnp.inf, 0.0, distance, h / s**2, s**2, q * s**2)


def diverging_parabola(key, steps):
    """Return ``L/2 x^2`` with a step beyond 2/L, from which every run diverges."""
    h, q, s, distance = _numbers(key)
    return _one_parameter(s, jnp.inf, 0.0, distance, (2 + h) / s**2, s**2, q * s**2)


def slowest_parabola(key, steps):
    """Return ``L/2 x^2`` or ``mu/2 x^2``, whichever gradient descent contracts less."""
    h, q, s, distance = _numbers(key)
    steep = abs(1 - h) >= abs(1 - q * h)
    stretch = jnp.where(steep, s, s * jnp.sqrt(q))
    return _one_parameter(stretch, jnp.inf, 0.0, distance, h / s**2, s**2, q * s**2)


# -- where it is hard to stop ----------------------------------------------------------------------


def runaway_parabola(key, steps):
    """Return ``L/2 x^2`` with a step so long that every run overflows, in float64 too."""
    _, q, s, distance = _numbers(key)
    step_size = _power_of_two(80) / s**2
    made = _one_parameter(s, jnp.inf, 0.0, distance, step_size, s**2, q * s**2)
    return replace(made, tolerance=s**2 * distance / 2)


def flat_start(key, steps):
    """Return ``L/2 x^2`` from where the gradient is within the tolerance already, or is 0."""
    made = steepest_parabola(key, steps)
    on_spot = jax.random.bernoulli(jax.random.fold_in(key, 1))
    return replace(
        made,
        start=jnp.where(on_spot, 0.0, made.start),
        tolerance=2 * made.smoothness * made.start[0],
    )


def last_moment(key, steps):
    """Return ``L/2 x^2`` where the last step allowed is the first to meet the tolerance."""
    h, q, s, distance = _numbers(key)
    # Steps of half 1/L or of 3/2 of it: the gradient is halved exactly.
    h = jnp.where(h < 1, 0.5, 1.5)
    made = _one_parameter(s, jnp.inf, 0.0, distance, h / s**2, s**2, q * s**2)
    return replace(made, tolerance=1.5 * s**2 * distance * _power_of_two(-steps))
