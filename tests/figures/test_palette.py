"""Colors: told apart under four kinds of color vision, read on their paper, maps of even steps."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import colormaps
from matplotlib.colors import to_rgb

from gdpure.plots.palette import THEMES, Look, contrast, legible, linear, look_of

LOOKS = pytest.mark.parametrize("look", THEMES.values(), ids=THEMES)
# Machado, Oliveira and Fernandes, IEEE Trans. Vis. Comput. Graph. 15, 2009, severity 1: what
# linear light becomes without one kind of cone.
VISIONS = {
    "normal": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


# Ottosson, "A perceptual color space for image processing", 2020.
TO_CONES = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
]
TO_LAB = [
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
]


def oklab(rgb):
    """OKLab coordinates of sRGB colors, shape (..., 3)."""
    return np.cbrt(linear(rgb) @ np.transpose(TO_CONES)) @ np.transpose(TO_LAB)


def colors_of(colormap):
    return colormap(np.arange(colormap.N))[:, :3]


def seen(colors, vision):
    """OKLab coordinates of colors as they are seen, shape (n, 3)."""
    light = np.clip(linear(np.asarray(colors)) @ np.transpose(VISIONS[vision]), 0, 1)
    return oklab(np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))


def least_distance(colors):
    """The smallest distance between two colors under any vision."""
    rgb = [to_rgb(color) for color in colors]
    return min(
        np.linalg.norm(a - b)
        for vision in VISIONS
        for a, b in itertools.combinations(seen(rgb, vision), 2)
    )


@LOOKS
def test_roles_and_samples_are_told_apart_under_every_vision(look):
    assert least_distance([look.gd, look.sgd, look.third, look.bound]) >= 0.10
    assert least_distance(look.samples) >= 0.10


def test_a_palette_that_is_picked_by_hand_is_caught():
    # The hues of Okabe and Ito as they were first tried here: two are one for deutans.
    assert least_distance(["#b3540a", "#8a6d00", "#2a9a60", "#123f8f"]) < 0.10


@LOOKS
def test_marks_stand_out_from_the_paper(look):
    for color in (look.ink, look.muted, look.gd, look.sgd, look.third, look.bound, look.warn):
        assert contrast(color, look.paper) >= 3
    assert all(contrast(color, look.paper) >= 3 for color in look.samples)


@LOOKS
def test_small_text_of_any_role_is_legible(look):
    for color in (look.gd, look.sgd, look.third, look.bound, look.warn, *look.samples, look.muted):
        assert contrast(legible(color, look), look.paper) >= 4.5


@given(st.tuples(*[st.floats(0, 1)] * 3))
def test_any_color_becomes_legible(color):
    for look in THEMES.values():
        assert contrast(legible(color, look), look.paper) >= 4.5


@LOOKS
@pytest.mark.parametrize("name", ["depth", "mist"])
@pytest.mark.parametrize("vision", VISIONS)
def test_maps_rise_in_lightness_for_all(look, name, vision):
    lightness = seen(colors_of(getattr(look, name)), vision)[:, 0]
    change = np.diff(lightness)
    assert (change > 0).all() or (change < 0).all()


@LOOKS
@pytest.mark.parametrize("name", ["depth", "mist"])
def test_maps_have_even_steps(look, name):
    """As even as those of viridis, which was made for it, and more even than others'."""

    def unevenness(colormap):
        steps = np.linalg.norm(np.diff(oklab(colors_of(colormap)), axis=0), axis=1)
        return steps.max() / steps.min()

    assert unevenness(getattr(look, name)) < unevenness(colormaps["viridis"]) < 1.35
    assert unevenness(colormaps["GnBu"]) > 3


@LOOKS
def test_the_verdict_is_the_paper_where_nothing_changed(look):
    middle = look.verdict(0.5)[:3]
    assert np.linalg.norm(oklab(middle) - oklab(to_rgb(look.paper))) < 0.08
    ends = [look.verdict(0.0)[:3], look.verdict(1.0)[:3]]
    assert least_distance(ends) >= 0.10


def test_the_valley_is_nearest_to_the_ink_on_light_paper_and_brightest_on_dark():
    for theme, sign in (("light", 1), ("dark", -1)):
        first, *_, last = oklab(colors_of(THEMES[theme].depth))[:, 0]
        assert sign * (last - first) > 0.5


def test_oklab_is_that_of_its_author():
    # Ottosson's own table, from XYZ by way of sRGB's primaries.
    assert np.allclose(oklab([1.0, 1.0, 1.0]), [1, 0, 0], atol=1e-4)
    assert np.allclose(oklab([1.0, 0.0, 0.0]), [0.628, 0.225, 0.126], atol=1e-3)
    assert np.allclose(oklab([0.0, 0.0, 1.0]), [0.452, -0.032, -0.312], atol=1e-3)


def test_a_theme_may_change_single_roles():
    mine = look_of({"gd": "black", "samples": ("red", "blue")})
    assert mine.gd == "black" and mine.samples == ("red", "blue")
    assert mine.paper == THEMES["light"].paper and look_of(mine) is mine


@pytest.mark.parametrize(
    ("theme", "error", "sentence"),
    [
        ("sepia", ValueError, "theme must be 'light', 'dark' or a mapping, got 'sepia'"),
        (3, TypeError, "theme must be 'light', 'dark' or a mapping of roles, got 3"),
        ({"bakground": "red"}, ValueError, "no role is called 'bakground'; they are paper, ink"),
        ({"gd": "reddish"}, ValueError, "theme: gd must be a color, got 'reddish'"),
        ({"samples": "red"}, ValueError, "theme: samples must be colors, got 'red'"),
        ({"depth": "viridis"}, ValueError, "theme: depth must be a colormap, got 'viridis'"),
    ],
)
def test_a_theme_that_is_none_is_one_sentence(theme, error, sentence):
    with pytest.raises(error, match=sentence):
        look_of(theme)


def test_every_role_is_documented():
    assert all(f"`{role}`" in Look.__doc__ for role in ("gd", "sgd", "third", "bound", "warn"))
