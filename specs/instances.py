"""Instances: problems with known constants, from hypothesis or from a random key.

All of them are one function with different numbers,

    f(x) = f* + mean_i phi(a_i (x - c)),        phi(t) = t^2 / 2 up to |t| = bend, and beyond
                                                straight but for the curvature `tail`:

least squares while the bend is infinite, Huber's function otherwise, the extremal function of
convex descent. c is a minimizer, f* the minimum, exactly. Every number is held in float64 and
representable in the dtype of the run, so that the run and its judge see the same problem.

What is random is a `Recipe`. Hypothesis and a key draw different recipes; `instance` makes all.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

import gdpure as gd
from gdpure import trees
from gdpure.specs import rounding


class Shape(NamedTuple):
    """The shape of an instance: rows, parameters, steps. Few, as each is compiled for itself."""

    n: int
    d: int
    steps: int


SHAPES = (Shape(4, 2, 8), Shape(1, 1, 16), Shape(4, 5, 5))


@trees.pytree
class Instance:
    """A problem, where its run begins, and what is claimed about it.

    Attributes
    ----------
    features, center, bend, tail, minimum
        The function: shapes (n, d), (d,), (), (), (). `bend` may be infinite, `tail` in [0, 1].
    start, step_size
        Shapes (d,), (): where the run begins, and eta.
    probe
        Shape (d,): any point, for theorems that hold for all of them.
    smoothness, strong_convexity
        L and mu: true of the function, not always the best.
    """

    features: Any
    center: Any
    bend: Any
    tail: Any
    minimum: Any
    start: Any
    step_size: Any
    probe: Any
    smoothness: Any
    strong_convexity: Any

    @property
    def data(self):
        """The numbers of the function, as `objective` takes them."""
        return self.features, self.center, self.bend, self.tail, self.minimum


class Recipe(NamedTuple):
    """What is random about an instance: raw numbers, not yet rounded to the dtype of the run.

    `fraction` is h, the step size in units of 1/L. The start and the probe lie at `center` plus
    their offsets.
    """

    features: Any
    center: Any
    bend: Any
    tail: Any
    minimum: Any
    offset: Any
    probe: Any
    fraction: Any


# -- the function ----------------------------------------------------------------------------------


def _slopes(x, data):
    features, center, bend, tail, _ = data
    r = x - center
    # Sums of products, not a matrix product: no accelerator rounds them to fewer digits.
    t = (features * r[None, :]).sum(axis=-1)
    bounded = t.clip(-bend, bend)
    return t, bounded, tail * (t - bounded)


def value(x, data):
    """Return f(x), in the dtype of its arguments; for NumPy and JAX arrays alike."""
    features, _, _, _, minimum = data
    t, bounded, beyond = _slopes(x, data)
    terms = bounded * (t - bounded / 2) + beyond * (t - bounded) / 2
    return minimum + terms.sum() / len(features)


def gradient(x, data):
    """Return the gradient of f, in the dtype of its arguments; for NumPy and JAX arrays alike."""
    features = data[0]
    _, bounded, beyond = _slopes(x, data)
    return (features * (bounded + beyond)[:, None]).sum(axis=0) / len(features)


def objective(instance: Instance, dtype) -> gd.Objective:
    """Return the function of an instance as a finite sum, its data in the dtype."""
    data = jax.tree.map(lambda leaf: leaf.astype(dtype), instance.data)
    return gd.Objective(value, data, gradient, axes=(0, None, None, None, None))


# -- from numbers to an instance -------------------------------------------------------------------


def curvatures(features):
    """Return bounds (least, greatest) of the eigenvalues of ``A'A / n``, float64.

    A symmetric eigenvalue solver moves eigenvalues by a few d u of the largest; 16 (d - 1) u is
    allowed, and nothing for a single number.
    """
    n, d = features.shape
    gram = features.T @ features / n
    eigenvalues = jnp.linalg.eigvalsh(gram) if d > 1 else gram[0]
    spare = 16 * (d - 1) * rounding.unit_roundoff(jnp.float64) * eigenvalues[-1]
    return jnp.maximum(eigenvalues[0] - spare, 0), eigenvalues[-1] + spare


def instance(recipe: Recipe, dtype, step_size=None) -> Instance:
    """Return the instance of a recipe, its numbers rounded to a dtype; to be run in float64.

    Parameters
    ----------
    recipe, dtype
        The raw numbers, and the dtype of the run.
    step_size
        eta, where the subject has one of its own: the function is then scaled to it, so that
        ``eta L`` is the fraction that the recipe asks for.
    """
    recipe = Recipe(*(jnp.asarray(x, jnp.float64) for x in recipe))

    def rounded(x):
        return x.astype(dtype).astype(jnp.float64)

    features = rounded(recipe.features)
    if step_size is not None:
        steep = curvatures(features)[1]
        wanted = jnp.where(steep > 0, recipe.fraction / (step_size * steep), 1)
        features = rounded(features * jnp.sqrt(wanted))
    least, greatest = curvatures(features)
    steps = recipe.fraction / jnp.where(greatest > 0, greatest, 1)
    center, tail = rounded(recipe.center), rounded(recipe.tail)
    return Instance(
        features,
        center,
        rounded(recipe.bend),
        tail,
        rounded(recipe.minimum),
        rounded(center + recipe.offset),
        rounded(steps if step_size is None else jnp.asarray(step_size, jnp.float64)),
        rounded(center + recipe.probe),
        greatest,
        jnp.where(jnp.isinf(recipe.bend), 1, tail) * least,
    )


# -- from a key ------------------------------------------------------------------------------------

FAMILIES = ("spectrum", "deficient", "integers", "pool", "huber", "tailed")

# Numbers at which floating-point arithmetic goes wrong first: neighbours of 1, full mantissas,
# repeated values, fractions without end, scales apart.
_POOL = np.array(
    [1, 1 + 2.0**-23, 1 - 2.0**-24, (2**24 - 1) / 2.0**23, 1 / 3, 0.1, -1, -1 / 3, 1e-3, 3e2, 0, 1]
)


class Setting(NamedTuple):
    """What a batch of instances has in common: small numbers, which hypothesis draws.

    Attributes
    ----------
    family
        An index into `FAMILIES`.
    scale, spread, distance
        Powers of two: of the features, from the largest singular value to the least, of the way
        from the minimizer to the start.
    sixteenths
        h in sixteenths; 0 lets every instance have its own, in (0, 2).
    seed
        Of everything else.
    """

    family: Any
    scale: Any
    spread: Any
    distance: Any
    sixteenths: Any
    seed: Any


def settings(most_sixteenths=40):
    """Return the strategy of settings."""
    return st.builds(
        Setting,
        family=st.integers(0, len(FAMILIES) - 1),
        scale=st.integers(-6, 6),
        spread=st.integers(0, 10),
        distance=st.integers(-16, 8),
        sixteenths=st.integers(0, most_sixteenths),
        seed=st.integers(0, 2**31 - 1),
    )


def sample(key, setting: Setting, shape: Shape) -> Recipe:
    """Return a random recipe; pure, and mapped over keys."""
    n, d, _ = shape
    keys = iter(jax.random.split(key, 24))
    f64 = jnp.float64

    def normal(*shape):
        return jax.random.normal(next(keys), shape, f64)

    def integers(low, high, *shape):
        return jax.random.randint(next(keys), shape, low, high + 1).astype(f64)

    def is_one_of(*names):
        return jnp.isin(setting.family, np.array([FAMILIES.index(name) for name in names]))

    # A random rotation on either side of a geometric spectrum.
    rank = min(n, d)
    left, right = (jnp.linalg.qr(normal(m, m))[0] for m in (n, d))
    ladder = jnp.exp2(-jnp.asarray(setting.spread, f64) * jnp.linspace(0, 1, max(rank, 2))[:rank])
    kept = (jnp.arange(rank, dtype=f64) < integers(1, rank)) | ~is_one_of("deficient")
    rotated = left[:, :rank] @ ((ladder * kept.astype(f64))[:, None] * right[:, :rank].T)
    rotated *= np.sqrt(n)
    pooled = jnp.asarray(_POOL)[jax.random.randint(next(keys), (n, d), 0, len(_POOL))]
    counted = integers(-3, 3, n, d)
    features = jnp.where(
        is_one_of("integers"), counted, jnp.where(is_one_of("pool"), pooled, rotated)
    )
    features = features.at[0, 0].set(jnp.where(jnp.any(features != 0), features[0, 0], 1))
    features *= jnp.exp2(jnp.asarray(setting.scale, f64))

    exact = is_one_of("integers")
    far = jnp.exp2(jnp.asarray(setting.distance, f64))
    center = jnp.where(exact, integers(-3, 3, d), normal(d) * jnp.exp2(integers(-4, 4)))
    offset = jnp.where(exact, integers(-3, 3, d), normal(d)) * far
    # One start in sixteen is a minimizer.
    offset *= (integers(0, 15) > 0).astype(f64)
    probe = jnp.where(exact, integers(-3, 3, d), normal(d)) * far
    reach = jnp.max(jnp.abs(features @ offset))
    bend = reach * jnp.exp2(-6 * jax.random.uniform(next(keys), (), f64))
    bent = is_one_of("huber", "tailed") & (reach > 0)
    own = jax.random.uniform(next(keys), (), f64, 2.0**-6, 2.0)
    return Recipe(
        features,
        center,
        jnp.where(bent, bend, jnp.inf),
        jnp.where(is_one_of("tailed"), jnp.exp2(-integers(1, 8)), 0.0),
        jnp.where(integers(0, 3) > 0, 0.0, integers(-8, 8)),
        offset,
        probe,
        jnp.where(setting.sixteenths > 0, jnp.asarray(setting.sixteenths, f64) / 16, own),
    )


# -- from hypothesis -------------------------------------------------------------------------------


@st.composite
def recipes(draw, shape: Shape = SHAPES[0], most_sixteenths=32):
    """Return the strategy of recipes of small integers times powers of two, which shrink to 0."""
    n, d, _ = shape
    whole = st.integers(-4, 4)
    two = st.integers(-6, 6).map(lambda k: 2.0**k)

    def row(m, scale):
        return np.array(draw(st.lists(whole, min_size=m, max_size=m)), float) * scale

    scale, far = draw(two), draw(two)
    features = row(n * d, scale).reshape(n, d)
    offset = row(d, far)
    reach = np.abs(features @ offset).max()
    bent = draw(st.booleans()) and reach > 0
    return Recipe(
        features,
        row(d, 1.0),
        reach * 2.0 ** -draw(st.integers(0, 6)) if bent else np.inf,
        draw(st.sampled_from([0.0, 0.5, 0.125])) if bent else 0.0,
        float(draw(whole)),
        offset,
        row(d, far),
        draw(st.integers(1, most_sixteenths)) / 16,
    )
