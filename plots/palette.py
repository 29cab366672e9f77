"""Colors by role and maps of equal perceived steps, for light and for dark paper.

Roles of one theme differ by 0.10 in OKLab for normal, protan, deutan and tritan vision. Maps have
steps of equal length in OKLab and a lightness that only rises or only falls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import Colormap, ListedColormap, is_color_like, to_hex, to_rgb


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


# -- OKLab -----------------------------------------------------------------------------------------

# Ottosson, "A perceptual color space for image processing", 2020.
_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def linear(rgb: Any) -> np.ndarray:
    """Return light from sRGB, shape (..., 3).

    Examples
    --------
    >>> assert linear([0.0, 1.0, 1.0]).tolist() == [0.0, 1.0, 1.0]
    """
    rgb = np.asarray(rgb, np.float64)
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def oklab(rgb: Any) -> np.ndarray:
    """Return OKLab coordinates of sRGB colors, shape (..., 3).

    Examples
    --------
    >>> assert np.allclose(oklab([1.0, 1.0, 1.0]), [1, 0, 0], atol=1e-4)
    """
    return np.cbrt(linear(rgb) @ _TO_CONES.T) @ _TO_LAB.T


def _srgb(lightness, chroma, hue):
    turned = np.deg2rad(hue)
    lab = np.stack([lightness, chroma * np.cos(turned), chroma * np.sin(turned)], -1)
    light = (lab @ np.linalg.inv(_TO_LAB).T) ** 3 @ np.linalg.inv(_TO_CONES).T
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _ramp(name, *knots, n=256):
    """Return a map through knots (lightness, chroma, hue) in steps of equal length."""
    t, fine = np.linspace(0, 1, len(knots)), np.linspace(0, 1, 4001)
    lightness, *others = np.transpose(knots)
    # Smooth chroma and hue; a lightness of straight pieces stays monotone.
    smooth = [np.polyval(np.polyfit(t, other, len(knots) - 1), fine) for other in others]
    curve = np.stack([np.interp(fine, t, lightness), *smooth])
    lengths = np.linalg.norm(np.diff(oklab(_srgb(*curve)), axis=0), axis=1)
    traveled = np.append(0, np.cumsum(lengths))
    even = np.interp(np.linspace(0, traveled[-1], n), traveled, fine)
    return ListedColormap(_srgb(*(np.interp(even, fine, row) for row in curve)), name)


def _diverging(name, below, above, middle):
    """Return a map of two arms; each reaches the gray between them in its own hue."""
    falling = np.asarray(_ramp("", *below, (middle, 0.003, below[-1][2]), n=129).colors)
    rising = np.asarray(_ramp("", (middle, 0.003, above[0][2]), *above, n=129).colors)
    return ListedColormap(np.vstack([falling, rising[1:]]), name)


# -- themes ----------------------------------------------------------------------------------------

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
        depth=_ramp(
            "gd.depth", (0.33, 0.085, 285), (0.55, 0.095, 235), (0.78, 0.075, 185),
            (0.965, 0.030, 120),
        ),
        mist=_ramp(
            "gd.mist", (0.685, 0.070, 238), (0.795, 0.062, 212), (0.90, 0.042, 182),
            (0.985, 0.006, 120),
        ),
        verdict=_diverging(
            "gd.verdict", [(0.36, 0.105, 262), (0.68, 0.085, 238)],
            [(0.76, 0.120, 62), (0.43, 0.125, 40)], 0.975,
        ),
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
        depth=_ramp(
            "gd.depth_dark", (0.86, 0.075, 175), (0.64, 0.095, 215), (0.43, 0.085, 260),
            (0.20, 0.030, 285),
        ),
        mist=_ramp(
            "gd.mist_dark", (0.50, 0.075, 235), (0.40, 0.062, 240), (0.30, 0.045, 248),
            (0.205, 0.018, 255),
        ),
        verdict=_diverging(
            "gd.verdict_dark", [(0.86, 0.075, 225), (0.55, 0.105, 245)],
            [(0.58, 0.130, 50), (0.88, 0.095, 75)], 0.215,
        ),
    ),
}  # fmt: skip


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
