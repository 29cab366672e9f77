"""Sweeps of two parameters: last points, healthy or not, and every row."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd

from . import by_hand, limits
from .by_hand import bowl, columns
from .measuring import Ways, installed
from .rightness import Right, drift, rounded, stray


def last_points(f, slopes, hessian, largest, *, runs, steps):
    """Last points of runs whose step sizes alternate between 0.01 and the largest, to and fro."""
    n = math.isqrt(runs)
    starts = np.random.default_rng(0).standard_normal((n, 2), np.float32)
    step_sizes = np.tile(np.float32([0.01, largest]), -(-n // 2))[:n]
    curvatures = np.linalg.eigvalsh(hessian)
    healthy = slice(None, None, 2 if largest > 2 / curvatures[-1] else 1)

    def slope(x):
        return x @ np.asarray(hessian, x.dtype)

    def last(dtype, which=slice(None)):
        wide_starts = np.broadcast_to(starts.astype(dtype), (len(step_sizes[which]), n, 2))
        etas = step_sizes[which].astype(dtype)[:, None, None]
        return by_hand.numpy_last(slope, wide_starts, etas, steps)

    def right():
        reach, etas = np.linalg.norm(starts, axis=1).max(), step_sizes[healthy]
        rate = max(abs(1 - np.outer(etas, curvatures)).ravel())
        off = stray(reach, max(etas), curvatures[-1] * reach * 2, 8)
        return Right(last(float, healthy), drift(off, steps, rate))

    many = [jnp.asarray(x) for x in (starts, hessian, step_sizes)]

    def swept(loop, **options):
        return partial(by_hand.sweep, partial(loop, slopes, steps=steps, **options), *many)

    (p, q), (_, r) = map(tuple, np.asarray(hessian, float))
    return Ways(
        lambda: gd.sweep(f, many[0], many[2], steps=steps, record=None).final.point,
        swept(by_hand.loop),
        {"the scan unrolled by 10": swept(by_hand.loop, unroll=10)}
        | installed(optax=swept(by_hand.optax_loop))
        | {"NumPy": partial(last, np.float32)},
        limits.arithmetic("sweep", (n, n, 2), starts, step_sizes, n, n, steps, p, q, r),
        right,
        lambda found: found[healthy],
    )


ROUND, LONG = 2 * np.eye(2, dtype=np.float32), np.float32([[2, 0.5], [0.5, 1]])
of_bowl = partial(last_points, gd.Objective(bowl), jax.value_and_grad(bowl), ROUND)
of_quadratic = partial(last_points, gd.quadratic(LONG, np.zeros(2, np.float32)), columns, LONG)


def every_row(*, runs, steps):
    """Points, values and gradients of all steps of healthy runs on the bowl."""
    rules = 2 ** (runs.bit_length() // 2)
    starts = np.random.default_rng(0).standard_normal((runs // rules, 2), np.float32)
    step_sizes = np.linspace(0.01, 0.4, rules, dtype=np.float32)
    f, slopes = gd.Objective(bowl), jax.value_and_grad(bowl)

    many = jnp.asarray(starts), None, jnp.asarray(step_sizes)

    def swept(loop):
        return partial(by_hand.sweep, partial(loop, slopes, steps=steps, rows=True), *many)

    def rows(dtype):
        x = np.broadcast_to(starts.astype(dtype), (rules, *starts.shape))
        etas = step_sizes.astype(dtype)[:, None, None]
        points = np.moveaxis(by_hand.numpy_rows(lambda x: 2 * x, x, etas, steps), 0, 2)
        return points, (points**2).sum(-1), 2 * points

    def right():
        reach = np.linalg.norm(starts, axis=1).max()
        off = drift(stray(reach, 0.4, 2 * reach, 2), steps, 0.98)
        points, values, slopes = rows(float)
        of_values = 2 * np.sqrt(values) * off + off**2 + rounded(3) * values
        return Right((points, values, slopes), (off, of_values, 2 * off))

    def ours():
        rows = gd.sweep(f, many[0], many[2], steps=steps).history
        return rows.point, rows.value, rows.gradient

    return Ways(
        ours,
        swept(by_hand.loop),
        installed(optax=swept(by_hand.optax_loop)) | {"NumPy": partial(rows, np.float32)},
        limits.write(rules, len(starts), steps + 1, 5),
        right,
    )
