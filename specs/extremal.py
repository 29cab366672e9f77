"""Extremal instances: functions on which a bound is attained, and those that are hard to stop on.

All have one row and one parameter, and numbers that are short in any dtype. Each is a function
``(rng, count, steps) -> Instance``, a batch of so many.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np

import gdpure as gd

from . import bounds, instances


def _numbers(rng, count):
    """Return h, q, s and R: sixteenths, a power of four, powers of two; all short, (count,)."""
    h = rng.integers(1, 32, count) / 16
    s, distance = _power_of_two(rng.integers(-3, 4, (2, count)))
    return h, _power_of_two(-2 * rng.integers(1, 4, count)), s, distance


def _power_of_two(k):
    return np.ldexp(1.0, k)


def _one_parameter(stretch, bend, tail, distance, step_size, smoothness, strong_convexity):
    """Return ``phi(stretch x)`` from `distance`, with claims of a whole class of functions."""
    stretch, bend, tail, distance, step_size, smoothness, strong_convexity = np.broadcast_arrays(
        stretch, bend, tail, distance, step_size, smoothness, strong_convexity
    )
    zero = np.zeros_like(stretch)
    recipe = instances.Recipe(
        stretch[None, None], zero[None], bend, tail, zero, distance[None], zero[None], zero + 1
    )
    made = instances.instance(recipe, np.float64)
    return replace(
        made, step_size=step_size, smoothness=smoothness, strong_convexity=strong_convexity
    )


def huber(rng, count, steps):
    """Return the slowest convex function for values after N steps: Huber's, or a parabola."""
    h, _, s, distance = _numbers(rng, count)
    return _slowest(steps, h, 0.0, s, distance)


def tailed_huber(rng, count, steps):
    """Return the slowest mu-strongly convex function for values after N steps."""
    h, q, s, distance = _numbers(rng, count)
    return _slowest(steps, h, q, s, distance)


def _slowest(steps, h, q, s, distance):
    L = s**2
    slow = bounds.bend(L, q * L, h / L, float(steps))
    bent = slow >= (1 - h) ** (2 * steps)
    bend = np.where(bent, s * distance * slow, np.inf)
    return _one_parameter(s, bend, q, distance, h / L, L, q * L)


def slowest_quadratic(rng, count, steps):
    """Return the parabola that is slowest for values after N steps, of a curvature in [mu, L]."""
    h, q, s, distance = _numbers(rng, count)
    a = np.clip(1 / (h * (2 * steps + 1)), q, 1)
    slow = a * abs(1 - a * h) ** (2 * steps) >= abs(1 - h) ** (2 * steps)
    stretch = np.where(slow, s * np.sqrt(a), s)
    return _one_parameter(stretch, np.inf, 0.0, distance, h / s**2, s**2, q * s**2)


def gradient_huber(rng, count, steps):
    """Return the convex function whose gradient is slowest after N steps: Huber's, or a parabola.

    Descent on it ends where the function bends.
    """
    h, _, s, bend = _numbers(rng, count)
    return _steepest_end(steps, h, 0.0, s, bend, steps * h + 1)


def gradient_tailed_huber(rng, count, steps):
    """Return the mu-strongly convex function whose gradient is slowest after N steps."""
    h, q, s, bend = _numbers(rng, count)
    c = (1 - q) / q
    return _steepest_end(steps, h, q, s, bend, (1 + c) / abs(1 - q * h) ** steps - c)


def _steepest_end(steps, h, q, s, bend, ratio):
    L = s**2
    bent = bounds.bend(L, q * L, h / L, float(steps)) >= (1 - h) ** (2 * steps)
    bent_at = np.where(bent, s * bend, np.inf)
    return _one_parameter(s, bent_at, q, bend * ratio, h / L, L, q * L)


def _silver(steps):
    """Return the sum of the silver steps, in units of 1/L."""
    with jax.enable_x64(True):
        return float(gd.schedules.silver(steps).sum())


def silver_huber(rng, count, steps):
    """Return the convex function whose values are slowest for the silver schedule: Huber's.

    Its `bend` is that of as many steps of one size as the silver steps sum up to.
    """
    _, _, s, distance = _numbers(rng, count)
    bend = s * distance / (1 + 2 * _silver(steps))
    return _one_parameter(s, bend, 0.0, distance, 1 / s**2, s**2, 0.0)


def silver_gradient_huber(rng, count, steps):
    """Return the convex function whose gradient is slowest for the silver schedule: Huber's.

    Descent on it ends where the function bends.
    """
    _, _, s, bend = _numbers(rng, count)
    distance = bend * (1 + _silver(steps))
    return _one_parameter(s, s * bend, 0.0, distance, 1 / s**2, s**2, 0.0)


def steepest_parabola(rng, count, steps):
    """Return ``L/2 x^2``, on which one step promises no more than it keeps."""
    h, q, s, distance = _numbers(rng, count)
    return _one_parameter(s, np.inf, 0.0, distance, h / s**2, s**2, q * s**2)


def diverging_parabola(rng, count, steps):
    """Return ``L/2 x^2`` with a step beyond 2/L, from which every run diverges."""
    h, q, s, distance = _numbers(rng, count)
    return _one_parameter(s, np.inf, 0.0, distance, (2 + h) / s**2, s**2, q * s**2)


def slowest_parabola(rng, count, steps):
    """Return ``L/2 x^2`` or ``mu/2 x^2``, whichever gradient descent contracts less."""
    h, q, s, distance = _numbers(rng, count)
    steep = abs(1 - h) >= abs(1 - q * h)
    stretch = np.where(steep, s, s * np.sqrt(q))
    return _one_parameter(stretch, np.inf, 0.0, distance, h / s**2, s**2, q * s**2)


# -- where it is hard to stop ----------------------------------------------------------------------


def runaway_parabola(rng, count, steps):
    """Return ``L/2 x^2`` with a step so long that every run overflows, in float64 too."""
    _, q, s, distance = _numbers(rng, count)
    step_size = _power_of_two(80) / s**2
    made = _one_parameter(s, np.inf, 0.0, distance, step_size, s**2, q * s**2)
    return replace(made, tolerance=s**2 * distance / 2)


def flat_start(rng, count, steps):
    """Return ``L/2 x^2`` from where the gradient is within the tolerance already, or is 0."""
    made = steepest_parabola(rng, count, steps)
    on_spot = rng.integers(2, size=count) == 1
    return replace(
        made,
        start=np.where(on_spot, 0.0, made.start),
        tolerance=2 * made.smoothness * made.start[0],
    )


def last_moment(rng, count, steps):
    """Return ``L/2 x^2`` where the last step allowed is the first to meet the tolerance."""
    h, q, s, distance = _numbers(rng, count)
    # Steps of half 1/L or of 3/2 of it: the gradient is halved exactly.
    h = np.where(h < 1, 0.5, 1.5)
    made = _one_parameter(s, np.inf, 0.0, distance, h / s**2, s**2, q * s**2)
    return replace(made, tolerance=1.5 * s**2 * distance * _power_of_two(-steps))
