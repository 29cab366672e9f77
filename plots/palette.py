"""Colors by role and maps of even steps, for light and for dark paper.

Roles of one theme differ by 0.10 in OKLab for normal, protan, deutan and tritan vision. Maps have
steps there that are as even as viridis has them, and a lightness that only rises or only falls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import (
    Colormap,
    LinearSegmentedColormap,
    is_color_like,
    to_hex,
    to_rgb,
)


class Look(NamedTuple):
    """What each color stands for.

    `gd` is gradient descent, as measured; `sgd` stochastic descent, or float32 beside float64;
    `third` whatever is third; `bound` what is proven; `warn` an edge that must not be passed;
    `samples` the examples one by one. `depth` colors the values of an objective, `mist` the pale
    ground under paths and arrows, `verdict` what falls (one hue) and what rises (the other).
    """

    paper: str
    ink: str
    muted: str
    rule: str
    faint: str
    gd: str
    sgd: str
    third: str
    bound: str
    warn: str
    samples: tuple[str, ...]
    depth: Colormap
    mist: Colormap
    verdict: Colormap


def _map(name, colors):
    """Return a map from low to high, through colors that are about equally far apart in OKLab."""
    return LinearSegmentedColormap.from_list(name, colors.split())


THEMES = {
    "light": Look(
        paper="#ffffff",
        ink="#1f2933",
        muted="#5f6c78",
        rule="#c9d1d8",
        faint="#eef1f4",
        gd="#b3340a",
        sgd="#a56cdc",
        third="#2a9a60",
        bound="#123f8f",
        warn="#c02626",
        samples=("#123f8f", "#b3540a", "#3a9d86"),
        depth=_map("gd.depth", "#322d5f #2f6494 #429db1 #8fcfbf #f0f7e1"),
        mist=_map("gd.mist", "#70a1c0 #82bcce #a0d6d9 #caebe1 #f9fbf6"),
        verdict=_map("gd.verdict", "#1c3a73 #3d7dad #8cbcda #f5f7f8 #f0b278 #c36d26 #86310d"),
    ),
    "dark": Look(
        paper="#12181f",
        ink="#e8edf2",
        muted="#9aa7b3",
        rule="#3b4752",
        faint="#1b232c",
        gd="#f0763a",
        sgd="#d9a8ff",
        third="#7ee8a8",
        bound="#5f8fce",
        warn="#ff6b60",
        samples=("#4f9bea", "#f0a040", "#6ff0cf"),
        depth=_map("gd.depth_dark", "#9ce2ce #4aadb6 #2f729c #2f3c66 #151423"),
        mist=_map("gd.mist_dark", "#336a88 #28536e #203e55 #192a3b #12181f"),
        verdict=_map("gd.verdict_dark", "#9bdcf6 #4794c9 #245279 #181a1b #7a3c1a #cf7634 #fdcf90"),
    ),
}


Theme = str | Mapping[str, Any] | Look


def look_of(theme: Theme) -> Look:
    """Return the look of a theme: "light", "dark", or other colors for some roles of "light".

    Raises
    ------
    ValueError
        If the theme or a role is unknown, or a color is none.

    Examples
    --------
    >>> assert look_of({"gd": "black"}).gd == "black"
    """
    if isinstance(theme, Look):
        return theme
    if isinstance(theme, str):
        if theme not in THEMES:
            raise ValueError(f"theme must be 'light', 'dark' or a mapping, got {theme!r}")
        return THEMES[theme]
    if not isinstance(theme, Mapping):
        raise TypeError(f"theme must be 'light', 'dark' or a mapping of roles, got {theme!r}")
    for role, color in theme.items():
        if role not in Look._fields:
            raise ValueError(f"theme: no role is called {role!r}; they are {_listed(Look._fields)}")
        wanted = getattr(THEMES["light"], role)
        if isinstance(wanted, Colormap):
            fits, kind = isinstance(color, Colormap), "a colormap"
        elif isinstance(wanted, tuple):
            fits = not isinstance(color, str) and len(color) > 0 and all(map(is_color_like, color))
            kind = "colors"
        else:
            fits, kind = is_color_like(color), "a color"
        if not fits:
            raise ValueError(f"theme: {role} must be {kind}, got {color!r}")
    return THEMES["light"]._replace(**theme)


def _listed(names):
    return ", ".join(names[:-1]) + f" and {names[-1]}"


def linear(rgb: Any) -> np.ndarray:
    """Return light from sRGB, shape (..., 3).

    Examples
    --------
    >>> assert linear([0.0, 1.0, 1.0]).tolist() == [0.0, 1.0, 1.0]
    """
    rgb = np.asarray(rgb, np.float64)
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(one: Any, other: Any) -> float:
    """Return the contrast of two colors as WCAG 2 defines it, from 1 to 21.

    Examples
    --------
    >>> assert abs(contrast("white", "black") - 21) < 1e-9
    """
    bright, dim = sorted(
        (float(linear(to_rgb(color)) @ [0.2126, 0.7152, 0.0722]) for color in (one, other)),
        reverse=True,
    )
    return (bright + 0.05) / (dim + 0.05)


def legible(color: Any, look: Look, ratio: float = 4.5) -> str:
    """Return the color, moved towards the ink until small text of it can be read on the paper.

    Examples
    --------
    >>> light = look_of("light")
    >>> assert contrast(legible(light.sgd, light), light.paper) >= 4.5
    """
    start, ink = np.array(to_rgb(color)), np.array(to_rgb(look.ink))
    for share in np.linspace(0, 1, 41):
        mixed = to_hex((1 - share) * start + share * ink)
        if contrast(mixed, look.paper) >= ratio:
            return mixed
    return to_hex(look.ink)
