"""Samples: what is drawn of single examples is read back and compared with NumPy and its laws."""

import doctest
import importlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gdpure as gd
from gdpure.lesson import regression
from gdpure.plots.figures import samples as figures
from gdpure.plots.figures.samples import per_sample
from gdpure.plots.figures.stochastic import gd_vs_sgd
from gdpure.plots.palette import look_of
from gdpure.plots.reading import record
from gdpure.plots.views import disagreement as views
from gdpure.plots.views import stochastic
from gdpure.plots.views.stochastic import race as race_of

U = {jnp.float32: 2.0**-24, jnp.float64: 2.0**-53}
X, Y = np.array([[1.0, -1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([1.0, 2.2, 2.8])
WINDOW = np.array([[-0.2, 4.0], [-1.2, 3.0]])
PROBES = np.array([[0.45, 0.2], [3.55, 2.35], [2.95, -0.7]])


def costs(X, Y, points):
    """The cost of each example at points (k, 2), shape (k, n)."""
    return (points @ X.T - Y) ** 2


def slopes(X, Y, points):
    """Their gradients, shape (k, n, 2)."""
    return 2 * (points @ X.T - Y)[..., None] * X


def surrounded(g):
    """Whether 0 is in the convex hull of vectors (n, 2): none has all others on its left."""
    for one in g:
        cross, dot = one[0] * g[:, 1] - one[1] * g[:, 0], g @ one
        if ((cross > 0) | ((cross == 0) & (dot > 0))).all():
            return False
    return True


@pytest.fixture(scope="module")
def reference():
    with jax.enable_x64(True):
        f = gd.least_squares(X, Y)
        return per_sample(f, PROBES, window=WINDOW)


@pytest.fixture(scope="module")
def race():
    with jax.enable_x64(True):
        f = gd.least_squares(X, Y)
        return gd_vs_sgd(f, np.array([0.1, -0.55]), window=[[-0.15, 2.85], [-0.85, 1.75]])


# -- the laws of the drawn arrows ------------------------------------------------------------------


def scale_of(fig):
    """The scale of the arrows, as the figure says it."""
    said = " ".join(text.get_text() for text in fig.texts).replace("\N{MINUS SIGN}", "-")
    return -float(re.search(r"arrows: (-[\d.e-]+)", said)[1])


def check_arrows(fig, X, Y, probes, unit):
    """Each arrow is ``-s g_i``, and the thick one the mean of the thin ones."""
    drawn, s = record(fig), scale_of(fig)
    steps = -s * slopes(X, Y, probes)
    # Products of two numbers added up to a residual, which is multiplied by 2 s and a number.
    off = 16 * unit * s * (abs(probes) @ abs(X).T + abs(Y)).max() * abs(X).max() * 2
    for k, probe in enumerate(probes):
        arrows = [drawn[f"mean/step {i + 1} at {k + 1}"] for i in range(len(Y))]
        for arrow, step in zip(arrows, steps[k], strict=True):
            assert np.abs(arrow[0] - probe).max() <= 4 * unit
            assert np.abs(arrow[1] - step).max() <= off
        mean = drawn[f"mean/mean step at {k + 1}"][1]
        assert np.abs(mean - np.mean([arrow[1] for arrow in arrows], 0)).max() <= off
    for i, step in enumerate(steps[0]):
        assert np.abs(drawn[f"example {i + 1}/step"][1] - step).max() <= off


def check_lines(fig, X, Y, unit):
    """All ends of a line of minimizers are minimizers, and its arrows are normal to it."""
    drawn = record(fig)
    for i, (x, y) in enumerate(zip(X, Y, strict=True)):
        for panel in (f"example {i + 1}", "mean", "confusion"):
            ends = drawn[f"{panel}/minimizers {i + 1}"]
            assert np.abs(ends @ x - y).max() <= 64 * unit * np.abs(ends).max() * np.abs(x).sum()
        along, step = np.diff(ends, axis=0)[0], drawn[f"example {i + 1}/step"][1]
        assert abs(along @ step) <= 64 * unit * np.linalg.norm(along) * np.linalg.norm(step) * 4


def check_region(polygons, corners, unit):
    """The region is one triangle with these corners."""
    [polygon] = polygons
    closed = np.unique(np.round(polygon / (4096 * unit)), axis=0) * 4096 * unit
    assert len(closed) == 3
    for corner in corners:
        assert np.abs(closed - corner).max(1).min() <= 8192 * unit


def test_arrows_are_gradients_and_the_thick_one_is_their_mean(reference):
    check_arrows(reference, X, Y, PROBES, U[jnp.float64])


def test_lines_are_made_of_minimizers_and_arrows_are_normal_to_them(reference):
    check_lines(reference, X, Y, U[jnp.float64])


def test_the_steps_at_the_minimizer_have_no_sum(reference):
    drawn = record(reference)
    steps = [drawn[f"confusion/step {i} at the minimizer"] for i in (1, 2, 3)]
    for start, _ in steps:
        assert np.abs(start - [2.0, 0.9]).max() <= 64 * U[jnp.float64]
    assert np.abs(np.sum([step for _, step in steps], 0)).max() <= 256 * U[jnp.float64]
    assert min(np.linalg.norm(step) for _, step in steps) > 0.05
    assert np.allclose(drawn["mean/minimizer"], [[2.0, 0.9]], rtol=0, atol=64 * U[jnp.float64])


def test_the_region_is_the_triangle_between_the_lines(reference):
    corners = [np.linalg.solve(X[list(pair)], Y[list(pair)]) for pair in ((0, 1), (0, 2), (1, 2))]
    drawn = record(reference)
    for panel in ("mean", "confusion"):
        polygons = [v for k, v in drawn.items() if k.startswith(f"{panel}/region of confusion")]
        check_region(polygons, corners, U[jnp.float64])


def test_levels_are_levels_in_all_panels(reference):
    drawn = record(reference)
    fields = {f"example {i + 1}": lambda p, i=i: costs(X, Y, p)[:, i] for i in range(3)}
    fields |= dict.fromkeys(("mean", "confusion"), lambda p: costs(X, Y, p).mean(1))
    for panel, f in fields.items():
        level, *points = drawn[f"{panel}/levels"].T
        h = np.ptp(drawn[f"{panel}/limits"][0]) / 80
        # Linear between neighbors on the grid, of the largest curvature 2 (1 + 1).
        assert np.abs(f(np.transpose(points)) - level).max() <= 4 * h**2 / 8 + 1e-12
        assert len(np.unique(level)) >= 4


def test_all_panels_share_limits_levels_and_colors(reference):
    drawn = record(reference)
    for panel in ("example 2", "example 3", "mean"):
        for what in ("limits", "bands"):
            assert np.array_equal(drawn[f"{panel}/{what}"], drawn[f"example 1/{what}"])
    assert np.array_equal(drawn["mean/limits"], WINDOW)

    # One color means one value, enlarged as well.
    edges = drawn["mean/bands"]
    mist, low, high = look_of("light").mist, edges[0], edges[-1]
    for label in ("mean", "confusion"):
        [ax] = [ax for ax in reference.axes if ax.get_label() == label]
        [bands] = [c for c in ax.collections if c.get_gid() == "gd:bands"]
        places = np.sqrt(np.clip((bands.levels - low) / (high - low), 0, 1))
        middles = (places[:-1] + places[1:]) / 2
        values = (bands.levels[:-1] + bands.levels[1:]) / 2
        near = np.sqrt(np.clip((values - low) / (high - low), 0, 1))
        expected = middles if label == "mean" else near
        assert np.abs(bands.get_facecolor() - mist(expected)).max() <= 2 / 255


def test_what_the_zoom_shows_helps(reference):
    drawn = record(reference)
    roses = {k: v for k, v in drawn.items() if "/direction" in k}
    assert len(roses) == 18  # three directions in each of the six cells around the triangle
    length = 0.1 * np.ptp(drawn["confusion/limits"][0])
    for key, (start, vector) in roses.items():
        i = int(key.split()[1]) - 1
        g = slopes(X, Y, start[None])[0, i]
        assert abs(np.linalg.norm(vector) - length) <= 1e-12
        assert np.abs(vector + length * g / np.linalg.norm(g)).max() <= 1e-12
        assert not surrounded(slopes(X, Y, start[None])[0])


# -- the region of confusion -----------------------------------------------------------------------


rows = st.tuples(st.integers(-4, 4), st.integers(-4, 4), st.integers(-8, 8))
data = st.lists(rows.filter(lambda r: r[0] or r[1]), min_size=6, max_size=6)


@settings(max_examples=15)
@given(data, st.integers(0, 2**32 - 1))
def test_the_region_is_where_gradients_surround_zero(rows, seed):
    X, Y = np.array(rows, float)[:, :2], np.array(rows, float)[:, 2] / 4
    region = views.confusion(gd.least_squares(X.astype("f"), Y.astype("f")), [[-3, 5], [-4, 4]])
    points = np.random.default_rng(seed).uniform([-3, -4], [5, 4], (200, 2))
    points = points[(abs(points @ X.T - Y) > 1e-3 * np.linalg.norm(X, axis=1)).all(1)]
    expected = [surrounded(g) for g in slopes(X, Y, points)]
    found = np.zeros(len(points), int)
    for polygon in region.polygons:
        after = np.roll(polygon, -1, axis=0) - polygon
        away = points[:, None] - polygon
        turn = after[:, 0] * away[..., 1] - after[:, 1] * away[..., 0]
        found += (turn >= 0).all(1) | (turn <= 0).all(1)
    assert np.array_equal(found, expected)  # and no two polygons overlap


def test_regions_without_lines_are_known_on_a_grid():
    X, labels = np.array([[1.0, -1], [1, 0.25], [1, 1], [0.5, 2]]), np.array([0, 1, 0, 1.0])
    f = gd.logistic(X.astype("f"), labels.astype("f"), ridge=0.25)
    gap = views.confusion(f, [[-2, 3], [-2, 2]], (21, 17)).gap
    signs, inside = 2 * labels - 1, 0
    for i, y in enumerate(np.asarray(gap.y, float)):
        for j, x in enumerate(np.asarray(gap.x, float)):
            p = np.array([x, y])
            g = -(signs / (1 + np.exp(signs * (X @ p))))[:, None] * X + 0.25 * p
            assert (gap.z[i, j] <= views.HALF_TURN) == surrounded(g)
            inside += surrounded(g)
    assert 20 < inside < 300


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=3, max_size=3))
def test_the_widest_gap_says_whether_one_direction_helps_all(g):
    gap, middle = views.widest_gap(jnp.array(g, jnp.float32))
    zero = any(not any(v) for v in g)
    assert (gap <= views.HALF_TURN) == (zero or surrounded(np.array(g)))
    if gap > views.HALF_TURN:
        assert (np.array(g) @ np.asarray(middle, float) < 0).all()


def test_parallel_lines_confuse_between_them():
    f = gd.least_squares(np.array([[1, 0.5], [1, 0.5], [1, 0.5]], "f"), np.array([0, 1, 3], "f"))
    window = [[-2, 4], [-2, 2]]
    region = views.confusion(f, window)
    middle = np.array([polygon.mean(0) for polygon in region.polygons])
    residual = middle @ [1, 0.5]
    assert len(residual) == 2 and ((residual > 0) & (residual < 3)).all()
    per_sample(f, window=window)  # all minimizers of the mean are a line


def test_edges_are_those_of_one_cell_alone():
    X = np.array([[1, -1], [1, -0.4], [1, 0.3], [1, 0.9], [1, 1.4]], "f")
    region = views.confusion(gd.least_squares(X, np.array([1, 2.2, 1.5, 2.4, 2], "f")),
                             [[-2, 5], [-4, 4]])  # fmt: skip
    sides = sum(len(polygon) for polygon in region.polygons)
    # A polygon is closed: each corner is the end of as many sides as it is the start of.
    ends = np.round(region.edges.reshape(-1, 2), 6)
    _, counts = np.unique(ends, axis=0, return_counts=True)
    assert len(region.polygons) == 6 and len(region.edges) < sides and (counts % 2 == 0).all()


# -- any finite sum --------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_any_number_of_examples_has_its_panels(n):
    rng = np.random.default_rng(n)
    X, Y = rng.normal(size=(n, 2)).astype("f"), rng.normal(size=n).astype("f")
    fig = per_sample(gd.least_squares(X, Y))
    labels = [ax.get_label() for ax in fig.axes]
    expected = [f"example {i + 1}" for i in range(n)] + ["mean"] + ["confusion"] * (n > 1)
    assert labels == expected
    at = np.array([record(fig)[f"mean/mean step at {k}"][0] for k in (1, 2, 3)])
    check_arrows(fig, X.astype(float), Y.astype(float), at, U[jnp.float32])
    positions = [ax.get_position() for ax in fig.axes]
    for i, one in enumerate(positions):
        assert one.x0 >= 0 and one.y0 >= 0 and one.x1 <= 1 and one.y1 <= 1
        for other in positions[:i]:
            assert one.x1 <= other.x0 or other.x1 <= one.x0 or one.y1 <= other.y0 or \
                other.y1 <= one.y0  # fmt: skip


def test_the_lesson_as_it_is():
    f = regression()
    fig = per_sample(f, jnp.array([2.0, 2.0]), names=(r"intercept $\theta_0$", r"slope $\theta_1$"))
    x, y = (np.asarray(part, float) for part in f.data)
    features = np.stack([np.ones(3), x], 1)
    check_arrows(fig, features, y, np.array([[2.0, 2.0]]), U[jnp.float32])
    check_lines(fig, features, y, U[jnp.float32])
    low, high = np.asarray(record(fig)["mean/limits"]).T
    assert (low < 2).all() and (high > 2).all()


@settings(max_examples=5)
@given(st.lists(rows.filter(lambda r: r[0] and r[1]), min_size=3, max_size=3))
def test_any_three_examples_obey_the_laws(rows):
    X, Y = np.array(rows, float)[:, :2], np.array(rows, float)[:, 2] / 4
    window = np.array([[-2.5, 4.5], [-3.0, 3.0]])
    probes = np.array([[1.25, 0.5], [-2.0, 2.5]])
    fig = per_sample(gd.least_squares(X.astype("f"), Y.astype("f")), probes, window=window)
    try:
        check_arrows(fig, X, Y, probes, U[jnp.float32])
    except KeyError:  # an arrow of no length is not drawn
        g = slopes(X, Y, probes)
        lengths = np.linalg.norm(np.concatenate([g, g.mean(1, keepdims=True)], 1), axis=-1)
        assert lengths.min() <= 1e-5 * lengths.max()


def test_common_directions_lower_all_costs():
    rng = np.random.default_rng(3)
    X, labels = rng.normal(size=(6, 2)), np.array([0, 1, 1, 0, 0, 1])
    f = gd.logistic(X.astype("f"), labels.astype("f"), ridge=0.25)
    fig = per_sample(f, window=[[-3, 3], [-3, 2]])
    helping = [v for k, v in record(fig).items() if "/helps all" in k]
    signs = 2 * labels - 1
    assert len(helping) >= 4
    for start, vector in helping:
        values = [np.logaddexp(0, -signs * (X @ p)) + 0.125 * p @ p
                  for p in (start, start + 1e-4 * vector)]  # fmt: skip
        assert (values[1] < values[0]).all()


def test_no_line_is_drawn_where_none_is_known():
    fig = per_sample(gd.empirical_risk(lambda t, x: (t[0] * x - t[1]) ** 4 + t[0] ** 2,
                                       jnp.array([0.5, 1.0, 1.75])))  # fmt: skip
    assert not any("minimizer" in key for key in record(fig))


def test_figures_are_the_same_twice_and_in_a_given_figure(reference):
    from matplotlib.figure import Figure

    with jax.enable_x64(True):
        again = per_sample(gd.least_squares(X, Y), PROBES, window=WINDOW, fig=Figure((7.2, 6)))
    first, second = record(reference), record(again)
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[k], second[k]) for k in first)


def test_mistakes_are_named():
    f = gd.least_squares(X.astype("f"), Y.astype("f"))
    many = gd.least_squares(jnp.ones((13, 2)), jnp.ones(13))
    with pytest.raises(ValueError, match="per_sample: at most 12 examples have a panel, f has 13"):
        per_sample(many)
    with pytest.raises(TypeError, match="per_sample: the objective must be a finite sum"):
        per_sample(lambda t: jnp.sin(3 * t[0]) + t[1] ** 4 - t[0] * t[1])
    with pytest.raises(ValueError, match="per_sample: a map needs an objective of two parameters"):
        per_sample(gd.least_squares(jnp.ones((3, 3)), jnp.ones(3)))
    for at in (jnp.ones(3), jnp.ones((2, 3)), jnp.ones((0, 2)), jnp.array([1.0, jnp.nan]), 1.0):
        with pytest.raises(ValueError, match="per_sample: at must be finite points of shape"):
            per_sample(f, at)
    with pytest.raises(ValueError, match="per_sample: window must be .* left < right"):
        per_sample(f, window=[[1, 1], [0, 2]])
    with pytest.raises(TypeError, match="per_sample: draws a whole figure"):
        per_sample(f, ax=None)
    with pytest.raises(TypeError, match="gd_vs_sgd: the objective must be a finite sum"):
        gd_vs_sgd(lambda t: t[0] * t[1], jnp.zeros(2))
    with pytest.raises(ValueError, match="gd_vs_sgd: start must be finite"):
        gd_vs_sgd(f, jnp.array([0.0, jnp.inf]))
    with pytest.raises(ValueError, match="gd_vs_sgd: start must have shape"):
        gd_vs_sgd(f, jnp.zeros((2, 2)))
    with pytest.raises(ValueError, match="gd_vs_sgd: epochs must be"):
        gd_vs_sgd(f, jnp.zeros(2), epochs=0)
    for wrong in (-0.1, float("nan"), "fast", [0.1, 0.2]):
        with pytest.raises((TypeError, ValueError), match="gd_vs_sgd: step_size must be"):
            gd_vs_sgd(f, jnp.zeros(2), step_size=wrong)
    risk = gd.empirical_risk(lambda t, x: (t[0] - x) ** 2 + t[1] ** 2, jnp.ones(3))
    with pytest.raises(ValueError, match="gd_vs_sgd: step_size must be given where"):
        gd_vs_sgd(risk, jnp.zeros(2))


def test_special_data_are_drawn_as_well():
    nothing = gd.least_squares(np.array([[0, 0], [1, 2]], "f"), np.ones(2, "f"))
    assert not any("minimizers" in key for key in record(per_sample(nothing)))
    per_sample(gd.least_squares(np.ones((3, 2), "f"), np.ones(3, "f")))  # one line three times
    through = gd.least_squares(X.astype("f"), np.array([0, 1, 2], "f"))  # all lines meet
    assert not any("region" in key for key in record(per_sample(through)))
    f = gd.least_squares(X.astype("f"), Y.astype("f"))
    fig = per_sample(f, np.array([[0.5, 0.5], [9.0, 9.0]]), window=WINDOW)
    assert "mean/outside the window" in record(fig)
    assert any("1 point outside the window" in text.get_text() for text in fig.texts)


def test_many_examples_have_a_region_on_a_grid():
    rng = np.random.default_rng(0)
    f = gd.least_squares(rng.normal(size=(60, 2)).astype("f"), rng.normal(size=60).astype("f"))
    assert views.confusion(f, [[-2, 2], [-2, 2]], (9, 9)).gap is not None
    gd_vs_sgd(f, jnp.ones(2), epochs=2)


# -- single examples against full gradients --------------------------------------------------------


def check_single_steps(points, sizes, X, Y, unit):
    """Each step is that of one example, and each epoch takes each example once."""
    n = len(Y)
    g = slopes(X, Y, points[:-1])
    steps = -np.asarray(sizes)[:, None, None] * g
    off = np.abs(np.diff(points, axis=0)[:, None] - steps).max(2)
    size = 1 + np.abs(points).max() + np.abs(steps).max()
    assert off.min(1).max() <= 32 * unit * size * np.abs(X).sum(1).max() ** 2
    chosen = off.argmin(1)
    assert (np.sort(chosen.reshape(-1, n), axis=1) == np.arange(n)).all()
    return chosen


def check_full_steps(points, size, X, Y, unit):
    """Each step goes down the full gradient, at a right angle to the level line."""
    g = slopes(X, Y, points[:-1]).mean(1)
    steps = np.diff(points, axis=0)
    scale = 1 + np.abs(points).max() + np.abs(size * g).max()
    assert np.abs(steps + size * g).max() <= 32 * unit * scale * np.abs(X).sum(1).max() ** 2


def test_every_step_is_that_of_one_example_and_each_epoch_takes_all(race):
    drawn = record(race)
    single, full = drawn["map/single examples"], drawn["map/full gradients"]
    assert single.shape == (73, 2) and full.shape == (25, 2)
    # Half of 1/L: L = 2 for the mean, and 4 for the steepest example.
    chosen = check_single_steps(single, np.full(72, 0.125), X, Y, U[jnp.float64])
    check_full_steps(full, 0.25, X, Y, U[jnp.float64])
    assert len(np.unique(chosen.reshape(-1, 3), axis=0)) > 3  # a new order each epoch
    assert single[0].tolist() == full[0].tolist() == [0.1, -0.55]


def test_gaps_belong_to_points_and_cost_the_same(race):
    drawn = record(race)
    epoch, gap = drawn["cost/full gradient"].T
    assert epoch.tolist() == list(range(25))
    expected = costs(X, Y, drawn["map/full gradients"]).mean(1) - 0.02
    assert np.abs(gap - expected).max() <= 64 * U[jnp.float64] * (1 + expected.max())
    ends = [drawn[key][-1, 0] for key in drawn if key.startswith(("cost/full", "cost/one"))]
    assert ends == [24.0] * 3
    assert np.array_equal(drawn["map/epochs of single examples"], drawn["map/single examples"][::3])


@pytest.mark.parametrize("halved", [np.inf, 12.0])
def test_the_band_is_that_of_twenty_orders(halved):
    """Each is a run of single examples, whose sizes are constant or like 1/k."""
    f, start, key = gd.least_squares(X, Y), jnp.array([0.1, -0.55]), jax.random.key(0)
    sizes = 0.125 / (1 + np.arange(12) / halved)
    found = race_of(f, start, None, 4, key)
    gaps = []
    for one in [key, *jax.random.split(key, 19)]:
        options = {"batch_size": 1, "epochs": 4, "key": one, "record": None}
        rule = stochastic._Recorded(jnp.asarray(sizes, jnp.float32))
        memory = gd.stochastic_descend(f, start, rule, **options).final
        path = np.asarray(memory.memory.point.at[12].set(memory.point), np.float64)
        check_single_steps(path, sizes, X, Y, U[jnp.float32])
        gaps.append(costs(X, Y, path[::3]).mean(1) - 0.02)
    shown = found.constant if np.isinf(halved) else found.shrinking
    expected = np.quantile(gaps, [0.5, 0.1, 0.9], axis=0)
    assert np.abs(np.stack(shown) - expected).max() <= 256 * U[jnp.float32] * np.max(gaps)


@pytest.mark.parametrize("seed", range(3))
def test_steps_of_any_sum_are_those_of_single_examples(seed):
    rng = np.random.default_rng(seed)
    with jax.enable_x64(True):
        X, Y = rng.normal(size=(5, 2)), rng.normal(size=5)
        shown = race_of(gd.least_squares(X, Y), np.ones(2), 0.05, 4, jax.random.key(seed))
    check_single_steps(shown.single.point, np.full(20, 0.05), X, Y, U[jnp.float64])
    check_full_steps(shown.full.point, 0.05, X, Y, U[jnp.float64])


def test_all_that_was_chosen_is_said(race):
    said = " ".join(word for text in race.texts for word in text.get_text().split())
    for number in ("0.25", "0.125", "1/(1 + k/12)", "72 gradients"):
        assert number in said
    assert "20 runs" in said and race.axes[1].get_title(loc="left").startswith(
        "single examples lead"
    )


def test_the_logistic_minimum_is_bounded_and_said():
    X = np.array([[1.0, -1], [1, 0.25], [1, 1], [0.5, 2]], "f")
    f = gd.logistic(X, np.array([0, 1, 0, 1], "f"), ridge=0.25)
    fig = gd_vs_sgd(f, jnp.array([2.0, -1.0]), epochs=6, key=jax.random.key(3))
    point = record(fig)["map/minimizer"][0]
    signs = np.array([-1, 1, -1, 1])
    X = X.astype(float)
    g = -((signs / (1 + np.exp(signs * (X @ point))))[:, None] * X).mean(0) + 0.25 * point
    assert np.linalg.norm(g) <= 1e-5
    assert any("f* known to" in text.get_text() for text in fig.texts)


def test_more_parameters_have_a_cost_and_no_map():
    X = np.random.default_rng(0).normal(size=(6, 4)).astype("f")
    fig = gd_vs_sgd(gd.least_squares(X, X[:, 0]), jnp.ones(4), epochs=3)
    assert [ax.get_label() for ax in fig.axes] == ["cost"]


def test_what_diverges_is_counted_and_marked():
    f = gd.least_squares(X.astype("f"), Y.astype("f"))
    fig = gd_vs_sgd(f, jnp.array([2.0, 2.0]), step_size=8.0, epochs=40)
    drawn = record(fig)
    lost = sum(len(v) for k, v in drawn.items() if "not positive" in k)
    runs = [v for k, v in drawn.items() if k.startswith(("cost/full", "cost/one"))]
    assert lost == sum(np.isnan(v[:, 1]).sum() for v in runs) > 0
    said = " ".join(text.get_text() for text in fig.texts)
    said = " ".join(said.split())  # in as many lines as it needs
    assert f"{lost} gaps" in said and "points outside" in said


def test_a_minimum_that_nobody_knows_is_not_guessed():
    f = gd.empirical_risk(lambda t, x: jnp.sin(3 * t[0] * x) + (t[1] - x) ** 4,
                          jnp.array([0.5, 1.0, 1.75]))  # fmt: skip
    fig = gd_vs_sgd(f, jnp.array([1.0, 0.5]), step_size=0.02, epochs=4)
    cost = fig.axes[1]
    assert cost.get_yscale() == "linear" and "map/minimizer" not in record(fig)
    expected = np.mean([np.sin(3 * x) + (0.5 - x) ** 4 for x in (0.5, 1.0, 1.75)])
    assert abs(record(fig)["cost/full gradient"][0, 1] - expected) <= 1e-6


# -- planted bugs ----------------------------------------------------------------------------------


def falsified(monkeypatch, name, change):
    honest = getattr(figures, name)
    monkeypatch.setattr(figures, name, lambda *args, **options: change(honest(*args, **options)))


@pytest.mark.parametrize(
    "change",
    [
        lambda shown: shown._replace(gradients=-shown.gradients),
        lambda shown: shown._replace(gradients=shown.gradients[..., ::-1]),
        lambda shown: shown._replace(gradients=shown.gradients[:, [1, 2, 0]]),
        lambda shown: shown._replace(gradients=shown.gradients * 3),
        lambda shown: shown._replace(gradients=shown.gradients / 2),
    ],
    ids=["sign", "transposed", "other example", "sum for mean", "half"],
)
def test_wrong_gradients_are_found(monkeypatch, change):
    falsified(monkeypatch, "samples", change)
    monkeypatch.setattr(figures, "arrow_scale", lambda *_: 0.2)
    fig = per_sample(gd.least_squares(X.astype("f"), Y.astype("f")), PROBES, window=WINDOW)
    with pytest.raises(AssertionError):
        check_arrows(fig, X, Y, PROBES.astype("f").astype(float), U[jnp.float32])


def test_lines_that_are_off_are_found(monkeypatch):
    falsified(monkeypatch, "lines", lambda found: found._replace(point=found.point + 0.03))
    fig = per_sample(gd.least_squares(X.astype("f"), Y.astype("f")), PROBES, window=WINDOW)
    with pytest.raises(AssertionError):
        check_lines(fig, X, Y, U[jnp.float32])


def test_a_triangle_that_is_off_is_found():
    right = np.array([[1.9, 0.9], [2.2, 0.6], [2.2, 1.2]])
    check_region([right], right, U[jnp.float64])
    with pytest.raises(AssertionError):
        check_region([right + [[0.05, 0], [0, 0], [0, 0]]], right, U[jnp.float64])


def test_steps_that_are_no_examples_are_found(race):
    drawn = record(race)
    points, sizes = drawn["map/single examples"], np.full(72, 0.125)
    rng = np.random.default_rng(0)
    bugs = {
        "noise": points + 1e-6 * rng.normal(size=points.shape),
        "one late": np.roll(points, 1, axis=0),
        "transposed": points[:, ::-1],
    }
    for wrong in bugs.values():
        with pytest.raises(AssertionError):
            check_single_steps(wrong, sizes, X, Y, U[jnp.float64])
    with pytest.raises(AssertionError):
        check_single_steps(points, sizes * 1.01, X, Y, U[jnp.float64])
    with pytest.raises(AssertionError):
        check_full_steps(drawn["map/full gradients"], 0.125, X, Y, U[jnp.float64])

    replaced = [points[0]]  # with replacement, as the prototype did it
    for i in rng.integers(3, size=72):
        replaced.append(replaced[-1] - 0.125 * slopes(X, Y, replaced[-1][None])[0, i])
    with pytest.raises(AssertionError):
        check_single_steps(np.array(replaced), sizes, X, Y, U[jnp.float64])


@pytest.mark.parametrize(
    "name",
    [
        "views.examples",
        "views.disagreement",
        "views.stochastic",
        "figures.samples",
        "figures.stochastic",
    ],
)
def test_doctests(name):
    module = importlib.import_module(f"gdpure.plots.{name}")
    names = {"gd": gd, "jnp": jnp, "np": np, "jax": jax}
    assert doctest.testmod(module, extraglobs=names).failed == 0
