"""Layout: axes get the room that what is written around them leaves, measured and not guessed.

matplotlib's constrained layout does it. What depends on where axes come to lie, such as labels that
must not touch, is placed by `placed` and placed anew when they have moved.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

from .palette import Look, Theme, look_of
from .sizes import Size, grow, grow_axes, raise_title, titles

_PAD = 0.06  # inches, between a figure's edge and what is in it; twice that between two parts
_NARROW = 5.0  # inches: on less, parts stand below each other
_OFF = 0.0063  # inches: no middle of axes, nor a mark of the gallery, is half-way between pixels
_SOME = 0.5  # inches: what is written leaves at least this of a figure of our own, to begin with
_SLACK = 0.02  # inches, by which axes may still move once what stands above them is folded
_TALLEST = 1.25  # times as high as wide, a map is cut to no more


class Plan(NamedTuple):
    """Where the axes of a figure stand.

    Attributes
    ----------
    rows
        Labels of axes, as for `Figure.subplot_mosaic`.
    heights
        Inches of each row, where there is room; None where maps in it decide.
    widths
        Shares of the columns.
    options
        Of axes by label, such as their projection.
    """

    rows: list
    heights: tuple
    widths: tuple | None = None
    options: dict | None = None


class _Sheet:
    """What is drawn on: the size, what is to be placed, and what may still change its size."""

    def __init__(self, size: Size):
        self.factor = size.growth
        self.width = size.width / self.factor
        self.height = None if size.height is None else size.height / self.factor
        self.places: list[Callable[[], None]] = []
        self.figure: Any = None  # of our own
        self.rows: tuple = ()
        self.grid: Any = None


_SHEET: ContextVar[_Sheet | None] = ContextVar("sheet", default=None)


def _sheet() -> _Sheet:
    found = _SHEET.get()
    assert found is not None, "figures draw in a style: figure_level and axes_level see to it"
    return found


def in_rows(names: list[str], columns: int) -> list[list[str]]:
    """Return names in rows of so many, the last one filled up with nothing.

    Examples
    --------
    >>> assert in_rows(["a", "b", "c"], 2) == [["a", "b"], ["c", "."]]
    """
    filled = names + ["."] * (-len(names) % columns)
    return [filled[i : i + columns] for i in range(0, len(filled), columns)]


def placed(place: Callable[[], None]) -> None:
    """Place something that depends on where its axes are, now and when they have moved."""
    place()
    if drawing():
        _sheet().places.append(place)


def is_narrow(given: Any = None) -> bool:
    """Whether a figure of our own, or that of axes that are given, is about a column wide."""
    wide = _sheet().width if given is None else given.figure.bbox.width / given.figure.dpi
    return wide <= _NARROW


def redrawn(ax: Any, draw: Callable[[], None]) -> None:
    """Draw something that depends on where its axes are, now and anew when they have moved."""
    drawn = []

    def place():
        for artist in drawn:
            artist.remove()
        before = {id(artist) for artist in ax.get_children()}
        draw()
        drawn[:] = [artist for artist in ax.get_children() if id(artist) not in before]

    placed(place)


def canvas(
    fig: Any, theme: Theme, caller: str, *plans: Plan
) -> tuple[FigureBase, Look, dict[str, Any]]:
    """Return the figure to draw on, a new one if there is none, the look, and the axes by label.

    Of the plans the first is for a page and the last for a column; where the height is given it is
    the one that is nearest to it.
    """
    look, sheet = look_of(theme), _sheet()
    if fig is None:
        plan = plans[0 if sheet.width > _NARROW else -1]
        if sheet.height is not None:
            plan = _nearest(plans, sheet.width, sheet.height)
        tall = sheet.height or _tall(plan, sheet.width)
        fig = sheet.figure = Figure(figsize=(sheet.width, tall))
    elif isinstance(fig, FigureBase):
        there: Any = fig
        plan = _nearest(plans, *(there.bbox.size / there.dpi))
    else:
        raise TypeError(f"{caller}: fig must be a Figure or a SubFigure, got {type(fig).__name__}")
    whole: Any = fig
    whole.set_facecolor(look.paper)
    axes = whole.subplot_mosaic(
        plan.rows,
        height_ratios=_heights(plan, whole.bbox.width / whole.dpi),
        width_ratios=plan.widths,
        per_subplot_kw=plan.options,
    )
    for ax in axes.values():
        ax.set_anchor("N")
    sheet.rows = plan.heights
    sheet.grid = next(iter(axes.values())).get_gridspec()
    return fig, look, axes


def _nearest(plans, width, height):
    return min(plans, key=lambda plan: abs(np.log(_tall(plan, width) / height)))


def _tall(plan, width):
    """Return about how high a figure wants to be that is so wide."""
    return sum(_heights(plan, width)) + 0.5 * len(plan.rows) + 0.3


def _heights(plan, width):
    """Return the heights of rows, of maps as if they were square."""
    shares = np.array(plan.widths or [1] * len(plan.rows[0]), float)
    shares, found = shares / shares.sum(), []
    for row, height in zip(plan.rows, plan.heights, strict=True):
        widest = max(shares[[label == name for label in row]].sum() for name in row)
        found.append(0.8 * width * widest if height is None else height)
    return found


def plane(
    ax: Any, size: tuple[float, float | None], theme: Theme, caller: str, **options: Any
) -> tuple[Any, Look]:
    """Return the axes to draw on, and the look: those that are given, or new ones.

    New ones are alone in a figure that is at most so wide; they are so high, or None where they are
    a map and its sides decide.
    """
    look, sheet = look_of(theme), _sheet()
    if ax is None:
        width, height = size
        fills = sheet.height or sheet.width <= _NARROW
        wide = sheet.width if fills else min(width, sheet.width)
        fig = sheet.figure = Figure(figsize=(wide, sheet.height or (height or wide) + 0.6))
        fig.set_facecolor(look.paper)
        ax = fig.add_subplot(**options)
        sheet.rows, sheet.grid = (height,), ax.get_gridspec()
        return ax, look
    if not isinstance(ax, Axes):
        raise TypeError(f"{caller}: ax must be an Axes, got {type(ax).__name__}")
    wanted = options.get("projection", "rectilinear")
    if ax.name != wanted:
        raise ValueError(
            f"{caller}: ax must be made with projection={wanted!r}, got projection={ax.name!r}"
        )
    return ax, look


# -- the layout ------------------------------------------------------------------------------------


@contextlib.contextmanager
def sheet(size: Size, given: Any) -> Iterator[Callable[[Any], None]]:
    """Draw what is laid out, and grows to a size, when what is yielded is called with it.

    While it is drawn the figure that is given is as much smaller as everything will grow.
    """
    drawing = _Sheet(size)
    root: Any = given.get_figure(root=True) if isinstance(given, Axes | FigureBase) else None
    inches: Any = None if root is None else np.array(root.get_size_inches())
    before = {id(mark) for mark in _marks(given)}
    held = _SHEET.set(drawing)
    try:
        if root is not None:
            root.set_size_inches(inches / drawing.factor, forward=False)
        yield lambda drawn: _finish(drawing, drawn, before)
    finally:
        _SHEET.reset(held)
        if root is not None:
            root.set_size_inches(inches, forward=False)


def drawing() -> bool:
    """Whether something is drawn already, of which this is a part."""
    return _SHEET.get() is not None


def _finish(sheet, drawn, before):
    parts = [drawn] if isinstance(drawn, Axes) else list(drawn.axes)
    figure = drawn.figure if isinstance(drawn, Axes) else drawn
    if isinstance(drawn, Axes) and sheet.figure is None:
        _into_its_cell(sheet, drawn)
    else:
        _lay_out(sheet, figure, parts)
    if sheet.factor != 1:
        for ax in _with_children(parts):
            grow_axes(ax, sheet.factor)
        grow((mark for mark in _marks(drawn) if id(mark) not in before), sheet.factor)
        if sheet.figure is not None:
            size = np.array(sheet.figure.get_size_inches())
            sheet.figure.set_size_inches(size * sheet.factor, forward=False)


def _with_children(parts):
    return [ax for part in parts for ax in (part, *part.child_axes)]


def _marks(part):
    """Yield all that is drawn on axes or a figure, but for what its axes have anyway."""
    if isinstance(part, FigureBase):
        yield from (*part.texts, *part.lines, *part.patches)
    elif not isinstance(part, Axes):
        return
    for ax in _with_children([part] if isinstance(part, Axes) else part.axes):
        yield from (*ax.lines, *ax.patches, *ax.collections, *ax.texts)


def _lay_out(sheet, figure, parts):
    root = figure.get_figure(root=True)
    others = [ax for ax in root.axes if ax not in parts and ax.get_in_layout()]
    engine = root.get_layout_engine() or ConstrainedLayoutEngine(
        w_pad=_PAD, h_pad=_PAD, wspace=0.0, hspace=0.0
    )
    heads = {text: text.get_text() for ax in parts for text in titles(ax)}
    heads |= {text: text.get_text() for text in figure.texts}

    def settle(slack=_SLACK):
        _fold(figure, parts, heads, slack=slack)
        for place in sheet.places:
            place()

    for ax in others:
        ax.set_in_layout(False)
    try:
        settle()  # a head on one line would be room that its axes do not get
        for _ in range(2):
            _make_room(sheet, figure, parts)
            _execute(engine, root, parts)
            settle()
            if sheet.grid is not None:
                _fit_height(sheet, parts)
        _execute(engine, root, parts)
    finally:
        for ax in others:
            ax.set_in_layout(True)
    if root.get_layout_engine() is None:
        _on_pixels(figure, parts)
    heads = {text: text.get_text() for text in heads}  # they have their room
    settle(slack=0.0)


def _execute(engine, root, parts):
    """Lay out maps as if they filled their cells: what is around them is measured from there."""
    flat = [ax for ax in parts if ax.name != "3d"]
    sides = [(ax.get_aspect(), ax.get_box_aspect()) for ax in flat]
    for ax in flat:
        ax.set_aspect("auto")
        ax.set_box_aspect(None)
    engine.execute(root)
    for ax, (aspect, box) in zip(flat, sides, strict=True):
        ax.set_aspect(aspect)
        ax.set_box_aspect(box)


def _make_room(sheet, figure, parts):
    """Make a figure of our own high enough that what is written leaves its axes some height."""
    if sheet.figure is None or sheet.height is not None or not parts:
        return
    around = max(ax.get_tightbbox().height - ax.bbox.height for ax in parts)
    written = sum(text.get_window_extent().height for text in figure.texts)
    width, tall = figure.get_size_inches()
    least = (len(sheet.rows) * around + written) / figure.dpi + _SOME
    if tall < least < tall + width:  # more is no text beside axes, but one that is nowhere
        figure.set_size_inches(width, least, forward=False)


def _fit_height(sheet, parts):
    """Give every row its height, and a figure of our own what that makes."""
    grid = sheet.grid
    width, tall = grid.figure.bbox.size / grid.figure.dpi
    wanted, now = [], []
    for row, height in enumerate(sheet.rows):
        here = [ax for ax in parts if _rows_of(ax) == (row, row)]
        boxes = [ax.get_position(original=True) for ax in here]
        now.append(max((box.height * tall for box in boxes), default=0.0))
        if height is None:
            sides = zip(here, boxes, strict=True)
            height = max(min(_share(ax), _TALLEST) * box.width * width for ax, box in sides)
        wanted.append(height)
    grid.set_height_ratios(wanted)
    if sheet.figure is not None and sheet.height is None:
        sheet.figure.set_size_inches(width, tall + sum(wanted) - sum(now), forward=False)


def _rows_of(ax):
    spec = ax.get_subplotspec()
    return spec.rowspan.start, spec.rowspan.stop - 1


def _share(ax):
    """Return how high a map is, over how wide; 0 of other axes."""
    if ax.name == "3d":
        return 0.0
    if ax.get_box_aspect() is not None:
        return ax.get_box_aspect()
    if ax.get_aspect() == "auto":
        return 0.0
    return float(np.ptp(ax.get_ylim()) / np.ptp(ax.get_xlim())) * ax.get_aspect()


def _on_pixels(figure, parts):
    """Move axes to hundredths of an inch and a little beside: no last digit moves a mark then."""
    inches = figure.bbox.size / figure.dpi
    for ax in parts:
        box = ax.get_position(original=True).get_points() * inches
        ax.set_position(Bbox((np.round(box, 2) + _OFF) / inches))


def _into_its_cell(sheet, ax):
    """Make room for what is written around axes of somebody else, in their cell of the figure."""
    root = ax.get_figure(root=True)
    heads = {text: text.get_text() for text in titles(ax)}
    laid_out = root.get_layout_engine() is not None
    cell = _cell(ax)
    for _ in range(4):
        if laid_out:
            root.get_layout_engine().execute(root)
        _fold(ax.figure, [ax], heads, cell[1, 0])
        for place in sheet.places:
            place()
        if not laid_out:
            low, high = ax.figure.transSubfigure.transform(ax.get_position(original=True))
            over = [cell[0], -cell[1]] - ax.get_tightbbox().get_points() * [[1], [-1]]
            new = np.stack([low, high]) + np.maximum(over, 0) * [[1], [-1]]
            if (new[1] - new[0] > 0.2 * ax.figure.dpi).all():
                ax.set_position(Bbox(ax.figure.transSubfigure.inverted().transform(new)))


def _cell(ax):
    """Return the part of its figure that axes may use, in pixels: up to half-way to the next."""
    cell = ax.figure.bbox.padded(-_PAD / 2 * ax.figure.dpi).get_points()
    low, high = _frame(ax)
    for other in ax.figure.axes:
        if other is ax or not other.get_visible():
            continue
        others_low, others_high = _frame(other)
        before, after = others_high <= low, high <= others_low
        if (before | after).sum() == 1:  # beside it, above or below
            cell[0] = np.where(before, np.maximum(cell[0], (others_high + low) / 2), cell[0])
            cell[1] = np.where(after, np.minimum(cell[1], (high + others_low) / 2), cell[1])
    return cell


def _frame(ax):
    spec = ax.get_subplotspec()
    box = ax.get_position(original=True) if spec is None else spec.get_position(ax.figure)
    return ax.figure.transSubfigure.transform(box)


# -- long sentences --------------------------------------------------------------------------------


def _fold(figure, parts, heads, end=np.inf, slack=0.0):
    """Break what stands above axes and figure into as many lines as it needs.

    What stands above axes may reach over others that have nothing above them.
    """
    for ax in parts:
        ax.apply_aspect()
    pad = (_PAD + slack) * figure.dpi
    edge = min(figure.bbox.x1 - pad, end)
    left = min((ax.bbox.x0 for ax in parts), default=0.0)
    for text in figure.texts:
        if text in (figure._suptitle, figure._supxlabel):
            x = figure.transSubfigure.inverted().transform((left, 0))[0]
            text.set(x=x, ha="left")
            text.set_text(folded(text, heads[text], edge - left))
    for ax in parts:
        own = ax.bbox
        named = (other for other in parts if any(heads[text].strip() for text in titles(other)))
        beside = (other.bbox for other in named if other is not ax)
        nearest = min((b.x0 for b in beside if b.x0 > own.x1 and b.y0 < own.y1 and own.y0 < b.y1),
                      default=edge + pad)  # fmt: skip
        _fold_head(ax, heads, nearest - pad - own.x0, own.width)


def _fold_head(ax, heads, room, width):
    """Fold the titles of axes: the left one is above the right one where both are too long."""
    by_side = {text.get_ha(): text for text in titles(ax)}
    first, second = by_side["left"], by_side["right"]
    if not heads[first].strip() and not heads[second].strip():
        return
    second.set_text(folded(second, heads[second], max(width, 0.5 * room)))
    first.set_text(folded(first, heads[first], room))
    if not heads[first].strip() or not heads[second].strip():
        return
    height = ax.bbox.height
    below, gap = second.get_window_extent(), 8 / 72 * ax.figure.dpi
    touches = first.get_window_extent().x1 + gap > below.x0
    raise_title(ax, 1 + touches * (below.height + gap / 4) / height)


def folded(text: Any, words: str, room: float) -> str:
    r"""Return words with line breaks, so that as a text they are no wider, in pixels.

    Examples
    --------
    >>> text = Figure().text(0, 0, "")
    >>> assert folded(text, "two words", 60) == "two\nwords"
    >>> assert folded(text, "$a + b$", 1) == "$a + b$"
    """

    def width(said):
        text.set_text(said)
        return text.get_window_extent().width

    if not words.strip() or width(words) <= room:
        return words
    lines = [""]
    for word in re.findall(r"(?:\$[^$]*\$|[^\s$])+", words):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and width(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)
