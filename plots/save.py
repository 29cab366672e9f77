"""Saving figures: the same figure gives the same bytes, and a file is whole or not there."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, RULE, PAPER = "#1f2933", "#5f6c78", "#c9d1d8", "#ffffff"
_NOTHING_DATED = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
_STYLE: Any = {
    "font.family": ["DejaVu Sans"],
    "mathtext.fontset": "dejavusans",
    "font.size": 8.5,
    "text.color": INK,
    "text.hinting": "none",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.frameon": False,
    "legend.fontsize": 7.8,
    "contour.negative_linestyle": "solid",
    "path.simplify": False,
    "savefig.dpi": 200,
    "svg.hashsalt": "gdpure",
    "pdf.fonttype": 42,
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw and save in this context: no setting of the user's reaches the figure.

    Examples
    --------
    >>> import matplotlib
    >>> before = dict(matplotlib.rcParams)
    >>> with style():
    ...     assert matplotlib.rcParams["savefig.dpi"] == 200
    >>> assert dict(matplotlib.rcParams) == before
    """
    import matplotlib  # not above: the views of this package do without it

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def save(fig: Figure, stem: str | Path, formats: Iterable[str] = ("png",)) -> list[Path]:
    """Write a figure as ``stem.png`` and the like; the folder is made if it is not there.

    Parameters
    ----------
    fig
        A figure.
    stem
        The path without its ending.
    formats
        Of png, svg and pdf.

    Returns
    -------
    list of Path
        The files, in the order of the formats.

    Raises
    ------
    ValueError
        If a format is none of the three.
    OSError
        If the place cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> from matplotlib.figure import Figure
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path] = save(Figure(), f"{folder}/new/empty")
    ...     assert path.name == "empty.png" and path.exists()
    """
    rendered = {Path(f"{stem}.{form}"): _render(fig, form) for form in _named(formats)}
    for path, content in rendered.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            unfinished.write_bytes(content)
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
    return list(rendered)


def _named(formats):
    formats = [formats] if isinstance(formats, str) else list(formats)
    for form in formats:
        if form not in _NOTHING_DATED:
            raise ValueError(f"save: formats must be of {', '.join(_NOTHING_DATED)}, got {form!r}")
    return formats


def _render(fig, form):
    content = io.BytesIO()
    with style():
        fig.savefig(content, format=form, metadata=_NOTHING_DATED[form])
    return content.getvalue()
