"""References: what the figures of the gallery were, and whether they still are.

Three files a figure: what is drawn as numbers, what is written, and which role of the theme each
mark has its color from (`NAME.npz`), pixels without text at 100 dpi (`NAME.pixels.png`), both the
same whatever the fonts, and the figure itself (`NAME.svg`). Numbers, words and roles are the same
on dark paper, which so needs no files; some figures have one to be shown (`NAME.dark.svg`).

Numbers, words, roles and pixels are compared on every machine, bytes where all versions and kernels
are those of the references.
"""

from __future__ import annotations

import io
import json
import platform
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import jax
import matplotlib
import numpy as np
import scipy.linalg  # noqa: F401  brings the BLAS that JAX calls, so that it is seen
import threadpoolctl
from matplotlib import ft2font
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from PIL import Image

from .files import render, without_text
from .palette import Theme
from .reading import fractions, record
from .roles import recolored, roles
from .style import style
from .wording import words

FOLDER = Path(__file__).parent / "reference"
VERSIONS = "versions.json"
# RMS, of 255: other kernels of BLAS, NumPy and XLA make 0.035, the smallest planted bug 4.0.
MOST_PIXELS = 0.35
# Of the axes, two thirds of a pixel of the widest: other kernels make 2.5e-4, a gap that is nearly
# rounding, and the smallest planted bug 7.5e-3.
MOST_NUMBERS = 1e-3


ON_DARK = ("convergence", "one_step", "step_sweep", "tightness")  # shown to who reads on dark


class Drawn(NamedTuple):
    """A figure as numbers by mark, what makes fractions of them, as words, roles and files."""

    numbers: dict[str, np.ndarray]
    fractions: dict[str, Callable]
    words: list[str]
    roles: list[str]
    files: dict[str, bytes]


class Change(NamedTuple):
    """What became of a figure.

    Attributes
    ----------
    new
        Whether there is no reference.
    numbers
        By role, how far what is drawn is from the reference, as fractions of the axes.
    words
        What is written now or in the reference, but not in both.
    roles
        The marks and texts that have the colors of other roles.
    pixels
        RMS of the difference, of 255; on dark paper 0.
    bytes
        Whether the files are others.
    """

    new: bool
    numbers: dict[str, float]
    words: list[str]
    roles: list[str]
    pixels: float
    bytes: bool

    @property
    def moved(self) -> list[str]:
        """The roles whose numbers are others."""
        return [role for role, off in self.numbers.items() if not off <= MOST_NUMBERS]


class _Unrounded(RendererAgg):
    """Marks and lines lie where they are.

    Agg moves them to whole pixels: what lies half-way between two jumps with the last digit.
    """

    def __init__(self, *size):
        super().__init__(*size)
        self.draw_markers = partial(RendererBase.draw_markers, self)  # a path each

    def draw_path(self, gc, *path, **options):
        gc.set_snap(False)
        super().draw_path(gc, *path, **options)


def drawn(fig: Figure, theme: Theme = "light", formats: tuple[str, ...] = ("svg",)) -> Drawn:
    """Return the numbers and words of a figure and the files it makes.

    Examples
    --------
    >>> assert sorted(drawn(Figure()).files) == ["npz", "pixels.png", "svg"]
    """
    numbers, said, colored = record(fig), words(fig), roles(fig, theme)
    files = {"npz": _packed(numbers, said, colored), "pixels.png": _unrounded(fig, theme)}
    files |= {form: render(fig, form, theme) for form in formats}
    return Drawn(numbers, fractions(fig), said, colored, files)


def _unrounded(fig, theme):
    dpi, renderer = fig.dpi, _Unrounded(*fig.get_size_inches() * 100, 100)
    with style(theme), matplotlib.rc_context({"path.snap": False}), without_text(fig):
        fig.dpi = 100
        fig.draw(renderer)
        fig.dpi = dpi
    content = io.BytesIO()
    picture = Image.fromarray(np.asarray(renderer.buffer_rgba())).convert("RGB")
    picture.save(content, "png", optimize=True)
    return content.getvalue()


def _packed(numbers, said, colored):
    content, texts = io.BytesIO(), {"words": np.array(said, str), "roles": np.array(colored, str)}
    shorter = {key: _short(x) for key, x in numbers.items()}
    np.savez_compressed(content, allow_pickle=False, **texts, **shorter)
    return content.getvalue()


def _short(x):
    """Return numbers in float32, which nobody sees, unless they leave its range."""
    with np.errstate(over="ignore", under="ignore"):
        short = x.astype(np.float32)
    return short if np.allclose(short, x, rtol=1e-6, atol=0, equal_nan=True) else x


def place(folder: Path, name: str, theme: str, ending: str) -> Path:
    """Return where a file of a figure lies; its numbers are the same in every theme.

    Examples
    --------
    >>> assert place(Path("there"), "modes", "dark", "svg") == Path("there/modes.dark.svg")
    >>> assert place(Path("there"), "modes", "dark", "npz") == Path("there/modes.npz")
    """
    plain = theme == "light" or ending == "npz"
    return folder / f"{name}{'' if plain else f'.{theme}'}.{ending}"


def kept(name: str, theme: str, ending: str) -> bool:
    """Return whether a file of a figure lies among the references.

    Examples
    --------
    >>> assert kept("basins", "light", "svg") and not kept("basins", "dark", "svg")
    """
    return theme == "light" or (ending == "svg" and name in ON_DARK)


def changes(now: Drawn, name: str, theme: str, folder: Path | None = None) -> Change:
    """Compare a figure with the files of its reference.

    Parameters
    ----------
    now
        The figure as it is drawn now.
    name, theme
        Which one it is.
    folder
        Where the references lie, by default FOLDER.

    Examples
    --------
    >>> assert changes(drawn(Figure()), "nothing", "light").new
    """
    folder = FOLDER if folder is None else folder
    endings = ("npz", "pixels.png", "svg") if theme == "light" else ("npz",)
    stored = {ending: place(folder, name, theme, ending) for ending in endings}
    if not all(path.exists() for path in stored.values()):
        return Change(True, {}, [], [], 0.0, True)
    with np.load(stored["npz"]) as opened:
        before = dict(opened)
    said, colored = (before.pop(texts).tolist() for texts in ("words", "roles"))
    files = {ending: path.read_bytes() for ending, path in stored.items() if theme == "light"}
    return Change(
        False,
        {role: _apart(role, before, now) for role in sorted(before.keys() | now.numbers.keys())},
        [text for text in now.words + said if now.words.count(text) != said.count(text)],
        recolored(now.roles, colored),
        rms(files["pixels.png"], now.files["pixels.png"]) if files else 0.0,
        any(content != now.files.get(ending) for ending, content in files.items()),
    )


def passes(change: Change, exact: bool) -> bool:
    """Whether a figure still is its reference, where it must be so to the byte or elsewhere.

    Examples
    --------
    >>> assert passes(Change(False, {"path": 1e-6}, [], [], 0.01, bytes=True), exact=False)
    >>> assert not passes(Change(False, {"path": 1e-6}, [], [], 0.01, bytes=True), exact=True)
    """
    moved = change.new or change.moved or change.words or change.roles
    most = change.pixels <= MOST_PIXELS and not moved
    return most and not (exact and change.bytes)


def _apart(role, before, now):
    """Return how far numbers are from what they were, in fractions of the axes.

    What is off the axes by more than their size counts by its distance: no more of it is seen.
    """
    if role not in before or role not in now.numbers:
        return np.inf
    old, new = before[role], now.numbers[role]
    shown = [np.where(np.isfinite(x), 0, x) for x in (old, new)]
    if not (old.shape == new.shape and np.array_equal(*shown, equal_nan=True)):
        return np.inf
    a, b = (np.ma.filled(now.fractions[role](x), np.nan) for x in (old, new))
    return float(np.nanmax(np.abs(b - a) / np.maximum(1, np.abs(a)), initial=0.0))


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
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), np.float64)


def versions() -> dict[str, str]:
    """Return the versions on which the bytes of a figure depend, and the kernels.

    Examples
    --------
    >>> assert {"matplotlib", "freetype", "jax", "BLAS kernels"} <= set(versions())
    """
    named = ("numpy", "matplotlib", "pillow", "contourpy", "jax", "jaxlib", "scipy")
    found = {name: version(name) for name in named}
    found |= {"freetype": ft2font.__freetype_version__, "python": platform.python_version()}
    return found | {"machine": platform.machine()} | _kernels()


def _kernels():
    """Return what libraries chose for this processor: it decides about last digits."""
    blas = [lib for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"]
    names = sorted({lib.get("architecture") or lib["internal_api"] for lib in blas})
    [chosen] = np.lib.introspect.opt_func_info("^exp$", "^float64$")["exp"].values()
    x = np.float32(1 + 2**-12)  # x^2 = 1 + 2^-11 + 2^-24: the last is lost where it is rounded
    fused = jax.jit(lambda x: x * x - (1 + 2**-11))(x) != 0
    return {
        "BLAS kernels": ", ".join(names),
        "NumPy kernels": chosen["current"],
        "XLA": f"{jax.default_backend()}, products {'fused' if fused else 'rounded'}",
    }


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
