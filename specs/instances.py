"""Instances: problems with known constants, one or a batch of them.

All of them are one function with different numbers,

    f(x) = f* + mean_i phi(a_i (x - c)),        phi(t) = t^2 / 2 up to |t| = bend, and beyond
                                                straight but for the curvature `tail`:

least squares while the bend is infinite, Huber's function otherwise, the extremal function of
convex descent. c is a minimizer, f* the minimum, exactly. Every number is held in float64 and
representable in the dtype of the run, so that the run and its judge see the same problem.

What is random is a `Recipe`. Hypothesis, in `problems`, and a generator of NumPy draw different
recipes; `instance` makes all. A batch of instances is one whose leaves have a further axis, the
last: what is a number of one problem broadcasts with its points.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd
from gdpure import trees

from . import rounding
from .balls import library


class Shape(NamedTuple):
    """The shape of an instance: rows, parameters, steps. Few: a subject is compiled for each."""

    n: int
    d: int
    steps: int


# 15 is one less than a power of two, as silver steps are counted.
SHAPES = (Shape(4, 2, 8), Shape(1, 1, 15), Shape(4, 5, 5))


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
    tolerance
        Shape (): where a method that stops may stop, in units of the gradient.
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
    tolerance: Any

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


def _times(matrix, vector):
    """Return a product as sums of products, which no accelerator rounds to fewer digits."""
    on_host = isinstance(matrix, np.ndarray) and isinstance(vector, np.ndarray)
    return matrix @ vector if on_host else (matrix * vector[None, :]).sum(axis=-1)


def _slopes(x, data):
    features, center, bend, tail, _ = data
    t = _times(features, x - center)
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
    return _times(features.T, bounded + beyond) / len(features)


def minibatches(n: int) -> np.ndarray:
    """Return all mini-batches of half of n examples, at least one: indices (count, size)."""
    return np.array(list(itertools.combinations(range(n), max(n // 2, 1))))


def objective(instance: Instance, dtype) -> gd.Objective:
    """Return the function of an instance as a finite sum, its data in the dtype."""
    data = jax.tree.map(lambda leaf: leaf.astype(dtype), instance.data)
    return gd.Objective(value, data, gradient, axes=(0, None, None, None, None))


def example(shape: Shape = SHAPES[0]) -> Instance:
    """Return an instance of a shape in float32, as any other: to trace what is run on it."""
    one, zero = np.ones(shape.d), np.zeros(shape.d)
    features = np.ones(shape[:2])
    numbers = Instance(features, zero, np.inf, 0, 0, one, 0.125, zero, shape.d, 0, 1)
    return jax.tree.map(np.float32, numbers)


# -- batches ---------------------------------------------------------------------------------------


def as_batch(instances) -> Instance:
    """Return instances of one shape as a batch."""
    return jax.tree.map(lambda *leaves: np.stack(leaves, -1), *instances)


def one_of(batch, k: int):
    """Return the k-th of a batch."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[..., k], batch)


# -- from numbers to an instance -------------------------------------------------------------------


def rounded(x, dtype):
    """Return float64 numbers rounded to a dtype; compilers leave out casts there and back."""
    if library(x) is np:
        return np.asarray(x).astype(jnp.dtype(dtype)).astype(np.float64)
    kind = jnp.finfo(dtype)
    return jax.lax.reduce_precision(x, kind.nexp, kind.nmant)


def curvatures(features):
    """Return bounds (least, greatest) of the eigenvalues of ``A'A / n``, (B,) of a batch (n, d, B).

    Rounding moves the entries by (n + 1) u of those of ``|A|'|A| / n``, whose eigenvalues sum up to
    the same trace, and a symmetric eigenvalue solver moves eigenvalues by a few d u of the largest;
    16 (d - 1) u is allowed. A single number of 26 bits, as those of float32 are, has a square.
    """
    xp, (n, d) = library(features), features.shape[:2]
    gram = xp.einsum("ni...,nj...->...ij", features, features) / n
    eigenvalues = xp.linalg.eigvalsh(gram) if d > 1 else gram[..., 0]
    least, greatest = eigenvalues[..., 0], eigenvalues[..., -1]
    u = rounding.unit_roundoff(np.float64)
    spare = (n + 2) * u * xp.trace(gram, axis1=-2, axis2=-1) + 16 * (d - 1) * u * greatest
    if n == d == 1:
        spare = xp.where(features[0, 0] == rounded(features[0, 0], np.float32), 0, spare)
    return xp.maximum(least - spare, 0), greatest + spare


def instance(recipe: Recipe, dtype, step_size=None) -> Instance:
    """Return the instance of a recipe, or a batch of them, its numbers rounded to a dtype.

    Parameters
    ----------
    recipe, dtype
        The raw numbers, and the dtype of the run.
    step_size
        eta, where the subject has one of its own: the function is then scaled to it, so that
        ``eta L`` is the fraction that the recipe asks for.
    """
    recipe = Recipe(*(np.asarray(x, np.float64) for x in recipe))

    def keep(x):
        return rounded(x, dtype)

    features = keep(recipe.features)
    if step_size is not None:
        steep = curvatures(features)[1]
        wanted = np.where(
            steep > 0, recipe.fraction / (step_size * np.where(steep > 0, steep, 1)), 1
        )
        features = keep(features * np.sqrt(wanted))
    least, greatest = curvatures(features)
    steps = recipe.fraction / np.where(greatest > 0, greatest, 1)
    center, tail = keep(recipe.center), keep(recipe.tail)
    return Instance(
        features,
        center,
        keep(recipe.bend),
        tail,
        keep(recipe.minimum),
        keep(center + recipe.offset),
        keep(steps if step_size is None else np.broadcast_to(step_size, steps.shape)),
        keep(center + recipe.probe),
        greatest,
        np.where(np.isinf(recipe.bend), 1, tail) * least,
        keep(greatest * abs(recipe.offset).max(axis=0) / 8),
    )


# -- at random -------------------------------------------------------------------------------------

FAMILIES = ("spectrum", "deficient", "integers", "pool", "huber", "tailed")

# Numbers at which floating-point arithmetic goes wrong first: neighbours of 1, full mantissas,
# repeated values, fractions without end, scales apart.
_POOL = np.array(
    [1, 1 + 2.0**-23, 1 - 2.0**-24, (2**24 - 1) / 2.0**23, 1 / 3, 0.1, -1, -1 / 3, 1e-3, 3e2, 0, 1]
)


class Setting(NamedTuple):
    """What a random instance is like: small numbers, (B,) each.

    Attributes
    ----------
    family
        An index into `FAMILIES`.
    scale, spread, distance
        Powers of two: of the features, from the largest singular value to the least, of the way
        from the minimizer to the start.
    sixteenths
        h in sixteenths; 0 lets every instance have its own, in (0, 2).
    """

    family: Any
    scale: Any
    spread: Any
    distance: Any
    sixteenths: Any


# The least and the greatest of each.
RANGES = Setting((0, len(FAMILIES) - 1), (-6, 6), (0, 10), (-16, 8), (0, 40))


def draw_settings(rng, count: int) -> Setting:
    """Return random settings, (count,) each; one number in eight is 0, or an end of its range."""
    low, high = np.transpose(RANGES)
    drawn = rng.integers(low, high, (count, len(RANGES)), endpoint=True)
    place = rng.integers(24, size=drawn.shape)
    ends = np.stack([low, 0 * low, high])[place % 3, np.arange(len(RANGES))]
    return Setting(*np.where(place < 3, ends, drawn).T)


def sample(rng, setting: Setting, shape: Shape) -> Recipe:
    """Return a batch of random recipes, one for each of the settings, (B,) each."""
    n, d, _ = shape
    count, rank = len(setting.family), min(n, d)
    entries = (n + 3) * d
    block = rng.random((entries + n + d + 9, count))
    uniform, axes = block[:entries].reshape(n + 3, d, count), 2 * block[entries:-9] - 1
    kept, mantissa, lift, moved, bend, tail, raised, level, own = block[-9:]

    def integers(u, low, high):
        return low + np.floor((high - low + 1) * u).astype(int)

    def two_to(x):
        # By exact operations, which no processor rounds in its own way: straight between powers.
        whole = np.floor(x)
        return np.ldexp(1 + (x - whole), whole.astype(int))

    def is_(family):
        return setting.family == FAMILIES.index(family)

    # A geometric spectrum, reflected on either side; or some of its columns, repeated in halves.
    places = (np.minimum(np.arange(n), rank - 1) / max(rank - 1, 1))[:, None]
    ladder = two_to(mantissa - setting.spread * places) * math.sqrt(n)

    def reflected(matrix, axis):
        along = (axis[:, None] * matrix).sum(axis=0) * (2 / (axis**2).sum(axis=0))
        return matrix - axis[:, None] * along

    turned = reflected(ladder[:, None] * np.eye(n, d)[..., None], axes[:n])
    rotated = reflected(turned.swapaxes(0, 1), axes[n:]).swapaxes(0, 1)
    columns = np.arange(d)[:, None]
    kept = np.where(is_("deficient"), integers(kept, 1, max(rank - 1, 1)), d)
    rotated = np.take_along_axis(rotated, (columns % kept)[None], axis=1)
    rotated = rotated * two_to(-(columns // kept))

    # Rows of features, then the center, and the ways from there to the start and to the probe.
    counted = integers(uniform, -3, 3).astype(float)
    pooled = _POOL[integers(uniform, 0, len(_POOL) - 1)]
    lifted = two_to(integers(lift, -4, 4) * np.array([[[1]], [[0]], [[0]]]))
    drawn = np.concatenate([rotated, (4 * uniform[n:] - 2) * lifted])
    rows = np.where(is_("integers"), counted, np.where(is_("pool"), pooled, drawn))
    features, center, offset, probe = rows[:n], *rows[n:]
    features[0, 0] = np.where((features != 0).any(axis=(0, 1)), features[0, 0], 1)
    features = features * two_to(setting.scale)
    # One start in sixteen is a minimizer.
    offset = offset * np.where(moved < 1 / 16, 0, two_to(setting.distance))
    reach = abs((features * offset).sum(axis=1)).max(axis=0)
    bent = (is_("huber") | is_("tailed")) & (reach > 0)
    return Recipe(
        features,
        center,
        np.where(bent, reach * two_to(-6 * bend), np.inf),
        np.where(is_("tailed"), two_to(-integers(tail, 1, 8)), 0),
        np.where(raised < 1 / 4, integers(level, -8, 8), 0).astype(float),
        offset,
        probe * two_to(setting.distance),
        np.where(setting.sixteenths > 0, setting.sixteenths / 16, 2.0**-6 + (2 - 2.0**-6) * own),
    )
