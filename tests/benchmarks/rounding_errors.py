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
    """What runs found at their points, leading axes (instances, steps + 1)."""

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
    ranges = (0, len(FAMILIES) - 1), scale, (0, 10), distance, (0, 40), (0, 0), lift
    *setting, lift = (
        rng.integers(*span, BATCH["float32"], np.int32, endpoint=True) for span in ranges
    )
    return Setting(*setting), lift


@partial(jax.jit, static_argnames="shape")
def draw(seed, settings, lift, *, shape):
    """Recipes, one for each setting."""

    def one(key, setting, lift):
        recipe = instances.sample(key, setting, shape)
        return recipe._replace(center=jnp.ldexp(recipe.center, lift))

    return jax.vmap(one)(jax.random.split(jax.random.key(seed), len(lift)), settings, lift)


@partial(jax.jit, static_argnames="dtype")
def make(recipes, *, dtype):
    """Instances, one for each recipe."""
    return jax.vmap(partial(instances.instance, dtype=dtype))(recipes)


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
    constants = batch.step_size, batch.smoothness, batch.strong_convexity
    eta, L, mu = (leaf[:, None] for leaf in constants)
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
    apart = size(x - (jnp if rounding.traced(x) else np).concatenate(true, 1))
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
        "all steps": apart[:, 1:] / drift.T[:, 1:],
        "rise": rise.clip(0) / (rounding.descent_floor(L, eta, now, stray) + spare),
    }


_ratios = jax.jit(ratios)


def measure(regime, dtype, shape, seed=0, model=None, plant=lambda batch, found: found):
    """Return the `ratios` of one batch; `plant` may put a bug into what the runs found."""
    model = rounding.arithmetic(dtype) if model is None else model
    with jax.enable_x64(True):
        recipes = draw(seed, *draw_settings(regime, dtype, seed), shape=shape)
        recipes = jax.tree.map(lambda leaf: np.asarray(leaf)[: BATCH[dtype]], recipes)
        batch = make(recipes, dtype=dtype)
        found = plant(batch, run(batch, steps=shape.steps, dtype=dtype))
        judge = _ratios if dtype == "float32" else ratios
        return {name: np.asarray(ratio) for name, ratio in judge(batch, found, model).items()}


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
