"""Functions of few numbers, computed number by number, are the functions that they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gdpure import coordinates

X = jnp.arange(1.0, 7.0).reshape(2, 3)
FUNCTIONS = {
    "moves": lambda x: (x.T[::-1], x.ravel()[1::2], jnp.concatenate([x, x[:1]]), x[:, None, 1]),
    "gradient of slices": jax.grad(lambda x: (x[:, ::2] ** 3).sum() * x[1, 1]),
    "reductions": lambda x: (x.sum(), x.sum(0), x.max(1), x.prod(), (x > 2).all(1), (x > 5).any()),
    "calls": lambda x: jax.jit(jax.nn.softplus)(x) + jax.checkpoint(jnp.sin)(x),
    "selections": lambda x: jnp.where(x > 3, x, jnp.clip(x, 2, 2.5)),
    "closure": lambda x: (x.astype(X.dtype) - X, x.astype(jnp.bfloat16)),
    "numbers and none": lambda x: {"a": x[0, 0], "b": None, "c": 3.0 + x[:, 1]},
}


# A dtype of its own is kept by sums, by slopes, and beside numbers and arrays of another.
OTHERS = {
    "bfloat16": ("reductions", "gradient of slices", "numbers and none"),
    "float64": ("closure", "numbers and none"),
}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, "float32") for name in FUNCTIONS),
        *((name, dtype) for dtype, names in OTHERS.items() for name in names),
    ],
)
def test_a_function_of_split_arrays_is_the_function(name, dtype):
    with jax.enable_x64(dtype == "float64"):
        f, x = FUNCTIONS[name], X.astype(dtype) / 8 + 2

        @jax.jit
        def by_coordinate(x):
            (g,) = coordinates.of((f, x))
            return coordinates.joined(g(coordinates.split(x)), jax.eval_shape(f, x))

        wanted, found = f(x), by_coordinate(x)
    assert jax.tree.structure(wanted) == jax.tree.structure(found)
    for a, b in zip(jax.tree.leaves(wanted), jax.tree.leaves(found), strict=True):
        # Of some operations: a few units in the last place.
        unit = float(jnp.finfo(a.dtype).eps) if jnp.issubdtype(a.dtype, jnp.floating) else 0
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_allclose(np.float64(a), np.float64(b), rtol=8 * unit)


REFUSED = {
    "sort": (jnp.sort, X),
    "product": (lambda x: x @ x.T, X),
    "loop": (lambda x: jax.lax.fori_loop(0, 3, lambda _, x: 2 * x, x), X),
    "large": (lambda x: x + 1, jnp.ones(17)),
    "long": (lambda x: [x * k for k in range(1, 99)], X),
    "effects": (lambda x: [jax.debug.print("{}", x), x][1], X),
    "nothing": (lambda x: x + 1, jnp.ones((0, 2))),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_arithmetic_on_few_numbers_is_none(name):
    assert coordinates.of(REFUSED[name]) is None
    assert coordinates.of((lambda x: x + 1, X), REFUSED[name]) is None
