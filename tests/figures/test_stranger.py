"""A stranger comes with a function: good pictures without an option, or one sentence."""

import base64

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure, FigureBase
from texts import every_text_can_be_read, no_text_is_clipped_or_overlaps

import gdpure as gd
from gdpure import plots
from gdpure.plots.palette import THEMES
from gdpure.plots.sizes import SIZES


def f(t):
    return jnp.sin(3 * t[0]) + t[1] ** 4 - t[0] * t[1]


START = jnp.array([0.3, 1.2])
RUN = gd.descend(f, START, 0.05, steps=30)
LOST = gd.descend(f, START, 0.4, steps=30)  # leaves every window, and diverges

# What needs no more than a function, a start or a run.
DRAWN = {
    "level_sets": lambda **o: plots.level_sets(f, **o),
    "surface": lambda **o: plots.surface(f, **o),
    "landscape": lambda **o: plots.landscape(f, **o),
    "landscape with a path": lambda **o: plots.landscape(f, path=RUN, **o),
    "descent": lambda **o: plots.descent(f, RUN, **o),
    "descent of a run that diverges": lambda **o: plots.descent(f, LOST, **o),
    "one_step": lambda **o: plots.one_step(f, START, 0.05, **o),
    "tangents": lambda **o: plots.tangents(lambda x: jnp.cos(x) + x**2 / 9, [1.0, 1.5, 2.0], **o),
    "convergence": lambda **o: plots.convergence(f, RUN, **o),
    "convergence of a run that diverges": lambda **o: plots.convergence(f, LOST, **o),
    "step_sweep": lambda **o: plots.step_sweep(f, START, **o),
    "step_rules": lambda **o: plots.step_rules(f, START, **o),
    "gradient_check": lambda **o: plots.gradient_check(f, START, **o),
    "basins": lambda **o: plots.basins(f, **o),
    "animate": lambda **o: plots.animate(f, RUN, **o).figure,
    "momentum_plane": lambda **o: plots.momentum_plane(**o),
    "tightness": lambda **o: plots.tightness(**o),
}


@pytest.mark.parametrize("name", DRAWN)
def test_pictures_without_options(name):
    drawn = DRAWN[name]()
    fig = drawn if isinstance(drawn, FigureBase) else drawn.figure
    assert len(plots.record(fig)) > len(fig.axes) or name == "surface"  # of corners unknown
    no_text_is_clipped_or_overlaps(fig)
    every_text_can_be_read(fig, THEMES["light"])


# What is about facts, examples or fitted lines, and says so.
SENTENCES = {
    "certificate": (lambda: plots.certificate(f, RUN), "smoothness.*facts=gd.Facts"),
    "modes": (lambda: plots.convergence(f, RUN, modes=True), "modes: the objective must be"),
    "fit_and_parameters": (lambda: plots.fit_and_parameters(f, RUN), "mean squared error"),
    "conditioning": (lambda: plots.conditioning({"a": f, "b": f}), "conditioning: .*facts"),
    "per_sample": (lambda: plots.per_sample(f), "per_sample: .*finite sum"),
    "gd_vs_sgd": (lambda: plots.gd_vs_sgd(f, START), "gd_vs_sgd: .*finite sum"),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_what_needs_more_says_what(name):
    draw, sentence = SENTENCES[name]
    with pytest.raises((TypeError, ValueError), match=sentence) as caught:
        draw()
    assert "\n" not in str(caught.value)


def test_every_figure_is_here():
    functions = set(plots.__all__) - {"THEMES", "alt_text", "record", "save", "save_animation"}
    tried = {name.split()[0] for name in DRAWN} | set(SENTENCES) - {"modes"}
    assert functions - {"views"} == tried


@pytest.mark.parametrize("name", sorted(set(plots.__all__) - {"THEMES", "views"}))
def test_every_figure_says_what_it_is_for_and_shows_it(name):
    said = getattr(plots, name).__doc__
    assert said.splitlines()[0].endswith((".", ":"))
    for part in ("Parameters\n", "Examples\n", ">>>", "assert"):
        assert part in said, part
    assert "Raises\n" in said or name in ("alt_text", "record")


FIGURES = {
    "landscape": lambda **o: plots.landscape(f, **o),
    "step_sweep": lambda **o: plots.step_sweep(f, START, steps=5, **o),
    "gradient_check": lambda **o: plots.gradient_check(f, START, **o),
    "step_rules": lambda **o: plots.step_rules(f, START, {"short": 0.01}, steps=2, **o),
}
AXES = {
    "tightness": lambda **o: plots.tightness(["linear-value"], **o),
    "level_sets": lambda **o: plots.level_sets(f, **o),
    "descent": lambda **o: plots.descent(f, RUN, **o),
    "one_step": lambda **o: plots.one_step(f, START, 0.05, **o),
    "convergence": lambda **o: plots.convergence(f, RUN, **o),
    "tangents": lambda **o: plots.tangents(jnp.square, [1.0, 0.5], **o),
    "basins": lambda **o: plots.basins(f, n=(21, 17), steps=20, **o),
    "momentum_plane": lambda **o: plots.momentum_plane(n=(21, 17), **o),
}


@pytest.mark.parametrize("name", FIGURES)
def test_whole_figures_take_a_figure_and_refuse_axes(name):
    part = Figure(figsize=(14, 6)).subfigures(1, 2)[1]
    assert FIGURES[name](fig=part) is part
    with pytest.raises(TypeError, match=f"{name}: draws a whole figure: pass fig="):
        FIGURES[name](ax=Figure().add_subplot())


@pytest.mark.parametrize("name", AXES)
def test_axes_are_taken_and_figures_refused(name):
    left, right = Figure(figsize=(14, 6)).subplots(1, 2)
    assert AXES[name](ax=left) is left and not right.has_data()
    with pytest.raises(TypeError, match=f"{name}: draws one axes: pass ax="):
        AXES[name](fig=Figure())


@pytest.mark.parametrize("name", FIGURES | AXES)
def test_unknown_roles_are_refused_everywhere(name):
    with pytest.raises(ValueError, match="theme: no role is called 'lines'"):
        (FIGURES | AXES)[name](theme={"lines": "red"})
    with pytest.raises(ValueError, match=f"{name}: size must be 'column', 'page', 'slide', got 0"):
        (FIGURES | AXES)[name](size=0)


@pytest.mark.parametrize("name", FIGURES | AXES)
def test_a_notebook_shows_the_picture_and_says_what_it_is(name):
    shown = (FIGURES | AXES)[name]()
    data, about = shown._repr_mimebundle_(include=None, exclude=None)
    assert data["text/plain"] == about["image/png"]["alt"] == plots.alt_text(shown.figure)
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")


def test_on_axes_of_somebody_else_nothing_is_shown_twice():
    ax = plots.convergence(f, RUN, ax=Figure().add_subplot())
    assert not hasattr(ax, "_repr_mimebundle_")


def test_a_page_and_a_slide_are_the_same_picture():
    grown = SIZES["slide"].growth
    small, large = Figure(figsize=(7, 3.5)), Figure(figsize=(7 * grown, 3.5 * grown))
    plots.landscape(f, fig=small)
    plots.landscape(f, fig=large, size="slide")
    one, other = plots.record(small), plots.record(large)
    same = {key for key in one if np.array_equal(one[key], other[key])}
    assert same == set(one) == set(other)
