"""What the basins show is where descent comes from each start, redone in NumPy."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

import gdpure as gd
from gdpure.plots.figures.basins import basins
from gdpure.plots.reading import record, role_of
from gdpure.plots.views import attraction as views

WINDOW, SIZE = [[-5.2, 4.8], [-4.6, 5.4]], (61, 49)
MINIMA = np.array(gd.landscapes.MINIMIZERS["himmelblau"])
APART = 0.01 * np.hypot(10.0, 10.0)


@pytest.fixture(autouse=True)
def precise():
    with jax.enable_x64(True):
        yield


def himmelblau(x):
    return (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2


def slope(x):
    one, two = x[0] ** 2 + x[1] - 11, x[0] + x[1] ** 2 - 7
    return np.stack([4 * x[0] * one + 2 * two, 2 * one + 4 * x[1] * two])


def curvature(x):
    across = 4 * x[0] + 4 * x[1]
    a, b = 12 * x[0] ** 2 + 4 * x[1] - 42, 12 * x[1] ** 2 + 4 * x[0] - 26
    return np.abs((a + b) / 2) + np.sqrt((a - b) ** 2 / 4 + across**2)


def descended(x, eta, steps, tolerance=1e-3):
    """Descent as a loop: the points (steps + 1, 2, n), each still once its gradient is small."""
    rows = [x]
    for _ in range(steps):
        g = slope(rows[-1])
        rows.append(rows[-1] - eta * g * (np.abs(g).max(0) > tolerance))
    return np.stack(rows)


def drawn_of(ax):
    """Return the starts (n, 2) of the cells, their labels, bands, and the number of bands."""
    [mesh] = [mark for mark in ax.get_children() if role_of(mark) == "basins"]
    corners = mesh.get_coordinates()
    centers = ((corners[:-1, :-1] + corners[1:, 1:]) / 2).reshape(-1, 2)
    code = np.ma.filled(np.ma.asarray(mesh.get_array(), float), np.nan).ravel()
    stars = sum("minimi" in role or "lowest found" in role for role in record(ax.figure))
    bands = len(mesh.cmap.colors) // max(1, stars)
    return centers, np.where(np.isnan(code), -1, code // bands), code % bands, bands


def laws_of_himmelblau(ax, eta, steps):
    starts, label, band, bands = drawn_of(ax)
    x, y = (np.linspace(*side, count) for side, count in zip(WINDOW, SIZE, strict=True))
    assert np.allclose(starts, np.stack(np.meshgrid(x, y), -1).reshape(-1, 2), atol=1e-12)
    drawn = record(ax.figure)
    stars = np.array([drawn["minimizer" + f" {i}" * (i > 1)][0] for i in (1, 2, 3, 4)])
    assert np.abs(slope(stars.T)).max() < 1e-8
    path = descended(starts.T, eta, steps)
    end, small = path[-1].T, np.abs(slope(path[-1])).max(0) <= 1e-3
    distance = np.linalg.norm(end[:, None] - stars, axis=2)
    there = np.where(small, distance.argmin(1), -1)
    assert (distance.min(1)[small] < APART).all()
    assert np.array_equal(label, there)
    # More steps, paler: the bands are in the order of the numbers of steps.
    count = (np.abs(slope_rows(path)).max(1) > 1e-3).sum(0)
    for lower, higher in itertools.pairwise(range(bands)):
        slower, faster = count[(band == higher) & small], count[(band == lower) & small]
        assert not len(slower) or not len(faster) or slower.min() > faster.max()
    # A step changes no label.
    moved = starts.T - eta * slope(starts.T)
    after = descended(moved, eta, steps)[-1].T
    again = np.linalg.norm(after[:, None] - stars, axis=2).argmin(1)
    assert np.array_equal(again[small], label[small])
    # Along a run that stays in the window f falls, for less than 2/L there.
    grid = np.stack(np.meshgrid(*(np.linspace(*side, 201) for side in WINDOW)))
    assert eta < 2 / curvature(grid).max()
    inside = (path[:, 0] >= -5.2) & (path[:, 0] <= 4.8) & (path[:, 1] >= -4.6) & (path[:, 1] <= 5.4)
    values = himmelblau(np.moveaxis(path, 1, 0))
    falls = np.diff(values, axis=0) <= 1e-12 * (1 + values[:-1])
    assert falls[inside[1:] & inside[:-1]].all()


def slope_rows(path):
    return np.moveaxis(slope(np.moveaxis(path, 1, 0)), 0, 1)


@functools.cache
def known_basins():
    with jax.enable_x64(True):
        return views.basins(gd.landscapes.himmelblau, WINDOW, n=SIZE)


def test_each_start_of_himmelblau_comes_to_the_minimizer_of_its_color():
    found = known_basins()
    ax = basins(gd.landscapes.himmelblau, WINDOW, n=SIZE)
    laws_of_himmelblau(ax, float(found.step_size), 200)


def transposed(found):
    square = found.label[: SIZE[1], : SIZE[1]]
    label = found.label.copy()
    label[: SIZE[1], : SIZE[1]] = square.T
    return found._replace(label=label)


def two_names_changed(found):
    return found._replace(minima=found.minima[[1, 0, 2, 3]])


def a_cell_to_the_right(found):
    return found._replace(label=np.roll(found.label, 1, 1))


def half_a_cell(found):
    return found._replace(x=found.x + (found.x[1] - found.x[0]) / 2)


def upside_down(found):
    return found._replace(label=found.label[::-1])


def slow_is_fast(found):
    return found._replace(count=found.count.max() + 1 - found.count)


def minimizer_beside(found):
    return found._replace(minima=found.minima + 0.05)


def never_hatched(found):
    return found._replace(label=np.maximum(found.label, 0))


BUGS = [transposed, two_names_changed, a_cell_to_the_right, half_a_cell, upside_down, slow_is_fast,
        minimizer_beside, never_hatched]  # fmt: skip


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_in_the_basins_is_seen(bug, monkeypatch):
    found = known_basins()
    eta = float(found.step_size)
    monkeypatch.setattr(views, "basins", lambda *_, **__: bug(found))
    ax = basins(gd.landscapes.himmelblau, WINDOW, n=SIZE)
    with pytest.raises(AssertionError):
        laws_of_himmelblau(ax, eta, 200)


def test_a_wrong_gradient_is_seen():
    wrong = gd.Objective(
        lambda x, _: himmelblau(x),
        gradient=lambda x, _: jax.grad(himmelblau)(x) * jnp.array([1.0, 0.5]),
    )
    eta = float(known_basins().step_size)
    ax = basins(wrong, WINDOW, n=SIZE, minima=MINIMA, step_size=eta)
    with pytest.raises(AssertionError):
        laws_of_himmelblau(ax, eta, 200)


def test_unknown_minimizers_are_found_and_hollow():
    known = known_basins()
    found = views.basins(himmelblau, WINDOW, n=SIZE)
    assert not found.known.any() and len(found.minima) == 4
    order = [int(np.linalg.norm(found.minima - m, axis=1).argmin()) for m in MINIMA]
    assert sorted(order) == [0, 1, 2, 3]
    assert np.allclose(found.minima[order], MINIMA, atol=1e-6)
    renamed = np.append(np.argsort(order), views.NOWHERE)
    assert np.array_equal(renamed[found.label], known.label)
    roles = record(basins(himmelblau, WINDOW, n=SIZE).figure)
    assert "lowest found 4" in roles and "minimizer" not in roles


def test_a_saddle_where_runs_end_is_no_minimizer():
    # On the line a = 0 descent comes to the saddle (0, 0).
    found = views.basins(gd.landscapes.double_well, [[-1.5, 1.5], [-1.0, 1.1]], n=(31, 21))
    assert len(found.minima) == 2
    assert (found.label[:, 15] == views.NOWHERE).all()
    assert (found.label[:, :15] == 1).all() and (found.label[:, 16:] == 0).all()


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0.3, 3))
def test_of_a_quadratic_all_starts_come_to_the_minimizer(a, b, curvature):
    f = gd.quadratic(jnp.diag(jnp.array([3.0, curvature])), jnp.array([a, b]))
    found = views.basins(f, [[-2.0, 2.2], [-2.0, 2.1]], n=(7, 5), steps=300)
    assert (found.label == 0).all() and found.known.tolist() == [True]
    eta = 1 / max(3.0, curvature)
    error = np.stack(np.meshgrid(found.x, found.y), -1) - [a, b]
    g0 = np.abs(error * [3.0, curvature])
    with np.errstate(divide="ignore"):
        rate = np.log(np.abs(1 - eta * np.array([3.0, curvature])))
        exact = np.ceil((np.log(1e-3) - np.log(g0)) / rate).max(-1)
    # Where the gradient passes 1e-3 within rounding, a step may be missing.
    assert (np.abs(found.count - np.maximum(exact, 0)) <= 1).all()


def test_what_diverges_is_gray_and_what_does_not_end_is_hatched():
    def f(x):  # unbounded below on the left, slow on the right
        return x[0] ** 3 / 3 - x[0] + x[1] ** 2

    ax = basins(f, [[-4.0, 3.0], [-1.0, 1.2]], step_size=0.1, steps=30, n=(41, 31))
    drawn = record(ax.figure)
    assert {"diverged", "does not come to rest"} <= drawn.keys()
    assert np.allclose(drawn["lowest found"], [[1.0, 0.0]], atol=1e-6)
    starts, label, *_ = drawn_of(ax)
    x = starts.T.copy()
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(30):
            g = np.stack([x[0] ** 2 - 1, 2 * x[1]])
            x = x - 0.1 * g * (np.abs(g).max(0) > 1e-3)
        small = np.abs(np.stack([x[0] ** 2 - 1, 2 * x[1]])).max(0) <= 1e-3
    assert np.array_equal(label == 0, small & (x[0] > 0))
    [key] = ax.child_axes
    said = {" ".join(text.get_text().split()) + " " for text in key.get_yticklabels()}
    assert any("not converged, " in text for text in said) and any("diverged, " in t for t in said)


def test_what_is_flat_far_away_is_no_place_to_rest():
    def f(x):  # of huge steps all gradients end small, and all values high
        return jnp.log1p((x[0] - 3) ** 2) + jnp.log1p((x[1] + 1) ** 2 / 4)

    found = views.basins(f, [[-2.0, 2.0], [-2.0, 2.0]], n=(5, 5))
    starts = jnp.array([[x, y] for x in (-2.0, 0.0, 2.0) for y in (-2.0, 2.0)])
    ends = gd.sweep(f, starts, jnp.array([found.step_size]), steps=200, record=None).final
    assert (ends.value[0] <= jax.vmap(f)(starts)).all()


def test_a_minimizer_outside_of_the_window_is_a_mark_at_the_edge():
    ax = basins(gd.landscapes.himmelblau, [[-5.0, 1.0], [-5.0, 5.0]], n=(31, 31))
    drawn = record(ax.figure)
    assert len(drawn["outside the window"]) == 2
    assert any("minimizers outside: 2" in text.get_text() for text in ax.texts)


def test_many_minimizers_keep_their_numbers():
    ax = basins(gd.landscapes.rastrigin, n=(81, 61))
    _, label, _, _ = drawn_of(ax)
    numbers = {text.get_text() for text in ax.texts}
    assert label.max() > 4 and {"1", "5", "9"} <= numbers


def test_the_default_window_shows_what_is_known():
    assert views.basins(gd.landscapes.himmelblau, n=(9, 9), step_size=0.01).x[0] < -3.78
    found = views.basins(lambda x: jnp.sum(x**2), n=(9, 9), step_size=0.1)
    assert (found.x[0], found.x[-1]) == (-2.0, 2.0)


def test_basins_are_drawn_on_given_axes():
    ax = Figure().add_axes((0.1, 0.1, 0.6, 0.8))
    assert basins(gd.landscapes.bowl, n=(9, 9), ax=ax, theme="dark", title="bowl") is ax
    assert ax.get_title(loc="left") == "bowl"


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"f": lambda x: x @ jnp.ones(3)}, ValueError, "two parameters"),
        ({"f": 3}, TypeError, "callable"),
        ({"f": gd.least_squares(jnp.array([[1.0, 1.0]]), jnp.ones(1))}, ValueError, "no basins"),
        ({"f": lambda x: x[0] + x[1]}, ValueError, "step_size must be given"),
        ({"window": [[1.0, 0.0], [0.0, 1.0]]}, ValueError, "left < right"),
        ({"step_size": -1.0}, ValueError, "positive"),
        ({"step_size": [0.1, 0.2]}, ValueError, "positive"),
        ({"steps": 0}, ValueError, "steps"),
        ({"tolerance": -1.0}, ValueError, "tolerance"),
        ({"minima": [1.0, 2.0]}, ValueError, "shape"),
        ({"minima": [[np.nan, 2.0]]}, ValueError, "finite"),
        ({"n": (1, 9)}, ValueError, "n must"),
        ({"fig": Figure()}, TypeError, "ax="),
    ],
)
def test_bad_input_is_named(arguments, error, words):
    given = {"f": gd.landscapes.bowl, "n": (5, 5)} | arguments
    with pytest.raises(error, match=words):
        basins(given.pop("f"), **given)
