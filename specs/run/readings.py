"""What recorded numbers may stand for: decimals out of a text, or what float32 computed.

Numbers are taken at their word first. Where they then break a law, they may be coarser than their
dtype says, and nobody is accused of what that explains: a loss that was printed to six digits is
any number that is rounded to it, and float64 may hold what was computed in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import jax
import numpy as np

from ..gradient.functions import data_of
from ..words import listed
from .recorded import Record, Truth, assumed, fits, truth

_NAMES = ("the points", "the values", "the gradients")


class Reading(NamedTuple):
    """What numbers may stand for, beside what is true; and why, if not for themselves."""

    rows: Record
    truth: Truth
    why: str = ""


def readings(objective: Any, rows: Record) -> Iterator[Reading]:
    """Yield what rows may stand for: themselves, then decimals, float32, or both.

    Examples
    --------
    >>> from .recorded import read
    >>> rows = read([0.1, 0.7], values=[0.4321, 0.1])
    >>> [exact, decimals, *_] = readings(None, rows)
    >>> assert decimals.why == "the values have 4 digits, and are held to no more"
    >>> assert decimals.rows.blur[1].round(9).tolist() == [5e-5, 5e-5]
    """
    known = truth(objective, rows)
    yield Reading(rows, known)
    decimals = [(found, said) for found, said in _printed(rows) if said]
    for found, said in decimals:
        yield Reading(found, known, f"{said}, and are held to no more")
    if rows.sure or rows.dtype != np.float64 or not (decimals or _may_be_single(objective, rows)):
        return
    try:
        known, why = truth(objective, _single(rows)), "f or its gradient may be float32"
    except ValueError:
        return  # f takes no float32
    yield Reading(_single(rows), known, why)
    for found, said in decimals[-1:]:
        yield Reading(_single(found), known, f"{said}, and {why}")


# -- decimals --------------------------------------------------------------------------------------


def _printed(rows):
    """Return rows as decimals, first with exact points, and how many digits they have, or "".

    A number that was printed stands for all that are rounded to it: half a unit of its last digit
    to either side. How many digits there are is seen in the longest.
    """
    found = [_digits(part, rows.dtype) for part in (rows.point, rows.value, rows.gradient)]
    blur = tuple(half for _, half in found)
    said = [f"{name} have {n}" for name, (n, _) in zip(_NAMES, found, strict=True) if n]
    recorded = said[1:] if found[0][0] else said
    return [
        (rows._replace(blur=(0.0, *blur[1:])), f"{listed(recorded)} digits" if recorded else ""),
        (rows._replace(blur=blur), f"{listed(said)} digits" if found[0][0] else ""),
    ]


def _digits(part, dtype):
    """Return how many digits numbers have, 0 if they are no decimals, and half of the last one."""
    if part is None or dtype not in (np.float32, np.float64):
        return 0, 0.0
    digits, places = 0, 0
    for x in part[part != 0].astype(dtype).ravel():
        _, figures, exponent = Decimal(str(x)).normalize().as_tuple()
        digits, places = max(digits, len(figures)), max(places, -int(exponent))
        if digits > np.finfo(dtype).precision:  # so many a dtype keeps of any decimal
            return 0, 0.0
    # Digits are counted from the first one that is not 0, or from the point, whichever is coarser.
    leading = np.floor(np.log10(np.where(part == 0, 1e-300, abs(part))))
    return digits, np.maximum(10.0 ** (leading - digits + 1), 10.0**-places) / 2


def blurred(known: Truth, rows: Record, L: float | None) -> Truth:
    """Return the truth with errors that allow for the digits that decimals lack.

    What was recorded was computed at a point near by, where a gradient is another by L times as
    much; without L nobody knows.
    """
    point, value, slope = rows.blur
    value_error, slope_error = known.value_error, known.gradient_error
    if np.any(point) and L is None:
        known = assumed(rows, None, "the points have few digits, and nobody knows L")
        value_error, slope_error = known.value_error, known.gradient_error
    elif np.any(point) and L is not None:
        far = np.sqrt((point**2).sum(axis=1))
        g = rows.gradient if known.gradient is None else known.gradient
        if value_error is not None and g is not None:
            value_error = value_error + (abs(g) * point).sum(axis=1) + L / 2 * far**2
        if slope_error is not None:
            slope_error = slope_error + (L * far)[:, None]
    value_error = None if value_error is None else value_error + value
    slope_error = None if slope_error is None else slope_error + slope
    return known._replace(value_error=value_error, gradient_error=slope_error)


# -- float32 ---------------------------------------------------------------------------------------


def _single(rows):
    """Return rows as what float32 made of them."""
    narrow = np.dtype(np.float32)
    return rows._replace(dtype=narrow, one=jax.tree.map(lambda x: x.astype(narrow), rows.one))


def _may_be_single(objective, rows):
    """Return whether float32 may be in the rows: in the data of f, or it computed what fits it."""
    if any(x.dtype == np.float32 for x in data_of(objective)):
        return True
    told = [part for part in (rows.value, rows.gradient) if part is not None]
    return not told or any(map(fits, told))
