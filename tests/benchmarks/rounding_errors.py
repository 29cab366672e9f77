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
# How many of a batch are run. float64 has no digits to spare for a judge of float64, which is slow.
BATCH = {"float32": 2**14, "float64": 2**10}


class Found(NamedTuple):
    """What runs found at their points: the rows come first, the instances last."""

    point: np.ndarray
    value: np.ndarray
    by_hand: np.ndarray
    reverse: np.ndarray


# -- runs ------------------------------------------------------------------------------------------


def draw_settings(regime, dtype, seed):
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
    ranges = (0, len(FAMILIES) - 1), scale, (0, 10), distance, (0, 40), lift
    *setting, lift = (rng.integers(*span, BATCH["float32"], endpoint=True) for span in ranges)
    return Setting(*setting), lift


def draw(seed, settings, lift, *, shape):
    """Recipes, one for each setting."""
    recipe = instances.sample(np.random.default_rng(seed), settings, shape)
    return recipe._replace(center=np.ldexp(recipe.center, lift))


def run(batch, *, steps, dtype):
    """Descend on each instance, as a user would."""
    with jax.enable_x64(True):
        problems = jax.tree.map(lambda leaf: np.moveaxis(leaf, -1, 0), batch)
        found = jax.device_get(_run(problems, steps=steps, dtype=dtype))
    return jax.tree.map(lambda leaf: np.moveaxis(leaf, 0, -1), found)


@partial(jax.jit, static_argnames=("steps", "dtype"))
def _run(problems, *, steps, dtype):
    def one(instance):
        f = instances.objective(instance, dtype)
        start, step_size = (x.astype(dtype) for x in (instance.start, instance.step_size))
        rows = gd.descend(f, start, step_size, steps=steps).history
        _, reverse = jax.vmap(gd.reverse(f))(rows.point)
        return Found(rows.point, rows.value, rows.gradient, reverse)

    return jax.vmap(one)(problems)


# -- their errors ----------------------------------------------------------------------------------


def ratios(batch, found, model):
    """Errors over their bounds, by quantity, in the precision of the numbers that are given.

    Shapes (steps + 1, instances), of the quantities of a step (steps, instances).
    """
    features, center, bend, tail, minimum = batch.data
    eta, L, mu = batch.step_size, batch.smoothness, batch.strong_convexity
    x = found.point

    def evaluate(x, minimum):
        return rounding.huber_as_given(features, center, bend, tail, minimum, x, model)

    def size(x):
        return (x**2).sum(1) ** 0.5

    at, bare = evaluate(x, minimum), evaluate(x, 0 * minimum)
    now, after = (
        rounding.Evaluation(*(leaf[rows] for leaf in bare))
        for rows in (slice(None, -1), slice(1, None))
    )
    stray = rounding.step_as_given(now, x[:-1], eta, model)
    # The exact run from the same start, and how far from it the rounded one may be.
    true = [x[0]]
    for _ in x[1:]:
        true.append(true[-1] - eta * evaluate(true[-1], minimum).gradient)
    apart = size(x - np.stack(true))
    drift = rounding.drift_as_given(np.maximum(abs(1 - eta * L), abs(1 - eta * mu)), size(stray))
    # How far f is above what a step promises, less what these values are off themselves.
    h, e = eta * L, size(stray)
    half = eta * (1 - h / 2)
    rise = after.value - now.value + half * (now.gradient**2).sum(1)
    spare = now.value_error + after.value_error
    spare += 2 * abs(half) * (abs(now.gradient) * now.gradient_error).sum(1)
    spare *= np.finfo(rise.dtype).eps / 2 / model.unit_roundoff
    floor = abs(1 - h) * size(now.gradient) * e + L * e**2 / 2
    return {
        "value": over(found.value - at.value, at.value_error),
        "gradient by hand": over(found.by_hand - at.gradient, at.gradient_error).max(1),
        "gradient in reverse": over(found.reverse - at.gradient, at.gradient_error).max(1),
        "one step": over(x[1:] - x[:-1] + eta * now.gradient, stray).max(1),
        "all steps": over(apart[1:], drift[1:]),
        "rise": over(rise.clip(0), floor + spare),
    }


def over(error, bound):
    """Return errors as fractions of their bounds; no error is within any bound, one of 0, too."""
    return np.divide(abs(error), bound, out=np.where(error == 0, 0, np.inf), where=bound > 0)


def measure(regime, dtype, shape, seed=0, model=None, plant=lambda batch, found: found):
    """Return the `ratios` of one batch; `plant` may put a bug into what the runs found."""
    model = rounding.arithmetic(dtype) if model is None else model
    recipes = draw(seed, *draw_settings(regime, dtype, seed), shape=shape)
    recipes = jax.tree.map(lambda leaf: leaf[..., : BATCH[dtype]], recipes)
    batch = instances.instance(recipes, dtype)
    found = plant(batch, run(batch, steps=shape.steps, dtype=dtype))
    # float64 has no digits to spare for a judge of float64.
    judge = np.longdouble if dtype == "float64" else np.float64
    batch, found = jax.tree.map(lambda leaf: np.asarray(leaf).astype(judge), (batch, found))
    return ratios(batch, found, model)


def collect(regimes, dtype, rounds=1):
    """Return the `ratios` of many batches of every shape, one flat array for each quantity."""
    parts = [
        measure(regime, dtype, shape, seed)
        for seed in range(rounds)
        for regime in regimes
        for shape in SHAPES
    ]
    return {name: np.concatenate([part[name].ravel() for part in parts]) for name in parts[0]}


def median(ratio):
    """Return the median of the errors that are not zero."""
    return float(np.median(ratio[ratio > 0]))


def table(rounds):
    """Yield dtype, quantity, number of errors, median, largest, largest near the least normal."""
    for dtype in BATCH:
        usual, edges = collect([USUAL], dtype, rounds), collect(EDGES, dtype)
        for name in sorted(usual):
            ratio, near = usual[name], edges[name]
            yield dtype, name, ratio.size + near.size, median(ratio), ratio.max(), near.max()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="20: a million instances")
    began, rounds = time.perf_counter(), parser.parse_args().rounds
    print("error / bound                    errors   median  largest  near the least normal number")
    for dtype, name, count, *fractions in table(rounds):
        print(f"{dtype} {name:<19} {count:12,}  " + "  ".join(f"{x:7.4f}" for x in fractions))
    print(f"{time.perf_counter() - began:.0f} s; medians are of the errors that are not zero")


if __name__ == "__main__":
    main()
