"""Instances that a generator draws are what they claim to be; the claims, checked exactly."""

from dataclasses import fields, replace
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gdpure.specs import instances
from gdpure.specs.instances import FAMILIES, SHAPES, Setting

COUNT = 48
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
fractions = np.vectorize(lambda x: Fraction(float(x)), otypes=[object])


def batch_first(tree):
    """The axis of instances, which is the last, moved to the front."""
    return jax.tree.map(lambda leaf: np.moveaxis(leaf, -1, 0), tree)


def draw_settings(rng, **fixed):
    """Settings, one for each of a batch, over all of their ranges."""
    spans = {"family": (0, len(FAMILIES)), "scale": (-6, 7), "spread": (0, 11)}
    spans |= {"distance": (-16, 9), "sixteenths": (0, 41)}
    drawn = {name: rng.integers(*span, COUNT) for name, span in spans.items()}
    return Setting(**(drawn | {name: np.full(COUNT, x) for name, x in fixed.items()}))


def draw(shape, dtype, seed=0, step_size=None, **fixed):
    """Settings, recipes and instances, one for each setting, in NumPy arrays."""
    settings = draw_settings(np.random.default_rng(seed), **fixed)
    recipes = instances.sample(np.random.default_rng(seed), settings, shape)
    batch = instances.instance(recipes, dtype, step_size)
    return settings, *batch_first((recipes, batch))


def one_by_one(batch):
    for k in range(len(batch.start)):
        yield jax.tree.map(lambda leaf, k=k: leaf[k], batch)


def of_family(name):
    return {"family": FAMILIES.index(name)}


# -- what is claimed of every instance -------------------------------------------------------------


def positive_semidefinite(matrix):
    """Whether a symmetric matrix of fractions is, by exact elimination."""
    if len(matrix) == 0:
        return True
    pivot, row = matrix[0, 0], matrix[0, 1:]
    if pivot <= 0:
        return pivot == 0 and not row.any() and positive_semidefinite(matrix[1:, 1:])
    return positive_semidefinite(matrix[1:, 1:] - np.outer(row, row) / pivot)


def check_representable(instance, dtype):
    """Every number of a problem is one of the dtype, and large enough not to be flushed to zero."""
    tiny = float(jnp.finfo(dtype).tiny)
    for field in fields(instance):
        x = np.asarray(getattr(instance, field.name))
        assert x.dtype == np.float64 and not np.isnan(x).any()
        assert field.name == "bend" or np.isfinite(x).all()
        if field.name not in ("smoothness", "strong_convexity"):
            assert (x.astype(jnp.dtype(dtype)).astype(np.float64) == x).all()
            assert ((x == 0) | (abs(x) >= tiny)).all()


def check_curvatures(instance):
    """L and mu bound the eigenvalues of ``A'A / n`` exactly, and are near them."""
    A, L, mu = (
        fractions(x) for x in (instance.features, instance.smoothness, instance.strong_convexity)
    )
    gram, one = A.T @ A / len(A), fractions(np.eye(A.shape[1]))
    share = Fraction(1) if np.isinf(instance.bend) else Fraction(float(instance.tail))
    assert positive_semidefinite(one * L - gram)
    assert positive_semidefinite(gram * share - one * mu)
    n, d = instance.features.shape
    steep = np.linalg.svd(instance.features, compute_uv=False) ** 2 / n
    least = steep[-1] if d <= n else 0.0
    near = 100 * d * 2.0**-53 * steep[0]
    assert instance.smoothness <= steep[0] + near
    assert instance.strong_convexity >= float(share) * (least - near)


def check_secants(instance, rng):
    """A second opinion on L and mu: gradients at random points, in extended precision."""
    data = [np.asarray(x, np.longdouble) for x in instance.data]
    far = np.abs(instance.start - instance.center).max() + 1e-3
    points = instance.center + far * rng.normal(size=(8, len(instance.start))) * 4
    points = points.astype(np.longdouble)
    slopes = np.array([instances.gradient(x, data) for x in points])
    dx, dg = np.diff(points, axis=0), np.diff(slopes, axis=0)
    L, mu = np.longdouble(instance.smoothness), np.longdouble(instance.strong_convexity)
    squares = (dx**2).sum(1)
    spare = 2.0**-56 * L * squares
    assert ((dg**2).sum(1) <= L**2 * squares + L * spare).all()
    assert ((dg * dx).sum(1) >= mu * squares - spare).all()


def check_minimizer(instance, rng):
    """The gradient vanishes at the center, exactly, and f is nowhere below its value there."""
    assert not instances.gradient(instance.center, instance.data).any()
    assert instances.value(instance.center, instance.data) == instance.minimum
    for x in instance.center + rng.normal(size=(4, len(instance.center))):
        assert instances.value(x, instance.data) >= instance.minimum


def check_claims(instance, dtype, rng):
    check_representable(instance, dtype)
    check_curvatures(instance)
    check_secants(instance, rng)
    check_minimizer(instance, rng)


@every_shape
@every_dtype
def test_an_instance_from_a_key_is_what_it_claims(shape, dtype):
    rng = np.random.default_rng(1)
    for instance in one_by_one(draw(shape, dtype)[2]):
        check_claims(instance, dtype, rng)


@every_shape
def test_an_instance_of_a_given_step_size_is_what_it_claims(shape):
    rng = np.random.default_rng(2)
    for instance in one_by_one(draw(shape, "float32", step_size=0.3)[2]):
        check_claims(instance, "float32", rng)


@pytest.mark.parametrize(
    "bug",
    [
        lambda i: replace(i, smoothness=i.smoothness * (1 - 1e-12)),
        lambda i: replace(i, smoothness=i.smoothness * (1 + 1e-9)),
        lambda i: replace(i, strong_convexity=i.strong_convexity + 1e-9 * i.smoothness),
        lambda i: replace(i, strong_convexity=-i.smoothness),
        lambda i: replace(i, start=i.start + 1e-9),
        lambda i: replace(i, features=i.features * (1 + 2.0**-40)),
        lambda i: replace(i, tail=np.float64(np.nan)),
    ],
)
def test_a_false_claim_is_seen(bug):
    rng = np.random.default_rng(0)
    for instance in one_by_one(draw(SHAPES[0], "float32", **of_family("tailed"))[2]):
        check_claims(instance, "float32", rng)
        with pytest.raises(AssertionError):
            check_claims(bug(instance), "float32", rng)


def test_numbers_that_are_not_rounded_are_seen(monkeypatch):
    recipes = draw(SHAPES[0], "float32", **of_family("spectrum"))[1]
    monkeypatch.setattr(instances, "rounded", lambda x, dtype: x)
    recipes = jax.tree.map(lambda leaf: np.moveaxis(leaf, 0, -1), recipes)
    [instance, *_] = one_by_one(batch_first(instances.instance(recipes, "float32")))
    with pytest.raises(AssertionError):
        check_representable(instance, "float32")


def test_a_secant_sees_constants_that_are_wrong_by_much():
    rng = np.random.default_rng(0)
    for instance in one_by_one(draw(SHAPES[1], "float64", **of_family("spectrum"))[2]):
        check_secants(instance, rng)
        for wrong in (
            replace(instance, smoothness=instance.smoothness * 0.999),
            replace(instance, strong_convexity=instance.smoothness * 1.001),
        ):
            with pytest.raises(AssertionError):
                check_secants(wrong, rng)


# -- the families ----------------------------------------------------------------------------------


def rank(matrix):
    """The rank of a matrix of fractions, by exact elimination."""
    matrix, found = fractions(matrix), 0
    while matrix.size and matrix.any():
        i, j = np.argwhere(matrix)[0]
        matrix = np.delete(matrix, i, 0) - np.outer(
            np.delete(matrix[:, j], i), matrix[i] / matrix[i, j]
        )
        found += 1
    return found


@every_shape
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_what_its_name_says(name, shape):
    n, d, _ = shape
    settings, recipes, batch = draw(shape, "float32", **of_family(name))
    moved = (batch.start != batch.center).any(axis=1)
    # One start in sixteen is a minimizer.
    assert 0.75 * COUNT <= moved.sum()
    assert (np.isfinite(batch.bend) == (name in ("huber", "tailed")) & recipes.offset.any(1)).all()
    assert ((batch.tail > 0) == (name == "tailed")).all()
    scaled = batch.features * 2.0 ** -settings.scale[:, None, None]
    stretches = np.linalg.svd(scaled / np.sqrt(n), compute_uv=False)
    if name in ("spectrum", "huber", "tailed"):
        assert ((1 - 1e-6 <= stretches[:, 0]) & (stretches[:, 0] < 2 + 1e-6)).all()
    if name in ("spectrum", "huber", "tailed") and min(n, d) > 1:
        spread = stretches[:, 0] / stretches[:, -1]
        np.testing.assert_allclose(spread, 2.0**settings.spread, rtol=1e-3)
    if name == "deficient":
        ranks = [rank(features) for features in batch.features]
        assert d == 1 or max(ranks) < min(n, d) and (batch.strong_convexity == 0).all()
        assert len(set(ranks)) == max(min(n, d) - 1, 1)
    if name == "integers":
        assert (scaled == np.round(scaled)).all() and abs(scaled).max() == 3
        assert (batch.center == np.round(batch.center)).all()
        # In float32: not every platform has powers of two that are exact in float64.
        start = (recipes.center + recipes.offset).astype(np.float32)
        assert (batch.start == start).all()
    if name == "pool":
        assert np.isin(scaled, instances._POOL.astype(np.float32)).all()
        assert np.isin(batch.center, instances._POOL.astype(np.float32)).all()
    if name == "tailed":
        assert np.isin(batch.tail, 2.0 ** -np.arange(1, 9)).all() and len(set(batch.tail)) > 3
    if name in ("huber", "tailed"):
        reach = abs((batch.features * (batch.start - batch.center)[:, None]).sum(-1)).max(-1)
        bent = np.isfinite(batch.bend)
        assert (batch.bend <= reach * (1 + 1e-6))[bent & (settings.distance > -8)].all()


def test_a_family_without_its_property_is_seen():
    """Rank is exact: one that is only nearly deficient is not."""
    features = draw(SHAPES[0], "float32", **of_family("deficient"))[2].features[0]
    assert rank(features) == 1
    assert rank(features * (1 + 2.0**-40 * np.eye(*features.shape))) == 2


@every_shape
@every_dtype
@pytest.mark.parametrize("step_size", [None, 0.25])
def test_the_step_is_the_fraction_that_is_asked_for(shape, dtype, step_size):
    settings, recipes, batch = draw(shape, dtype, seed=3, step_size=step_size)
    wanted = np.where(settings.sixteenths > 0, settings.sixteenths / 16, recipes.fraction)
    assert (recipes.fraction == wanted).all() and (0 < wanted).all() and (wanted <= 2.5).all()
    if step_size is not None:
        assert (batch.step_size == step_size).all()
    # Features of u relative error, twice in L; of an entry of many, L knows more than of one.
    u = float(jnp.finfo(dtype).eps) / 2
    spare = 4 * u + 1e-13
    np.testing.assert_allclose(batch.step_size * batch.smoothness, wanted, rtol=spare * shape.d)


# -- drawing ---------------------------------------------------------------------------------------


def test_settings_fill_their_ranges():
    drawn = instances.draw_settings(np.random.default_rng(0), 2048)
    assert set(drawn.family) == set(range(len(FAMILIES)))
    for numbers, (low, high) in zip(drawn, instances.RANGES, strict=True):
        assert numbers.shape == (2048,)
        assert (numbers.min(), numbers.max()) == (low, high) and (numbers == 0).mean() > 1 / 32


@every_shape
def test_seeds_tell_samples_apart_and_nothing_else_does(shape):
    def sample(seed):
        return draw(shape, "float32", seed, **of_family("huber"))[1]

    first, again, other = sample(0), sample(0), sample(1)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, first, again)))
    assert len(np.unique(first.features, axis=0)) > 1 or shape.d == 1
    for name in ("center", "offset", "probe", "bend"):
        assert len(np.unique(getattr(first, name), axis=0)) >= 0.75 * COUNT
        assert not np.array_equal(getattr(first, name), getattr(other, name))


def test_drawing_compiles_nothing(compilations):
    with compilations() as compiled:
        draw(SHAPES[0], "float32")
    assert compiled() == 0
