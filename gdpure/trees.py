"""Arithmetic of trees: the parameters as one vector, each leaf in its own dtype.

Steps are computed in the finest dtype of the parameters, float32 at least, and rounded once to the
dtype of the leaf, so that bfloat16 parameters step as well as they can.
"""

import jax
import jax.numpy as jnp
import numpy as np


def precision(tree):
    """Return the dtype of the steps: the finest dtype of the parameters, at least float32."""
    dtypes = [jax.dtypes.canonicalize_dtype(x.dtype) for x in jax.tree.leaves(tree)]
    return max([np.dtype(np.float32), *dtypes], key=lambda dtype: jnp.finfo(dtype).bits)


def number(x, tree):
    """Return a number in the precision of the steps of a tree."""
    return jnp.asarray(x).astype(precision(tree))


def scaled(factor, tree):
    """Return ``factor * tree``: products in the precision of the factor, results in the leaf's."""
    return jax.tree.map(lambda x: (factor * x.astype(factor.dtype)).astype(x.dtype), tree)


def plus(tree, other):
    """Return the sum, in the dtypes of the first tree."""
    return jax.tree.map(lambda x, y: x + y.astype(x.dtype), tree, other)


def minus(tree, other):
    """Return the difference, in the dtypes of the first tree."""
    return jax.tree.map(lambda x, y: x - y.astype(x.dtype), tree, other)


def dot(tree, other):
    """Return the inner product of two trees, in the precision of the steps of the first."""
    dtype = precision(tree)
    products = jax.tree.map(lambda x, y: jnp.sum(x.astype(dtype) * y.astype(dtype)), tree, other)
    return sum(jax.tree.leaves(products))


def unit(tree):
    """Return a tree over its largest entry, whose squares stay in range, and that entry."""
    dtype = precision(tree)
    size = jnp.stack([jnp.max(jnp.abs(x)).astype(dtype) for x in jax.tree.leaves(tree)]).max()
    safe = jnp.where(size > 0, size, 1)
    return jax.tree.map(lambda x: x.astype(dtype) / safe, tree), size


def ratio(numerator, denominator, otherwise):
    """Return ``numerator / denominator``, or `otherwise` where the denominator is not positive."""
    positive = denominator > 0
    return jnp.where(positive, numerator / jnp.where(positive, denominator, 1), otherwise)
