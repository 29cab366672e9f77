"""All theorems, family by family."""

from __future__ import annotations

from functools import cache

from .theorem import Theorem
from .theorems import (
    bookkeeping,
    convergence,
    gradient_agreement,
    monotone_descent,
    sampling,
    symmetries,
)

THEOREMS: tuple[Theorem, ...] = (
    *bookkeeping.THEOREMS,
    *gradient_agreement.THEOREMS,
    *monotone_descent.THEOREMS,
    *convergence.THEOREMS,
    *symmetries.THEOREMS,
    *sampling.THEOREMS,
)


@cache
def companions(theorem: Theorem) -> tuple[Theorem, ...]:
    """Return the theorems that are compiled with one: those of its family that judge like runs.

    They do not depend on what is tried on whom: the programs are the same for every subject.
    """
    if theorem not in THEOREMS or theorem.twin is not None:
        return (theorem,)

    def kind(other):
        return (
            other.family,
            other.twin is None,
            {"stopping", "rows", "mini-batches"} & {*other.needs},
        )

    return tuple(other for other in THEOREMS if kind(other) == kind(theorem))
