"""All theorems, family by family."""

from __future__ import annotations

from ..theorem import Theorem
from . import (
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
