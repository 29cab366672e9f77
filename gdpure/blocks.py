"""Blocks: a finite sum of more rows than the cache holds, evaluated in one pass over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gdpure import sharding, trees
from gdpure.objectives import Objective, examples, of_examples

# Bytes of rows that a CPU holds, that it reads at once, and of a row that takes longer than its use
_CACHE, _BLOCK, _ROW = 2**25, 2**21, 2**5


@dataclass(frozen=True)
class InBlocks:
    """A way to differentiate, linear in the objective: of large finite sums block after block.

    Value and gradient read every row, each for itself; a block is read from memory once for both,
    and sums of sums are more accurate. GPUs have no such cache.
    """

    way: Callable[[Any, Any], tuple[Any, Any]]
    parts: int = 0  # over how many devices the rows are spread; 0 where that is not known

    def __call__(self, f: Any, params: Any) -> tuple[Any, Any]:
        """Return value and gradient."""
        rows = examples(f) if isinstance(f, Objective) and f.axes is not None else []
        # Every device has its own blocks, as it has its own rows where they are sharded.
        parts = sharding.cut(rows, self.parts) if rows else 1
        blocks = _blocks(rows, parts, params)
        if blocks < 2:
            return self.way(f, params)
        n = len(rows[0]) // parts
        size = n // blocks
        first = n - (blocks - 1) * size

        def of_part(rows):
            # For derivatives its rows are read again; kept, they would be a copy of all.
            @partial(jax.checkpoint, static_argnums=1, prevent_cse=False)
            def of_block(begin, length):
                block = [lax.dynamic_slice_in_dim(x, begin, length) for x in rows]
                return self.way(of_examples(f, block), params)

            def add(total, begin):
                mean = of_block(begin, size)
                return jax.tree.map(lambda x, y: x + y.astype(x.dtype), total, mean), None

            mean = of_block(0, first)
            wide = jax.tree.map(lambda x: x.astype(trees.precision([x])), mean)
            total = jax.tree.map(lambda x: x * (first / size), wide)
            return mean, lax.scan(add, total, first + size * jnp.arange(blocks - 1))[0]

        if parts == 1:
            like, total = of_part(rows)
        else:
            like, total = sharding.each_part(of_part, rows, parts)
            total = jax.tree.map(partial(jnp.sum, axis=0), total)
        return jax.tree.map(lambda x, y: (x * (size / n / parts)).astype(y.dtype), total, like)


def _blocks(rows, parts, params):
    """Return in how many blocks to read rows, each much larger than the gradient."""
    if jax.default_backend() != "cpu" or (size := _bytes(rows)) <= _CACHE * parts:
        return 1
    n = len(rows[0])
    return 1 if size < _ROW * n else min(n, size // max(_BLOCK, 16 * _bytes(params))) // parts


def _bytes(tree):
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))
