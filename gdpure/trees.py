"""Trees: dataclasses as trees of arrays, and the parameters as one vector.

Steps are computed in the finest dtype of the parameters, float32 at least, and rounded once to the
dtype of the leaf, so that bfloat16 parameters step as well as they can.
"""

from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import GetAttrKey, register_pytree_with_keys

_Class = TypeVar("_Class", bound=type)


def static(**options: Any) -> Any:
    """Return a field that is part of the structure of a `pytree`, not a leaf of it."""
    return field(metadata={"static": True}, **options)


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(field, static))
def pytree(cls: _Class) -> _Class:
    """Make a class a frozen dataclass and a tree of arrays, its class part of the structure.

    `jax.tree_util.register_dataclass` leaves the class out where structures are compared (JAX 0.10
    to 0.12), though not out of their hash: a function compiled for one rule would now and then run
    for another with like fields.
    """
    made = dataclass(frozen=True, eq=False)(cls)
    leaves = [f.name for f in fields(made) if not f.metadata.get("static")]
    rest = [f.name for f in fields(made) if f.metadata.get("static")]

    def flatten(x):
        return [getattr(x, name) for name in leaves], tuple(getattr(x, name) for name in rest)

    def flatten_with_keys(x):
        children, constants = flatten(x)
        return list(zip(map(GetAttrKey, leaves), children, strict=True)), constants

    def unflatten(constants, children):
        return made(
            **dict(zip(leaves, children, strict=True)), **dict(zip(rest, constants, strict=True))
        )

    register_pytree_with_keys(made, flatten_with_keys, unflatten, flatten)
    return made


_MANY, _SMALL = 16, 1024


def packed(tree: Any) -> list[Any]:
    """Return the entries of a tree as few arrays: many small leaves are one vector a dtype.

    XLA repeats what judges a tree leaf by leaf in every program that asks for the verdict, so that
    its time grows with the square of their number. Large leaves would be copied for nothing.
    """
    few, kinds = [], {}
    for x in jax.tree.leaves(tree):
        (kinds.setdefault(x.dtype, []) if x.size <= _SMALL else few).append(x)
    for alike in kinds.values():
        many = len(alike) > _MANY
        few += [jnp.concatenate([x.ravel() for x in alike])] if many else alike
    return few


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
