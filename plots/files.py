"""Saving figures: the same figure gives the same bytes, and a file is whole or not there."""

from __future__ import annotations

import contextlib
import io
import os
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from .palette import THEMES, Theme, look_of
from .style import style
from .wording import alt_text

FORMATS = ("png", "svg", "pdf")


def save(
    fig: Any,
    stem: str | Path,
    formats: str | Iterable[str] | None = None,
    *,
    theme: Theme | None = None,
    text: bool = True,
    dpi: float = 200,
) -> list[Path]:
    """Write a figure as ``stem.png`` and the like, with a text that says what it shows.

    The bytes depend on the figure and on the versions of matplotlib and its libraries alone: not
    on the date, the user's settings or the process. The folder is made if it is not there.

    Parameters
    ----------
    fig
        A Figure, or the Axes that an axes-level function returned.
    stem
        The path, with its ending or without.
    formats
        Of png, svg and pdf; by default what the path ends in, or else png.
    theme
        What the figure was drawn in; by default this is seen from its paper.
    text
        False leaves all text out: what remains does not depend on fonts.
    dpi
        Dots an inch, of png.

    Returns
    -------
    list of Path
        The files, in the order of the formats.

    Raises
    ------
    TypeError, ValueError
        If fig is no figure, a format is none of the three, or the theme is another than that in
        which the figure was drawn.
    OSError
        If the place cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> from matplotlib.figure import Figure
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path] = save(Figure(), f"{folder}/new/empty.svg")
    ...     assert path.name == "empty.svg" and path.exists()
    """
    fig = _whole(fig)
    look = _look(fig, theme)
    rendered = {}
    stem, ending = without_ending(stem, FORMATS)
    for form in _named(formats or ending or "png"):
        rendered[Path(f"{stem}.{form}")] = render(fig, form, look, text=text, dpi=dpi)
    for path, content in rendered.items():
        write(path, content)
    return list(rendered)


def without_ending(path: str | Path, endings: Iterable[str]) -> tuple[str, str]:
    """Return a path without its ending, and that, if it is one of some; else the path and "".

    Examples
    --------
    >>> assert without_ending("a/figure.png", ["png"]) == ("a/figure", "png")
    >>> assert without_ending("a/run.v1", ["png"]) == ("a/run.v1", "")
    """
    stem, _, ending = str(path).rpartition(".")
    return (stem, ending.lower()) if ending.lower() in endings and stem else (str(path), "")


def write(path: Path, content: bytes) -> None:
    """Write a file as a whole: a crash leaves the old one, or the new one.

    Raises
    ------
    OSError
        If the place cannot be written to.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"save: cannot write {path}: {reason}") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def render(fig: Figure, form: str, theme: Theme, *, text: bool = True, dpi: float = 200) -> bytes:
    """Return the bytes of a figure in a format.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> assert render(Figure(), "svg", "light") == render(Figure(), "svg", "light")
    """
    said, content = alt_text(fig), io.BytesIO()
    title = said.partition(".")[0]
    undated: dict[str, Any] = {
        "png": {"Software": None, "Description": said},
        "svg": {"Date": None, "Creator": None, "Title": title},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None}
        | {"Title": title, "Subject": said},
    }
    with style(theme), without_text(fig) if not text else contextlib.nullcontext():
        fig.savefig(content, format=form, dpi=dpi, metadata=undated[form])
    return _described(content.getvalue(), said) if form == "svg" else content.getvalue()


@contextlib.contextmanager
def without_text(fig: Figure) -> Iterator[None]:
    """Hide all text of a figure for a while."""
    seen = [text for text in fig.findobj(Text) if text.get_visible()]
    before = [text.get_alpha() for text in seen]
    try:
        for text in seen:
            text.set_alpha(0)
        yield
    finally:
        for text, alpha in zip(seen, before, strict=True):
            text.set_alpha(alpha)


def _described(svg: bytes, said: str) -> bytes:
    """Give an SVG the description that screen readers read, and fonts where there is no DejaVu.

    Places keep two decimals, hundredths of a point: a quarter of the file is what nobody sees.
    """
    words = svg.decode().replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
    words = re.sub(r'\b(?:d|x|y)="[^"]*"', _rounded, words)
    head = re.search(r"<svg\b[^>]*>", words)
    assert head is not None
    named = head.group().replace("<svg", '<svg role="img" aria-labelledby="gd-desc"', 1)
    described = f'{named}\n <desc id="gd-desc">{escape(said)}</desc>'
    return (words[: head.start()] + described + words[head.end() :]).encode()


def _rounded(attribute):
    return re.sub(r"-?\d+\.\d{3,}", lambda x: f"{round(float(x[0]), 2):g}", attribute[0])


def shown(fig: Figure, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """Return what a notebook shows of a figure, as IPython asks for it: a picture and words.

    The picture has two pixels a point of the screen and at most 256 colors, which nobody misses and
    a stored notebook is a third as large for; the words are its alternative text.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> data, about = shown(Figure(figsize=(2, 1)))
    >>> assert about["image/png"] == {"width": 200, "height": 100, "alt": data["text/plain"]}
    """
    said, packed = alt_text(fig), io.BytesIO()
    drawn = Image.open(io.BytesIO(render(fig, "png", _look(fig, None)))).convert("RGB")
    width, height = (side // 2 for side in drawn.size)
    drawn = drawn.crop((0, 0, 2 * width, 2 * height)).quantize(256, dither=Image.Dither.NONE)
    drawn.save(packed, "png", optimize=True)
    picture = b64encode(packed.getvalue()).decode()
    about = {"width": width, "height": height, "alt": said}
    return {"image/png": picture, "text/plain": said}, {"image/png": about}


def _whole(fig):
    while not isinstance(fig, Figure) and getattr(fig, "figure", fig) is not fig:
        fig = fig.figure
    if not isinstance(fig, Figure):
        raise TypeError(f"save: fig must be a Figure or Axes of one, got {type(fig).__name__}")
    return fig


def _look(fig, theme):
    paper = fig.get_facecolor()
    if theme is None:
        return next((look for look in THEMES.values() if same_color(look.paper, paper)), "light")
    look = look_of(theme)
    if not same_color(look.paper, paper):
        raise ValueError(
            "save: theme must be the one that the figure was drawn in (theme= of the figure); "
            f"the paper of the one is {look.paper}, of the other {paper}"
        )
    return look


def _named(formats):
    formats = [formats] if isinstance(formats, str) else list(formats)
    for form in formats:
        if form not in FORMATS:
            raise ValueError(f"save: formats must be of {', '.join(FORMATS)}, got {form!r}")
    return formats
