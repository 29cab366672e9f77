"""Sharding: on which devices the rows of arrays lie, and how to leave them there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

# -- rows ------------------------------------------------------------------------------------------


def shards(x: jax.Array) -> int:
    """Return over how many devices of an explicit mesh the rows of an array are spread."""
    sharding = jax.typeof(x).sharding
    names = sharding.spec[0] if sharding.spec else None
    names = names if isinstance(names, tuple) else (names,)
    return math.prod(sharding.mesh.shape[name] for name in names if name is not None)


def taken(x: jax.Array, rows: Any) -> jax.Array:
    """Return some rows of an array."""
    if shards(x) == 1:
        return x[rows]
    # On an explicit mesh they have to be told where to go: to all devices.
    return x.at[rows].get(out_sharding=PartitionSpec(None, *jax.typeof(x).sharding.spec[1:]))


def gathered(x: jax.Array) -> jax.Array:
    """Return an array of which every device of an explicit mesh has all rows."""
    return x if shards(x) == 1 else jax.sharding.reshard(x, PartitionSpec(*(None,) * x.ndim))


def side_by_side(rows: list[jax.Array]) -> list[jax.Array]:
    """Return arrays whose rows lie on an explicit mesh as those of the one that is spread most."""
    counts = [shards(x) for x in rows]
    if len(set(counts)) <= 1:
        return rows
    place = jax.typeof(rows[counts.index(max(counts))]).sharding

    def beside(x):
        rest = jax.typeof(x).sharding.spec[1:]
        return jax.sharding.reshard(
            x, NamedSharding(place.mesh, PartitionSpec(place.spec[0], *rest))
        )

    return [x if n == max(counts) else beside(x) for x, n in zip(rows, counts, strict=True)]


def cut(rows: list[jax.Array], known: int = 0) -> int:
    """Return into how many parts to cut rows lest one device need those of another.

    Where JAX chooses the devices, traced arrays do not say on how many of them they are: then it is
    those of the mesh that is set, or all.
    """
    if (explicit := max(map(shards, rows))) > 1:
        return explicit
    mesh = jax.sharding.get_abstract_mesh()
    free = math.prod(mesh.shape[axis] for axis in mesh.auto_axes)
    return math.gcd(len(rows[0]), known or (jax.device_count() if mesh.empty else free))


def each_part(function: Callable, rows: list[jax.Array], parts: int) -> Any:
    """Return what a function makes of each of so many parts of the rows, stacked."""
    return jax.vmap(function)([x.reshape(parts, -1, *x.shape[1:]) for x in rows])


# -- what differs from device to device ------------------------------------------------------------


def varying(tree: Any, *others: Any) -> Any:
    """Return a tree that varies over a mesh as it and others do: `jax.shard_map` wants it known."""
    leaves = jax.tree.leaves((tree, others))
    axes = frozenset().union(*map(_axes, leaves))
    meshes = [mesh for mesh in map(_mesh, leaves) if not mesh.empty]

    def put(x):
        if meshes and _mesh(x).empty:  # a constant lies on no mesh
            x = jax.sharding.reshard(x, NamedSharding(meshes[0], PartitionSpec()))
        return lax.pcast(x, tuple(axes - _axes(x)), to="varying")

    return jax.tree.map(put, tree)


def _mesh(x):
    return jax.typeof(x).sharding.mesh


def _axes(x):
    kind = jax.typeof(x)
    return kind.vma if hasattr(kind, "vma") else kind.manual_axis_type.varying
