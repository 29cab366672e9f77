"""Layout: figures of every size, on axes and figures of anybody, hold what is written in them."""

import jax.numpy as jnp
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from texts import every_text_can_be_read, no_text_is_clipped_or_overlaps

import gdpure as gd
from gdpure import plots
from gdpure.plots.palette import THEMES
from gdpure.plots.sizes import SIZES


def f(t):
    return jnp.sin(3 * t[0]) + t[1] ** 4 - t[0] * t[1]


START = jnp.array([0.3, 1.2])
RUN = gd.descend(f, START, 0.05, steps=30)
FIT = gd.least_squares(gd.with_intercept([1.0, 2.0, 3.0]), [1.0, 2.2, 2.8])
FITTED = gd.descend(FIT, jnp.array([2.0, 2.0]), 0.09, steps=60)

AXES = {
    "level_sets": lambda **o: plots.level_sets(f, **o),
    "descent": lambda **o: plots.descent(f, RUN, **o),
    "one_step": lambda **o: plots.one_step(f, START, 0.05, **o),
    "convergence": lambda **o: plots.convergence(FIT, FITTED, **o),
    "certificate": lambda **o: plots.certificate(FIT, FITTED, **o),
    "basins": lambda **o: plots.basins(f, n=(21, 17), steps=20, **o),
    "momentum_plane": lambda **o: plots.momentum_plane(n=(21, 17), **o),
}
FIGURES = {
    "landscape": lambda **o: plots.landscape(f, path=RUN, **o),
    "step_sweep": lambda **o: plots.step_sweep(f, START, steps=5, **o),
    "gradient_check": lambda **o: plots.gradient_check(f, START, **o),
    "fit_and_parameters": lambda **o: plots.fit_and_parameters(FIT, FITTED, **o),
    "conditioning": lambda **o: plots.conditioning(FIT, **o),
    "step_rules": lambda **o: plots.step_rules(FIT, START, steps=4, **o),
    "per_sample": lambda **o: plots.per_sample(FIT, **o),
}
# What seaborn and dark_background do to a session, and more.
THEIRS = {
    "axes.grid": True, "axes.facecolor": "black", "figure.facecolor": "black", "font.size": 15,
    "text.color": "white", "axes.labelcolor": "white", "axes.edgecolor": "white",
    "xtick.color": "white", "ytick.color": "white", "axes.titlesize": 20, "lines.linewidth": 5,
    "font.family": "serif", "xtick.direction": "in", "xtick.minor.visible": True,
    "axes.titlelocation": "center", "axes.titleweight": "normal", "axes.labelpad": 12,
    "axes.spines.left": False, "mathtext.fontset": "stix",
}  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_stays_open():
    yield
    plt.close("all")


@pytest.mark.parametrize("name", AXES)
def test_axes_of_plain_subplots_hold_what_is_written(name):
    fig, axes = plt.subplots(1, 2, figsize=(9, 4))
    for ax in axes:
        AXES[name](ax=ax)
    no_text_is_clipped_or_overlaps(fig)
    every_text_can_be_read(fig, THEMES["light"])


def drawn(fig):
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def on_axes(name):
    fig, ax = plt.subplots()
    AXES[name](ax=ax)
    return fig


def on_figure(name):
    fig = plt.figure(figsize=(8, 4.5))
    return FIGURES[name](fig=fig)


@pytest.mark.parametrize("name", AXES | FIGURES)
def test_settings_of_the_user_reach_no_pixel(name):
    draw = on_axes if name in AXES else on_figure
    plain = drawn(draw(name))
    with matplotlib.rc_context(THEIRS):
        assert np.array_equal(drawn(draw(name)), plain)


SHAPES = [(name, inches) for name in FIGURES for inches in ((6, 4), (5, 9), (12, 5))]


@pytest.mark.parametrize(("name", "inches"), [*SHAPES, ("step_rules", (14, 3))])
def test_figures_of_any_size_hold_what_is_written(name, inches):
    fig = FIGURES[name](fig=Figure(figsize=inches))
    no_text_is_clipped_or_overlaps(fig)


def marks(fig):
    """Return the size of everything that is measured in points."""
    texts = [text.get_fontsize() for ax in fig.axes for text in (*ax.texts, ax.title)]
    ticks = [label.get_fontsize() for ax in fig.axes for label in ax.get_xticklabels()]
    lines = [(x.get_linewidth(), x.get_markersize()) for ax in fig.axes for x in ax.lines]
    return np.concatenate([np.array(texts), np.array(ticks[:1]), np.ravel(lines)])


@pytest.mark.parametrize("size", SIZES)
def test_everything_grows_with_the_size(size):
    page, other = (plots.descent(f, RUN, size=s) for s in ("page", size))
    assert np.allclose(marks(other.figure), SIZES[size].text / 8.5 * marks(page.figure))
    assert other.xaxis.label.get_size() == SIZES[size].text
    inches = other.figure.get_size_inches()
    assert inches[0] <= SIZES[size].width + 1e-9
    if size == "slide":
        assert np.allclose(inches, (13.3, 7.5))
    if size == "column":
        assert np.isclose(inches[0], 3.3)


@pytest.mark.parametrize("name", ["descent", "convergence", "landscape"])
@pytest.mark.parametrize("size", ["column", "slide"])
def test_a_long_title_has_as_many_lines_as_it_needs(name, size):
    """And no layout fails before it has them: warnings are errors here."""
    title = " ".join(["a title of many words"] * 10)
    drawn = (AXES | FIGURES)[name](title=title, size=size)
    fig = drawn if isinstance(drawn, Figure) else drawn.figure
    no_text_is_clipped_or_overlaps(fig)
    assert all(min(ax.bbox.size) / fig.dpi > 0.5 * SIZES[size].growth for ax in fig.axes)


def test_a_title_of_a_surface_begins_where_others_do():
    ax = plots.surface(f, title="a title of many words " * 3, size="column")
    assert "\n" in ax.get_title(loc="left")
    no_text_is_clipped_or_overlaps(ax.figure)


def test_six_maps_of_a_slide_are_what_one_looks_at():
    fig = plots.step_rules(FIT, START, steps=4, size="slide")
    no_text_is_clipped_or_overlaps(fig)
    ways, steps = fig.axes[::2], fig.axes[1::2]
    assert [ax.get_label() for ax in steps] == [f"{ax.get_label()} steps" for ax in ways]
    assert all(ax.bbox.width / fig.dpi > 1.9 for ax in ways)  # inches
    assert ways[0].bbox.width > 1.8 * steps[0].bbox.width


def test_a_size_that_is_none_is_one_sentence():
    with pytest.raises(ValueError, match="descent: size must be 'column', 'page', 'slide', got 2"):
        plots.descent(f, RUN, size=2)
