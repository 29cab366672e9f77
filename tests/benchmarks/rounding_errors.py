"""How near floating-point descent comes to its derived bounds; run this file with Python.

Instances of every family and shape, random and adversarial, are run in float32 and in float64. Each
error is a fraction of the bound that `gdpure.specs.rounding` derives for it: above 1 the bound were
wrong, far below 1 it were no use. The tests of rounding insist on both.
"""

import argparse
import time
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd
from gdpure.specs import instances, rounding
from gdpure.specs.instances import FAMILIES, SHAPES, Setting

USUAL, EDGES = "usual", ("squares", "slopes")


class Found(NamedTuple):
    """What runs found at their points, leading axes (instances, steps + 1)."""

    point: np.ndarray
    value: np.ndarray
    by_hand: np.ndarray
    reverse: np.ndarray


# -- runs ------------------------------------------------------------------------------------------


def draw_settings(regime, dtype, count, seed):
    """Settings, one for each instance, and the power of two that scales its center.

    Beside the usual regime there are two near the least normal number: of the squares that make a
    value, and of the slopes.
    """
    least = int(jnp.finfo(dtype).minexp)
    scale, distance, lift = {
        "usual": ((-6, 6), (-16, 8), (0, 0)),
        "squares": ((-6, 6), (least // 2 - 6, least // 2 + 8), (least // 2 - 6, least // 2 + 8)),
        "slopes": (
            (least // 4 - 8, least // 4 + 2),
            (3 * least // 4, 3 * least // 4 + 16),
            (3 * least // 4 - 8, 3 * least // 4 + 16),
        ),
    }[regime]
    rng = np.random.default_rng(seed)
    ranges = (0, len(FAMILIES) - 1), scale, (0, 10), distance, (0, 40), (0, 0), lift
    *setting, lift = (rng.integers(*span, count, np.int32, endpoint=True) for span in ranges)
    return Setting(*setting), lift


@partial(jax.jit, static_argnames=("shape", "dtype"))
def make(seed, settings, lift, *, shape, dtype):
    """Instances, one for each setting."""

    def one(key, setting, lift):
        recipe = instances.sample(key, setting, shape)
        recipe = recipe._replace(center=jnp.ldexp(recipe.center, lift))
        return instances.instance(recipe, dtype)

    return jax.vmap(one)(jax.random.split(jax.random.key(seed), len(lift)), settings, lift)


@partial(jax.jit, static_argnames=("steps", "dtype"))
def run(batch, *, steps, dtype):
    """Descend on each instance, as a user would."""

    def one(instance):
        f = instances.objective(instance, dtype)
        start, step_size = (x.astype(dtype) for x in (instance.start, instance.step_size))
        rows = gd.descend(f, start, step_size, steps=steps).history
        _, reverse = jax.vmap(gd.reverse(f))(rows.point)
        return Found(rows.point, rows.value, rows.gradient, reverse)

    return jax.vmap(one)(batch)


# -- their errors ----------------------------------------------------------------------------------


def ratios(batch, found, model):
    """Errors over their bounds, by quantity; in float64 where traced, or in extended precision.

    Shapes (instances, steps + 1), of the quantities of a step (instances, steps).
    """
    leaves, tree = jax.tree.flatten((batch, found))
    batch, found = jax.tree.unflatten(tree, rounding.exact(*leaves))
    features, center, bend, tail, minimum = (leaf[:, None] for leaf in batch.data)
    eta, L, mu = batch.step_size[:, None], batch.smoothness[:, None], batch.strong_convexity[:, None]
    x, length = found.point, eta[..., None]

    def evaluate(x, minimum):
        return rounding.huber(features, center, bend, tail, minimum, x, model)

    def size(x):
        return (x**2).sum(-1) ** 0.5

    at, bare = evaluate(x, minimum), evaluate(x, 0 * minimum)
    now, after = (
        rounding.Evaluation(*(leaf[:, rows] for leaf in bare))
        for rows in (slice(None, -1), slice(1, None))
    )
    stray = rounding.step(now, x[:, :-1], eta, model)
    # The exact run from the same start, and how far from it the rounded one may be.
    true = [x[:, :1]]
    for _ in range(x.shape[1] - 1):
        true.append(true[-1] - length * evaluate(true[-1], minimum).gradient)
    drift = rounding.drift(abs(1 - eta * L).clip(abs(1 - eta * mu))[:, 0], size(stray).T)
    # How far f is above what a step promises, less what these float64 values are off themselves.
    half = eta * (1 - eta * L / 2)
    rise = after.value - now.value + half * (now.gradient**2).sum(-1)
    spare = now.value_error + after.value_error
    spare += 2 * abs(half) * (abs(now.gradient) * now.gradient_error).sum(-1)
    spare *= np.finfo(rise.dtype).eps / 2 / model.unit_roundoff
    return {
        "value": abs(found.value - at.value) / at.value_error,
        "gradient by hand": (abs(found.by_hand - at.gradient) / at.gradient_error).max(-1),
        "gradient in reverse": (abs(found.reverse - at.gradient) / at.gradient_error).max(-1),
        "one step": (abs(x[:, 1:] - x[:, :-1] + length * now.gradient) / stray).max(-1),
        "all steps": sum(size(x[:, k : k + 1] - true[k]) / drift[k][:, None] for k in ()),
        "rise": rise.clip(0) / (rounding.descent_floor(L, eta, now, stray) + spare),
    }
