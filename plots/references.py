"""References: what the figures of the gallery were, and whether they still are.

Three files a figure: what is drawn as numbers (`NAME.npz`), as pixels without text at 100 dpi
(`NAME.pixels.png`), both the same whatever the fonts, and the figure itself (`NAME.svg`). On dark
paper it has pixels and a figure of its own (`NAME.dark.svg`).
"""

from __future__ import annotations

import io
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import ft2font
from matplotlib.figure import Figure

from .files import render
from .palette import Theme
from .reading import record

FOLDER = Path(__file__).parent / "reference"
VERSIONS = "versions.json"
# The smallest planted error of the tests moves the pixels by 4.1, the last digits of another JAX by
# 0.01; on the versions of the references nothing moves.
MOST_ELSEWHERE = 1.0
# Relative to the largest entry: runs in float64 differ by 1e-15 between versions of JAX, but for
# Barzilai and Borwein's last step, a quotient of differences that are nearly rounding.
_DIGITS = {"step_rules": 1e-3}
_USUAL = 1e-9


class Drawn(NamedTuple):
    """A figure as numbers by role, and as files by their endings."""

    numbers: dict[str, np.ndarray]
    files: dict[str, bytes]


class Change(NamedTuple):
    """What became of a figure: is it new, what numbers changed, RMS of pixels, text alone."""

    new: bool
    numbers: tuple[str, ...]
    pixels: float
    text: bool


def drawn(fig: Figure, theme: Theme = "light", formats: tuple[str, ...] = ("svg",)) -> Drawn:
    """Return the numbers of a figure and the files it makes.

    Examples
    --------
    >>> assert sorted(drawn(Figure()).files) == ["npz", "pixels.png", "svg"]
    """
    numbers = record(fig)
    files = {"pixels.png": render(fig, "png", theme, text=False, dpi=100)}
    files |= {form: render(fig, form, theme) for form in formats}
    return Drawn(numbers, files | {"npz": _packed(numbers)})


def _packed(numbers):
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **numbers)
    return content.getvalue()


def place(folder: Path, name: str, theme: str, ending: str) -> Path:
    """Return where a file of a figure lies; its numbers are the same in every theme.

    Examples
    --------
    >>> assert place(Path("there"), "modes", "dark", "svg") == Path("there/modes.dark.svg")
    >>> assert place(Path("there"), "modes", "dark", "npz") == Path("there/modes.npz")
    """
    plain = theme == "light" or ending == "npz"
    return folder / f"{name}{'' if plain else f'.{theme}'}.{ending}"


def changes(now: Drawn, name: str, theme: str, exact: bool, folder: Path | None = None) -> Change:
    """Compare a figure with the files of its reference.

    Parameters
    ----------
    now
        The figure as it is drawn now.
    name, theme
        Which one it is.
    exact
        Whether this is the machinery that drew the reference, so that not a byte may differ.
    folder
        Where the references lie, by default FOLDER.

    Examples
    --------
    >>> assert changes(drawn(Figure()), "nothing", "light", exact=True).new
    """
    folder = FOLDER if folder is None else folder
    numbers, pixels, svg = (
        place(folder, name, theme, ending) for ending in ("npz", "pixels.png", "svg")
    )
    if not all(path.exists() for path in (numbers, pixels, svg)):
        return Change(True, (), 0.0, False)
    with np.load(numbers) as stored:
        before = dict(stored)
    digits = _USUAL if exact else _DIGITS.get(name, _USUAL)
    moved = tuple(sorted(_different(before, now.numbers, digits)))
    off = rms(pixels.read_bytes(), now.files["pixels.png"])
    same = "svg" not in now.files or svg.read_bytes() == now.files["svg"]
    return Change(False, moved, off, exact and not same and not moved and off == 0)


def passes(change: Change, exact: bool) -> bool:
    """Whether a figure still is its reference.

    Examples
    --------
    >>> assert passes(Change(False, (), 0.5, False), exact=False)
    >>> assert not passes(Change(False, (), 0.5, False), exact=True)
    """
    most = 0.0 if exact else MOST_ELSEWHERE
    return not (change.new or change.numbers or change.pixels > most or change.text)


def _different(before, now, digits):
    for key in before.keys() | now.keys():
        if key not in before or key not in now or before[key].shape != now[key].shape:
            yield key
            continue
        old, new = before[key], now[key]
        finite = np.isfinite(old)
        scale = np.abs(old[finite]).max(initial=0)
        close = np.abs(np.where(finite, new - old, 0)) <= digits * scale
        if not (close.all() and np.array_equal(old[~finite], new[~finite], equal_nan=True)):
            yield key


def rms(one: bytes, other: bytes) -> float:
    """Return the root mean square difference of two PNGs, of 255; infinite for other sizes.

    Examples
    --------
    >>> blank = render(Figure(), "png", "light", dpi=20)
    >>> assert rms(blank, blank) == 0
    >>> assert rms(blank, render(Figure(), "png", "light", dpi=10)) == float("inf")
    """
    a, b = (_pixels(png) for png in (one, other))
    return float(np.sqrt(np.mean((a - b) ** 2))) if a.shape == b.shape else float("inf")


def _pixels(png):
    from PIL import Image  # matplotlib brings it

    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), np.float64)


def versions() -> dict[str, str]:
    """Return the versions on which the bytes of a figure depend.

    Examples
    --------
    >>> assert {"matplotlib", "freetype", "jax"} <= set(versions())
    """
    named = ("numpy", "matplotlib", "pillow", "contourpy", "jax", "jaxlib")
    found = {name: version(name) for name in named}
    found |= {"freetype": ft2font.__freetype_version__, "python": platform.python_version()}
    return found | {"machine": f"{platform.machine()}, {_processor()}"}


def _processor():
    """Return the model of the processor: its instructions decide about last digits."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def other_versions(folder: Path | None = None) -> str:
    """Return in words how this machinery differs from that of the references; "" if it does not.

    Examples
    --------
    >>> assert other_versions(FOLDER / "nowhere") == "no versions are recorded"
    """
    path = (FOLDER if folder is None else folder) / VERSIONS
    if not path.exists():
        return "no versions are recorded"
    before, now = json.loads(path.read_text()), versions()
    return ", ".join(
        f"{name} {now.get(name)} for {before[name]}"
        for name in before
        if now.get(name) != before[name]
    )
