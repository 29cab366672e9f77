"""Modes: the gap of descent on a quadratic as the sum of its parts, one for each curvature."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import marks
from ..levels import number
from ..style import DASHED, DOTTED
from ..views.fits import Modes

_NEARLY = 0.99  # of the gap is all of it
_LEAST = 1e-18  # of the first gap, below which no axis reaches
_STYLES = ((DASHED, "s"), ((0, (6, 1.5, 1.5, 1.5)), "D"), (DOTTED, "^"))


def named(shown: Modes) -> list[int]:
    """Return which parts have a name, from the fastest to the slowest: all of up to three."""
    order = np.argsort(np.abs(1 - shown.step_size * shown.curvatures), kind="stable").tolist()
    return order if len(order) <= 3 else [order[0], order[-1]]


def least_shown(shown: Modes) -> float:
    """Return below which height there is nothing to see: rounding, or what ends far below."""
    last = float(shown.theory[named(shown), -1].min())
    return max(float(shown.floor), _LEAST * float(shown.gap[0]), 0.1 * last)


def draw_modes(ax: Any, shown: Modes, look: Any) -> tuple[list, list[str]]:
    """Draw the parts of a gap: lines are theory, marks measured; return labels and notes."""
    low, k = ax.get_ylim()[0], np.arange(len(shown.gap))
    apart = max(1, -(-len(k) // 40))
    between, lost, labels = slice(apart // 2, None, apart), 0, []
    few = named(shown)
    for i in (i for i in range(len(shown.curvatures)) if i not in few):
        ax.plot(k, shown.theory[i], color=look.muted, lw=0.6, zorder=3, gid=f"gd:theory {i + 1}")
        lost += _marks(ax, shown.measured[i], ".", 3.4, look.muted, low, between, look, i + 1)
    for (dash, marker), i in zip(_STYLES, few, strict=False):
        ax.plot(k, shown.theory[i], c=look.bound, ls=dash, lw=1.3, zorder=4,
                gid=f"gd:theory {i + 1}")  # fmt: skip
        lost += _marks(ax, shown.measured[i], marker, 3.8, look.gd, low, between, look, i + 1)
        labels.append((shown.theory[i], _name(shown, i, few), look.bound))
    leaving = [item for item in labels if not item[0][-1] > low]
    for rank, (heights, text, color) in enumerate(leaving):
        marks.write_beside(ax, k, heights, 0.16 + 0.22 * rank, text, color, look)
    notes = [r"lines: $\lambda c^2 (1-\eta\lambda)^{2k} / 2$, marks: measured"]
    notes += [f"{lost} marks at the foot: smaller"] * bool(lost)
    return [(h[-1], *rest) for h, *rest in labels if h[-1] > low], notes


def _name(shown, i, few):
    which = ""
    if len(few) > 1 and i in (few[0], few[-1]):
        grows = abs(1 - shown.step_size * shown.curvatures[i]) >= 1
        which = "fastest " if i == few[0] else "growing " if grows else "slowest "
    return f"{which}part, $\\lambda = ${number(shown.curvatures[i], 3)}"


def _marks(ax, heights, marker, size, color, low, some, look, which):
    """Draw what is measured, and what is below the axis at its foot; return how much that is."""
    k, above = np.arange(len(heights)), heights > low
    seen = np.where(above, heights, np.nan)
    ax.plot(k, seen, ls="none", marker=marker, ms=size, color=color, mec=look.paper, mew=0.4,
            markevery=some, zorder=6, gid=f"gd:measured {which}")  # fmt: skip
    marks.foot_marks(ax, k[some], np.where(above, heights, 0)[some], color)
    return int((~above[some]).sum())


def split_in_words(shown: Modes) -> str:
    """Return from when on the slowest part is nearly all of the gap."""
    if shown.step_size * shown.curvatures.max() > 2:
        return "the steepest part grows: the step is longer than $2/L$"
    if len(shown.curvatures) == 1:
        return "one curvature: the gap falls on a line"
    share = shown.measured[named(shown)[-1]] / np.where(shown.gap > 0, shown.gap, np.inf)
    short = np.flatnonzero(share < _NEARLY)
    if not len(short):
        return "the slowest part is all of the gap"
    if short[-1] == len(share) - 1:
        return f"the gap, split into {len(shown.curvatures)} parts"
    return f"from $k = {short[-1] + 1}$ on the slowest part is {100 * _NEARLY:.0f} % of the gap"
