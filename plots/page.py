"""The lesson as one page: its words, its numbers, and one figure to touch, in a single HTML file.

Every path and every bound that the figure can show is computed here and stored in the page, rounded
to what can be seen; ``page.js`` draws them, and computes nothing.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.resources import files
from typing import Any, NamedTuple

import contourpy
import jax
import numpy as np
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

import gdpure as gd
from gdpure.chapters import Chapter
from gdpure.lesson import regression

from . import views
from .levels import bands_of
from .palette import THEMES, legible
from .typesetting import chapter, typeset
from .views.descents import curvature, descents

STEPS = 50
UNITS = np.arange(1, 26) / 10  # step sizes, in units of 1/L
MOMENTA = np.arange(10) / 10
FINE, DECADE, MISSING = 400, 100, -(2**15)  # codes of half a window, of a power of ten, of nothing
_FAR = 4  # half windows: what is further away cannot be seen, only where it went
_SHARP = 1024  # level lines, of half a window
_BENT = 0.8  # of these: how far an outline may be from the level
_GRID = (121, 121)


class Shown(NamedTuple):
    """An objective of the figure, where it is seen and from where it descends."""

    key: str
    name: str
    formula: str
    f: Callable
    window: Any
    starts: Any


def shown() -> tuple[Shown, ...]:
    """Return the three objectives of the figure.

    Examples
    --------
    >>> assert [one.key for one in shown()] == ["bowl", "regression", "rosenbrock"]
    """
    x, y = regression().data
    line = gd.least_squares(gd.with_intercept(x), y)
    return (
        Shown("bowl", "bowl", "theta_0^2 + theta_1^2", gd.landscapes.bowl,
              ((-2.5, 2.5), (-2.5, 2.5)), ((2, 1), (-1, 2), (-2, -1.5))),
        Shown("regression", "regression", "mean((theta_0 + theta_1 x - y)^2)", line,
              ((-2, 2.5), (-2, 2.5)), ((2, 2), (0, 0), (-1.5, 1))),
        Shown("rosenbrock", "Rosenbrock", "(1 - theta_0)^2 + 100 (theta_1 - theta_0^2)^2",
              gd.landscapes.rosenbrock, ((-2, 2), (-1, 3)), ((-1.2, 1), (0, 0), (1.5, 2.5))),
    )  # fmt: skip


def page(told: Sequence[Chapter]) -> str:
    """Return the page: HTML that needs no other file and no network, the same for the same words.

    Parameters
    ----------
    told
        What `gdpure.chapters.chapters` returned.

    Examples
    --------
    >>> from gdpure.chapters import Chapter
    >>> whole = page([Chapter("A bowl", ("f(theta) = theta_0^2",))])
    >>> assert "<em>f</em>(θ)\N{NO-BREAK SPACE}=" in whole and len(whole) < 300_000
    """
    parts = {
        "style": _part("css") + _colors(),
        "script": _part("js"),
        "chapters": "\n".join(chapter(i, one) for i, one in enumerate(told, 1)),
        "made by": f"gdpure {version('gdpure')}, JAX {jax.__version__}",
        **_figure(),
    }
    return re.sub(r"\{\{(.+?)\}\}", lambda name: parts[name[1]], _part("html"))


def _part(ending):
    return files(__package__ or __name__).joinpath(f"page.{ending}").read_text("utf-8")


# -- the figure ------------------------------------------------------------------------------------


def _figure():
    """Return the parts of the figure: level sets, choices, and the data that the script draws."""
    maps, choices, described, codes, ends = [], [], [], [], []
    ticks = MaxNLocator(5, steps=[1, 2, 5, 10])
    for one in shown():
        L = curvature(one.f)
        found = descents(one.f, one.starts, UNITS / L, MOMENTA, STEPS)
        field = views.field(one.f, one.window, _GRID)
        maps.append(f'<g id="map-{one.key}" hidden>{_bands(field, one)}</g>')
        choices.append(
            f'<label><input type="radio" name="objective" value="{one.key}"> {one.name}</label>'
        )
        least = np.asarray(gd.facts(one.f).minimizer, np.float64)
        described.append(
            {
                "key": one.key,
                "name": one.name,
                "formula": typeset(one.formula),
                "L": L,
                "smooth": gd.facts(one.f).smoothness is not None,
                "window": one.window,
                "ticks": [np.asarray(ticks.tick_values(*side)).tolist() for side in one.window],
                "minimizer": _places(least, one.window).tolist(),
                "starts": one.starts,
                "first": [float(f"{gap:.3g}") for gap in found.gaps[0, 0, :, 0]],
                "proven": list(found.proven),
            }
        )
        bounds = list(found.proven.values())
        points = np.moveaxis(_seen(_places(found.points, one.window)), -1, 0)
        codes += [_coded(FINE * part) for part in points]
        first = found.gaps[..., :1]
        codes += [_coded(DECADE * _log10(part / first)) for part in (found.gaps, *bounds)]
        ends += [
            part[..., -1] for part in (found.gaps, np.fmin.reduce([found.gaps * np.nan, *bounds]))
        ]
    data = {
        "steps": STEPS, "units": UNITS.tolist(), "momenta": MOMENTA.tolist(), "fine": FINE,
        "sharp": _SHARP, "decade": DECADE, "missing": MISSING, "objectives": described,
        "packed": packed(codes, ends),
    }  # fmt: skip
    return {"maps": "\n".join(maps), "choices": "\n".join(choices), "data": json.dumps(data)}


def _places(points, window):
    """Return points in half windows from the middle of a window."""
    low, high = np.transpose(window)
    return (2 * points - (low + high)) / (high - low)


def _seen(places):
    """Return places of paths, moved nearer along the step that leads far away, to where it is cut.

    Of what comes after such a step only the direction from the middle is kept.
    """
    size = np.abs(places).max(-1, keepdims=True)
    before = np.where(size > _FAR, 0, places)[..., :-1, :]
    before = np.concatenate([np.zeros_like(before[..., :1, :]), before], -2)
    step = places - before
    with np.errstate(divide="ignore", invalid="ignore"):
        room = (np.copysign(_FAR, step) - before) / step
    share = np.where(size > _FAR, np.nanmin(room, -1, keepdims=True, initial=1), 1)
    return before + share * step


def _log10(gaps):
    with np.errstate(divide="ignore"):
        return np.maximum(np.log10(gaps), -20)


def _coded(numbers):
    return np.where(np.isnan(numbers), MISSING, np.round(numbers)).astype(np.int16)


def packed(codes: Sequence[np.ndarray], numbers: Sequence[np.ndarray]) -> str:
    r"""Return int16 rows, then float32 numbers, as deflated text.

    Of each row the differences, modulo 2^16, as 2 |d| or 2 |d| - 1 by sign: first all high bytes
    and then all low ones.

    Examples
    --------
    >>> one = packed([np.arange(3, dtype=np.int16)], [np.array([0.5])])
    >>> assert zlib.decompress(base64.b64decode(one)) == bytes(3) + bytes([0, 2, 2]) + b"\0\0\0?"
    """
    rows = np.concatenate([one.reshape(-1, one.shape[-1]) for one in codes])
    steps = np.diff(rows, axis=-1, prepend=np.int16(0))
    unsigned = ((steps << 1) ^ (steps >> 15)).astype("<u2").ravel()
    floats = np.concatenate([one.ravel() for one in numbers]).astype("<f4")
    planes = unsigned.view(np.uint8).reshape(-1, 2).T[::-1]
    return base64.b64encode(zlib.compress(planes.tobytes() + floats.tobytes(), 9)).decode()


def _bands(field, one):
    """Return level sets as filled outlines, from the widest to the lowest, in both colors."""
    z = np.asarray(field.z, np.float64)
    bands = [bands_of(z, THEMES[theme].mist, 0.0) for theme in ("light", "dark")]
    x, y = (
        _places(np.asarray(side, np.float64), ends)
        for side, ends in zip((field.x, field.y), one.window, strict=True)
    )
    lines = contourpy.contour_generator(x, y, z, name="serial", fill_type="OuterOffset")
    drawn = []
    colors = list(zip(*(map(_hex, one.colors) for one in bands), strict=True))
    for level, (light, dark) in reversed(list(zip(bands[0].edges[1:], colors, strict=True))):
        outlines = lines.filled(-np.inf, level)
        d = "".join(
            _outline(points[a:b])
            for points, offsets in zip(*outlines, strict=True)
            for a, b in zip(offsets[:-1], offsets[1:], strict=True)
        )
        drawn.append(f'<path style="--light:{light};--dark:{dark}" d="{d}"/>')
    return "\n".join(drawn)


def _outline(points):
    path = Path(_SHARP * points)
    path.simplify_threshold = _BENT
    places = np.round(np.asarray(path.cleaned(simplify=True).vertices)[:-1]).astype(int)
    steps = np.diff(places, axis=0)
    steps = steps[steps.any(1)]
    first = "M{} {}l".format(*places[0])
    return first + "".join(f"{dx} {dy} " for dx, dy in steps).rstrip() + "z"


def _hex(color):
    return "#" + "".join(f"{round(255 * part):02x}" for part in color[:3])


def _colors():
    """Return the colors of both themes by role, as properties of the page."""
    roles = ("paper", "ink", "muted", "rule", "faint", "gd", "bound", "warn")

    def rule(look):
        named = [f"--{role}:{getattr(look, role)}" for role in roles]
        named += [f"--{role}-text:{legible(getattr(look, role), look)}" for role in roles[-3:]]
        return ":root{" + ";".join(named) + "}"

    dark = rule(THEMES["dark"]) + "#maps path{fill:var(--dark)}"
    return f"{rule(THEMES['light'])}\n@media screen and (prefers-color-scheme:dark){{{dark}}}\n"
