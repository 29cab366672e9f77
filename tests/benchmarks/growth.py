"""Growth: how long jobs take as runs, steps, rows or columns become more, beside the limit."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from gdpure.plots import save
from gdpure.plots.sizes import SIZES
from gdpure.plots.style import style

from .jobs import JOBS
from .measuring import seconds

_SLOW, _ENOUGH = 1.0, 0.5  # seconds: what takes longer is not asked for more; of repetitions
_ROLES = {"gdpure": "gd", "by hand": "bound", "NumPy": "third", "the lesson's loop": "sgd"}


class Panel(NamedTuple):
    """A job, which of its sizes grows, and the others where they are not its own."""

    title: str
    job: str
    size: str
    values: list[int]
    others: dict[str, int] = {}


PANELS = (
    Panel("Runs of a sweep, 100 steps each", "S3", "runs", [4**k for k in range(2, 11)]),
    Panel("Steps, 442 x 10, every row kept", "S5", "steps", [10**k for k in range(1, 6)]),
    Panel("Rows of least squares, d = 32", "S6", "n", [4**k for k in range(3, 11)]),
    Panel("Columns, 16,384 rows", "S6", "d", [2**k for k in range(1, 11)], {"n": 2**14}),
)


def measured(panel, values):
    """Return for every way its sizes and its best times in seconds, while it is not slow."""
    [job] = [job for job in JOBS if job.name == panel.job]
    found = {}
    for value in values:
        ways = job.ways(**panel.others, **{panel.size: value})
        limit = dict(zip(["the limit"], ways.limit.values(), strict=False))
        all_ways = {"gdpure": ways.gdpure, **ways.others(), **limit}
        for who in all_ways.keys() & {*_ROLES, *limit}:
            way, known = all_ways[who], found.setdefault(who, [])
            if not known or known[-1][1] < _SLOW:
                rough = max(seconds(way) for _ in range(2))
                often = min(51, max(5, int(_ENOUGH / rough)))
                known.append((value, min(seconds(way) for _ in range(often))))
    return {who: np.transpose(known) for who, known in found.items()}


def draw(panels, theme="light"):
    """Return a figure of panels: pairs of one and what was `measured` of it."""
    with style(theme) as look:
        wide = SIZES["page"].width
        fig = Figure(figsize=(wide, 0.78 * wide), layout="constrained")
        axes = fig.subplots(-(-len(panels) // 2), 2, squeeze=False).ravel()
        for ax, (panel, found) in zip(axes, panels, strict=True):
            _draw(ax, panel, found, look)
        fig.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
    return fig


def _draw(ax, panel, found, look):
    for who, (sizes, times) in found.items():
        color = getattr(look, _ROLES.get(who, "muted"))
        dashes = (0, (1, 1.6)) if who == "the limit" else "-"
        ours = {"lw": 2.2, "zorder": 3} if who == "gdpure" else {"lw": 1.3}
        ax.loglog(sizes, times, c=color, ls=dashes, marker="o", ms=2.5, label=who, **ours)
    ax.set(title=panel.title, xlim=(min(panel.values), max(panel.values)))
    ax.grid(axis="y")
    base = 10 if panel.values[0] % 10 == 0 else 2

    def power(x, _=None):
        return f"${base}^{{{round(np.log(x) / np.log(base))}}}$"

    ax.set_xticks(panel.values[:: -(-len(panel.values) // 5)])
    ax.xaxis.set_major_formatter(power)
    ax.yaxis.set_major_locator(LogLocator(10, numticks=12))
    ax.yaxis.set_major_formatter(EngFormatter("s"))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_locator(NullLocator())
    _name(ax, found, look)
    largest = panel.values[-1]
    last = {who: times[-1] for who, (sizes, times) in found.items() if sizes[-1] == largest}
    said = [
        f"{last['gdpure'] / last[who]:.2g} x {who}"
        for who in ("by hand", "the limit")
        if who in last
    ]
    ax.set_xlabel(f"gdpure at {power(largest)}: {', '.join(said)}", color=look.muted, loc="left")


def _name(ax, found, look, gap=9):
    """Write at the end of every line what it is, the names pushed apart."""
    ax.figure.draw_without_rendering()
    below = {}
    for who, line in sorted(found.items(), key=lambda named: named[1][1, -1]):
        x, y = line[:, -1]
        height = ax.transData.transform((x, y))[1] * 72 / ax.figure.dpi
        place = max(height, below.get(x, -np.inf) + gap)
        below[x] = place
        color = getattr(look, _ROLES.get(who, "muted"))
        ax.annotate(
            who, (x, y), (5, place - height), textcoords="offset points", color=color,
            va="center", size=7.5, annotation_clip=False,
        )  # fmt: skip


def plot(path, small=False):
    """Measure all panels and draw them into a file."""
    panels = [(panel, measured(panel, panel.values[: 2 if small else None])) for panel in PANELS]
    save(draw(panels), path)
    return panels
