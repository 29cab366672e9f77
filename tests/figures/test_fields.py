"""Views of an objective of two parameters: fields, windows, lines, minimizers."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gdpure as gd
from gdpure.lesson import regression
from gdpure.plots import views

ROUNDOFF = 2.0**-24


def lopsided(p):
    """Different in every direction, so that nothing transposed or mirrored looks the same."""
    return p[0] ** 2 + 10 * p[1] + jnp.sin(p[0])


def test_a_field_is_indexed_by_row_and_column():
    grid = views.field(lopsided, jnp.array([[-2.0, 4.0], [-1.0, 1.0]]), n=(7, 5))
    assert grid.z.shape == (5, 7) and grid.x[0] == -2 and grid.y[-1] == 1
    for i, y in enumerate(grid.y):
        for j, x in enumerate(grid.x):
            assert abs(grid.z[i, j] - lopsided((x, y))) <= 4 * ROUNDOFF * 30


def test_the_center_of_a_window_is_hit_exactly():
    center = jnp.array([0.2, 0.9])
    seen = views.window(jnp.array([[2.0, 2.0]]), center)
    grid = views.field(lopsided, jnp.stack([center - 1, center + 1], 1), n=(5, 5))
    assert np.allclose(seen.mean(1), center, atol=4 * ROUNDOFF)
    assert abs(grid.x[2] - 0.2) <= 2 * ROUNDOFF and abs(grid.y[2] - 0.9) <= 2 * ROUNDOFF


def test_fields_compile_once_for_all_windows(compilations):
    views.field(lopsided, jnp.array([[-2.0, 4.0], [-1.0, 1.0]]))
    with compilations() as compiled:
        views.field(lopsided, jnp.array([[-3.0, 3.0], [-2.0, 1.0]]))
    assert compiled() == 0


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=4))
def test_a_window_is_a_square_that_shows_all_points(points):
    points = jnp.array(points, jnp.float32)
    seen = np.asarray(views.window(points))
    assert views.inside(points, seen).all()
    width, height = seen[:, 1] - seen[:, 0]
    assert width > 0 and abs(width - height) <= 64 * ROUNDOFF


@given(st.tuples(*[st.integers(-8, 8).map(lambda k: k / 4)] * 4).filter(lambda t: any(t[2:])))
def test_a_line_is_cut_at_the_window(numbers):
    point, direction = np.array(numbers[:2]), np.array(numbers[2:])
    window = np.array([[-1.0, 1.0], [-0.5, 2.0]])
    ends = np.asarray(views.line(*map(jnp.float32, (point, direction, window))))
    t = np.linspace(-200, 200, 20001)  # brute force: does any of it lie inside?
    inside = ((window[:, 0] <= (q := point + t[:, None] * direction)) & (q <= window[:, 1])).all(1)
    if np.isnan(ends).any():
        assert not inside.any()
        return
    on_line = np.cross(np.append(direction, 0), np.column_stack([ends - point, [0, 0]]))
    assert np.abs(on_line).max() <= 64 * ROUNDOFF
    slack = 64 * ROUNDOFF
    assert np.all(ends >= window[:, 0] - slack) and np.all(ends <= window[:, 1] + slack)
    at_edge = np.isclose(ends, window[:, 0], atol=slack) | np.isclose(
        ends, window[:, 1], atol=slack
    )
    assert at_edge.any(1).all()


def test_the_lowest_point_is_the_lowest_finite_one():
    grid = views.field(lambda p: jnp.log(p[0]) + (p[1] - 1) ** 2, [[-1, 1], [0, 2]], n=(5, 5))
    where, value = views.lowest(grid)
    assert where.tolist() == [0.5, 1.0] and abs(value - np.log(0.5)) <= 4 * ROUNDOFF


@pytest.mark.parametrize("name", gd.landscapes.MINIMIZERS)
def test_the_default_window_shows_every_known_minimizer(name):
    f = getattr(gd.landscapes, name)
    minima = views.minima(f)
    assert minima.shape == (len(gd.landscapes.MINIMIZERS[name]), 2)
    assert bool(views.inside(minima, views.window_of(f)).all())


def test_a_line_of_minimizers_is_no_isolated_minimizer():
    f = gd.least_squares(jnp.array([[1.0, 1.0]]), jnp.array([1.0]))
    assert views.minima(f).shape == (0, 2) and views.minimizers(f).flat.any()


def test_the_window_of_a_run_shows_path_and_minimizer_and_leaves_out_what_ran_away():
    f, start = gd.landscapes.bowl, jnp.array([2.0, 1.0])
    tame = gd.descend(f, start, 0.1, steps=10).history.point
    window = views.window_of(f, tame)
    assert views.inside(tame, window).all() and views.inside(jnp.zeros((1, 2)), window).all()
    wild = gd.descend(f, start, 1.2, steps=30).history.point
    window = views.window_of(f, wild)
    assert views.inside(wild[:3], window).all() and jnp.abs(window).max() < 30


def test_the_views_go_through_jit():
    window = jnp.array([[-1.0, 1.0], [-1.0, 1.0]])
    shown = jax.jit(lambda f, window: views.field(f, window, n=(5, 7)))(regression(), window)
    assert shown.z.shape == (7, 5)


@pytest.mark.parametrize(
    ("window", "sentence"),
    [
        (np.zeros(4), r"shape \(2, 2\), got shape \(4,\)"),
        ([[0, 0], [0, 1]], "left < right, got 0 and 0"),
        ([[0, 1], [1, 0]], "bottom < top, got 1 and 0"),
        ([[0, np.nan], [0, 1]], "four finite numbers"),
        ([[0, np.inf], [0, 1]], "four finite numbers"),
    ],
)
def test_a_window_that_is_none_is_named(window, sentence):
    with pytest.raises(ValueError, match=r"field: window must be \[\[left.*" + sentence):
        views.field(lopsided, window)


def test_mistakes_are_named():
    window = [[0, 1], [0, 1]]
    with pytest.raises(TypeError, match="field: window must be"):
        views.field(lopsided, "fit")
    with pytest.raises(ValueError, match=r"field: n must be odd.* got \(4, 5\)"):
        views.field(lopsided, window, n=(4, 5))
    with pytest.raises(ValueError, match=r"objective of two parameters.*shape \(2,\); this one"):
        views.field(gd.least_squares(jnp.ones((4, 3)), jnp.ones(4)), window)
    with pytest.raises(TypeError, match="field: the objective must be callable"):
        views.field(3, window)
    with pytest.raises(ValueError, match=r"descent: the path must be a run .*float\d\d\[5\]"):
        views.points_of("descent", np.zeros(5))


def test_the_views_need_no_matplotlib():
    code = "import sys; from gdpure.plots import views; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=300).returncode == 0
