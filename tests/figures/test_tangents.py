"""Tangents: what is drawn of one parameter is its function, its slopes and its steps."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from texts import every_text_can_be_read, no_text_is_clipped_or_overlaps

import gdpure as gd
from gdpure import plots
from gdpure.plots.figures import tangents as figures
from gdpure.plots.palette import THEMES
from gdpure.plots.views import tangents as views


def parabola(x, _):
    return (jnp.ravel(x)[0] - 0.5) ** 2 + 1


F = gd.Objective(parabola, facts=gd.Facts(2.0, 2.0, 2.0, 0.5, 1.0))
BARE = gd.Objective(parabola)


def run_of(h, steps=4, start=2.5, f=F):
    return gd.descend(f, jnp.array(start), h / 2, steps=steps)


def path_by_hand(h, steps=4, start=2.5):
    """Errors of descent on a parabola are multiplied by 1 - h."""
    return 0.5 + (start - 0.5) * (1 - h) ** np.arange(steps + 1.0)


def law_of_tangents(drawn, x, eta):
    """Points lie on f, tangents have its slope there, steps are -eta times the slope."""
    close = {"rtol": 1e-5, "atol": 1e-5}  # float32
    assert np.allclose(drawn["f"][:, 1], (drawn["f"][:, 0] - 0.5) ** 2 + 1, **close)
    assert np.allclose(drawn["path"], np.stack([x, (x - 0.5) ** 2 + 1], 1), **close)
    tangents = {key: ends for key, ends in drawn.items() if key.startswith("tangent")}
    for key, ends in tangents.items():
        at, (run, rise) = x[int(key.split()[1])], ends[1] - ends[0]
        assert np.allclose(ends.mean(0), [at, (at - 0.5) ** 2 + 1], **close)
        assert np.allclose(rise / run, 2 * (at - 0.5), **close)
    steps = {key: mark for key, mark in drawn.items() if key.startswith("step")}
    for key, (start, vector) in steps.items():
        at = x[int(key.split()[1]) - 1]
        assert np.allclose(start, [at, (at - 0.5) ** 2 + 1], **close)
        assert np.allclose(vector, [-eta * 2 * (at - 0.5), 0], **close)
    assert len(tangents) >= 2 and len(steps) >= 3


@pytest.mark.parametrize("start", [2.5, [2.5]], ids=["a number", "a vector of one"])
@pytest.mark.parametrize("h", [0.6, 1.7, 2.2])
def test_points_tangents_and_steps_are_those_of_the_function(h, start):
    drawn = plots.record(plots.tangents(F, run_of(h, start=start)).figure)
    law_of_tangents(drawn, path_by_hand(h), h / 2)
    assert np.allclose(drawn["minimizer"], [[0.5, 1.0]])


@pytest.mark.parametrize(
    "bug",
    [
        lambda s: s._replace(slope=s.slope / 2),
        lambda s: s._replace(value=np.roll(s.value, 1)),
        lambda s: s._replace(height=s.height + 0.01),
        lambda s: s._replace(point=s.point * 1.01),
    ],
    ids=["half the slope", "late", "curve too high", "to the side"],
)
def test_planted_bugs_break_the_law(bug, monkeypatch):
    honest = views.tangents
    monkeypatch.setattr(figures.views, "tangents", lambda *given: bug(honest(*given)))
    with pytest.raises(AssertionError):
        law_of_tangents(
            plots.record(plots.tangents(F, run_of(1.7)).figure), path_by_hand(1.7), 0.85
        )


@pytest.mark.parametrize(
    ("f", "h", "title", "size"),
    [
        (F, 0.6, "$f$ falls at each of 4 steps, from one side", "$\\eta = 0.6/L < 2/L$"),
        (F, 1.7, "$f$ falls at each of 4 steps, from side to side", "$\\eta = 1.7/L < 2/L$"),
        (F, 2.2, "$f$ rises at each of 4 steps", "$\\eta = 2.2/L > 2/L$"),
        (BARE, 1.7, "$f$ falls at each of 4 steps, from side to side", "$\\eta = 0.85$"),
    ],
)
def test_the_title_is_what_steps_of_this_size_do(f, h, title, size):
    ax = plots.tangents(f, run_of(h, f=f))
    assert ax.get_title(loc="left") == title
    star = "\N{BLACK STAR} a minimizer" if f is F else "\N{WHITE STAR} lowest found"
    assert ax.get_title(loc="right") == f"{size},  {star}"


def test_an_array_is_a_path_whose_step_size_is_not_known():
    ax = plots.tangents(lambda x: x**2, [1.0, 0.5, 0.75], window=[-1, 0.875])
    assert ax.get_title(loc="left") == "$f$ rises at 1 of 2 steps"
    drawn = plots.record(ax.figure)
    assert len(drawn["outside the window"]) == 1 and drawn["limits"][0].tolist() == [-1, 0.875]
    assert any(text.get_text() == "1 outside the window" for text in ax.texts)


def test_where_nothing_is_known_nothing_at_the_edge_is_marked():
    ax = plots.tangents(lambda x: -x, [0.0, 1.0])
    assert "lowest found" not in plots.record(ax.figure)
    assert "lowest at the edge" in ax.get_title(loc="right")


def test_a_run_that_leaves_is_drawn_to_where_it_leaves():
    f = lambda x: x**4  # noqa: E731
    ax = plots.tangents(f, gd.descend(f, jnp.array(1.5), 0.3, steps=8))
    drawn = plots.record(ax.figure)
    assert np.abs(drawn["limits"][0]).max() < 25 and len(drawn["outside the window"]) >= 1
    ax.figure.draw_without_rendering()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("h", [0.6, 2.2])
def test_every_text_is_whole_apart_and_legible(h, theme):
    fig = plots.tangents(F, run_of(h), theme=theme).figure
    no_text_is_clipped_or_overlaps(fig, theme)
    every_text_can_be_read(fig, THEMES[theme])


@pytest.mark.parametrize(
    ("f", "path", "sentence"),
    [
        (
            F,
            np.zeros((3, 2)),
            r"shape \(steps \+ 1,\), got float64\[3,2\]; plots.descent draws two",
        ),
        (F, [], "must be a run of one parameter"),
        (F, [np.nan, 1.0], "must start at a finite point"),
        (lambda x: jnp.stack([x, x]), [1.0], r"one number .* it returns float32\[2\]"),
        (lambda x: math.sin(x), [1.0], "this one says: "),
        (3.0, [1.0], "the objective must be"),
    ],
)
def test_what_is_none_of_one_parameter_is_one_sentence(f, path, sentence):
    with pytest.raises((TypeError, ValueError), match=f"^tangents: .*{sentence}"):
        plots.tangents(f, path)


@pytest.mark.parametrize("window", [[1, 0], [0, 1, 2], "ab", [0, np.inf]])
def test_a_window_that_is_none_is_one_sentence(window):
    with pytest.raises(ValueError, match=r"^tangents: window must be \[left, right\] with left <"):
        plots.tangents(F, [1.0], window=window)


def test_maps_point_here():
    one = lambda x: x**2  # noqa: E731
    for draw in (
        lambda: plots.level_sets(one),
        lambda: plots.descent(one, np.zeros((2, 2))),
        lambda: plots.descent(F, run_of(0.6)),
        lambda: plots.one_step(one, jnp.ones(2), 0.1),
    ):
        with pytest.raises(ValueError, match="plots.tangents draws"):
            draw()
