"""What the sweeps draw is what descent does, and what is known of it on paper."""

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

import gdpure as gd
from gdpure.plots.figures.sweeps import momentum_plane, step_sweep
from gdpure.plots.reading import record, role_of
from gdpure.plots.views import sweeps

X, Y = np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]]), np.array([1.0, 2.2, 2.8])
START, STEPS = np.array([2.0, 2.0]), 80
UNIT = np.finfo(np.float64).eps / 2


@pytest.fixture(autouse=True)
def precise():
    with jax.enable_x64(True):
        yield


def lesson():
    return gd.least_squares(jnp.asarray(X), jnp.asarray(Y))


def stranger(t):
    return jnp.sin(3 * t[0]) + t[1] ** 4 - t[0] * t[1]


def artist(fig, label, role):
    [ax] = [ax for ax in fig.axes if ax.get_label() == label]
    [found] = [mark for mark in ax.get_children() if role_of(mark) == role]
    return found


def centers(mesh):
    corners = mesh.get_coordinates()
    middles = (corners[:-1, :-1] + corners[1:, 1:]) / 2
    return middles[0, :, 0], middles[:, 0, 1]


# -- many step sizes -------------------------------------------------------------------------------


class OnPaper:
    """The lesson, by its normal equations and the eigenvectors of its Hessian, in NumPy."""

    hessian = 2 / 3 * X.T @ X
    curvatures, axes = np.linalg.eigh(hessian)
    minimizer = np.linalg.solve(hessian, 2 / 3 * X.T @ Y)
    along = axes.T @ (START - minimizer)

    @classmethod
    def gap(cls, eta, k):
        left = (1 - np.multiply.outer(eta, cls.curvatures)) ** (2 * k)
        return (left * cls.curvatures * cls.along**2).sum(-1) / 2

    @classmethod
    def ratio(cls, eta, k):
        return cls.gap(eta, k) / cls.gap(0.0, 0)


def laws_of_the_lesson(fig):
    """All that is proven of the reference, held against what is drawn."""
    drawn, (mu, L) = record(fig), OnPaper.curvatures
    mesh = artist(fig, "cells", "decades")
    s, k = centers(mesh)
    assert np.allclose(s, (np.arange(230) + 0.5) / 100, rtol=1e-12, atol=1e-12)
    assert np.array_equal(k, np.arange(STEPS + 1))
    rows = drawn["cells/decades"]
    exact = np.stack([np.log10(OnPaper.ratio(s / L, j)) for j in range(STEPS + 1)])
    assert np.abs(rows - np.clip(exact, -6, 6)).max() <= 1e-10
    # The color changes between the samples that bracket 2/L, and nowhere else.
    [change] = np.flatnonzero(np.diff(np.sign(rows[-1])))
    assert s[change] < 2 < s[change + 1]
    for role, place in (("1/L", 1), ("2/(L+mu)", 2 * L / (L + mu)), ("2/L edge of stability", 2)):
        for label in ("cells", "last step"):
            assert np.allclose(drawn[f"{label}/{role}"][:, 0], place, rtol=1e-14)
    dots = drawn["last step/measured"]
    assert np.allclose(dots[:, 1], OnPaper.ratio(dots[:, 0] / L, STEPS), rtol=1e-10, atol=0)
    theory = drawn["last step/theory"]
    assert np.allclose(theory[:, 1], OnPaper.ratio(theory[:, 0] / L, STEPS), rtol=1e-10, atol=0)
    assert np.array_equal(drawn["cells/limits"][0], drawn["last step/limits"][0])


@pytest.fixture(scope="module")
def reference():
    with jax.enable_x64(True):
        return step_sweep(lesson(), jnp.asarray(START))


def test_the_sweep_of_the_lesson_is_what_theory_says(reference):
    laws_of_the_lesson(reference)


def test_the_title_says_what_is_seen(reference):
    [title] = [text.get_text() for text in reference.texts if "steps" in text.get_text()]
    assert (
        title
        == r"80 steps lower the gap wherever $\eta < 2/L$, most from $\eta = 1.6/L$ to $1.9/L$"
    )


def half_a_cell(swept):
    return swept._replace(
        step_sizes=swept.step_sizes + (swept.step_sizes[1] - swept.step_sizes[0]) / 2
    )


def one_step_late(swept):
    return swept._replace(ratio=jnp.roll(swept.ratio, 1, axis=1))


def last_step_missing(swept):
    return swept._replace(ratio=swept.ratio.at[:, -1].set(swept.ratio[:, -2]))


def one_percent(swept):
    return swept._replace(smoothness=1.01 * swept.smoothness)


def twice(swept):
    return swept._replace(theory=2 * swept.theory)


def edge_at_one(swept):
    return swept._replace(edge=swept.edge / 2)


def backwards(swept):
    return swept._replace(ratio=swept.ratio[::-1])


def mu_of_another(swept):
    return swept._replace(strong_convexity=2 * swept.strong_convexity)


BUGS = [half_a_cell, one_step_late, last_step_missing, one_percent, twice, edge_at_one, backwards,
        mu_of_another]  # fmt: skip


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_in_the_sweep_is_seen(bug, monkeypatch):
    right = sweeps.step_sweep
    monkeypatch.setattr(sweeps, "step_sweep", lambda *a, **o: bug(right(*a, **o)))
    fig = step_sweep(lesson(), jnp.asarray(START))
    with pytest.raises(AssertionError):
        laws_of_the_lesson(fig)


def test_a_wrong_gradient_is_seen():
    wrong = gd.Objective(
        lambda theta, _: lesson()(theta),
        gradient=lambda theta, _: jax.grad(lesson())(theta) / 2,
        facts=gd.facts(lesson()),
    )
    with pytest.raises(AssertionError):
        laws_of_the_lesson(step_sweep(wrong, jnp.asarray(START)))


reals = st.floats(0.1, 3.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(mu=st.floats(0.05, 1), kappa=st.floats(1.5, 100), error=st.tuples(reals, reals), at=reals)
def test_the_sweep_of_any_quadratic_agrees_with_its_eigenvalues(dtype, mu, kappa, error, at):
    turn, unit = np.array([[0.8, -0.6], [0.6, 0.8]]), np.finfo(dtype).eps / 2
    curvatures, minimizer = np.array([mu, kappa * mu]), np.array([at, -at / 2])
    hessian, start = turn @ np.diag(curvatures) @ turn.T, minimizer + turn @ error
    f = gd.quadratic(hessian.astype(dtype), minimizer.astype(dtype))
    steps, s = 12, np.linspace(0.25, 2.2, 8)
    swept = sweeps.step_sweep(
        f, jnp.asarray(start, dtype), steps=steps, step_sizes=s / curvatures[1]
    )
    size, rows = np.linalg.norm(error), np.asarray(swept.ratio, np.float64)
    slowest = np.abs(1 - np.outer(s, curvatures / curvatures[1])).max(1)
    first = (curvatures * np.square(error)).sum() / 2
    reached, drift = size * np.ones_like(s), 4 * unit * (size + 2 * at) * np.ones_like(s)
    for k in range(steps + 1):
        left = (1 - np.outer(s, curvatures / curvatures[1])) ** k * error
        exact = np.sqrt((curvatures * left**2).sum(1) / 2 / first)
        # In a step at most twenty operations round, on numbers as large as |x*| + (1 + s) |e|.
        allowed = np.sqrt(curvatures[1] / 2 / first) * (drift + 40 * unit * (size + at + reached))
        assert (np.abs(np.sqrt(rows[:, k]) - exact) <= allowed + 40 * unit * exact).all()
        drift = slowest * drift + 40 * unit * (2 * at + (1 + s) * reached)
        reached = slowest * reached


def test_without_facts_the_gradient_is_drawn_and_the_edge_is_measured():
    start, steps = np.array([1.0, 1.0]), 30
    fig = step_sweep(stranger, jnp.asarray(start), steps=steps)
    drawn = record(fig)
    eta, _ = centers(artist(fig, "cells", "decades"))

    def value(x):
        return np.sin(3 * x[0]) + x[1] ** 4 - x[0] * x[1]

    def slope(x):
        return np.stack([3 * np.cos(3 * x[0]) - x[1], 4 * x[1] ** 3 - x[0]])

    x = np.repeat(start[:, None], len(eta), 1)
    few = 5  # steps: what comes later is chaotic where the step size is large
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(steps + 1):
            size = np.linalg.norm(slope(x), axis=0) / np.linalg.norm(slope(start))
            calm = eta < (0.2 if k > few else np.inf)
            shown = 10.0 ** drawn["cells/decades"][k][calm]
            assert np.allclose(shown, np.clip(size, 1e-6, 1e6)[calm], rtol=1e-8, atol=1e-12)
            x = x - eta * slope(x) if k < steps else x
        higher = ~(value(x) <= value(start))
    [edge] = set(drawn["cells/measured edge: f ends higher"][:, 0])
    first = np.flatnonzero(higher)[0]
    assert eta[first - 1] < edge < eta[first]
    assert not any("2/L" in role or "theory" in role for role in drawn)
    assert fig.axes[1].child_axes[0].get_ylabel() == r"$\|g_k\| / \|g_0\|$"


def test_where_there_is_no_minimum_the_gradient_is_drawn():
    drawn = record(step_sweep(gd.landscapes.saddle, jnp.array([2.0, 1e-3]), steps=10))
    s = (np.arange(230) + 0.5) / 100  # eta L, and the curvatures are L and -L
    size = np.hypot(2 * (1 - s) ** 10, 1e-3 * (1 + s) ** 10) / np.hypot(2, 1e-3)
    assert np.allclose(drawn["cells/decades"][-1], np.clip(np.log10(size), -6, 6), atol=1e-12)


def test_where_the_minimum_is_known_and_l_is_not_the_gap_is_drawn():
    fig = step_sweep(gd.landscapes.himmelblau, jnp.zeros(2), steps=20)
    assert fig.axes[1].child_axes[0].get_ylabel() == "gap / first gap"
    assert fig.axes[1].get_xlabel() == r"step size  $\eta$"


def test_runs_that_diverge_are_at_the_top_and_counted():
    f = gd.Objective(lambda x, _: jnp.sum(x**4), facts=gd.Facts(minimum=0.0))
    fig = step_sweep(f, jnp.array([1.0, 0.5]), step_sizes=jnp.array([0.1, 0.2, 0.9, 1.0]))
    drawn = record(fig)
    assert (drawn["cells/decades"][-1, 2:] == 6).all() and (
        drawn["cells/decades"][-1, :2] < 0
    ).all()
    assert len(drawn["last step/outside the window"]) == 2
    assert "2 of 4 runs leave the floating-point numbers" in {t.get_text() for t in fig.texts}


def test_a_gap_of_zero_is_a_mark_at_the_foot():
    fig = step_sweep(gd.landscapes.bowl, jnp.array([2.0, 1.0]), steps=3, step_sizes=[0.25, 0.5])
    drawn = record(fig)
    assert np.array_equal(drawn["last step/not positive"][:, 0], [1.0])  # eta L of 1
    assert drawn["cells/decades"][-1, 1] == -6
    assert "1 at the foot: 0 within rounding" in {text.get_text() for text in fig.texts}


def test_any_parameters_will_do():
    start = {"w": jnp.ones(3), "b": jnp.zeros(())}

    def f(p):
        return jnp.sum((p["w"] - 2) ** 2) + jnp.cosh(p["b"] - 1)

    drawn = record(step_sweep(f, start, steps=5))
    assert drawn["cells/decades"].shape == (6, 230)


def test_equal_eigenvalues_and_more_curvatures_crowd_no_label():
    for curvatures in ([2.0, 2.0], [1.0, 1.4], [1.0, 2.0, 300.0]):
        f = gd.quadratic(jnp.diag(jnp.array(curvatures)), jnp.zeros(len(curvatures)))
        fig = step_sweep(f, jnp.ones(len(curvatures)), steps=10)
        fig.draw_without_rendering()
        names = [t.get_window_extent() for t in fig.axes[1].texts if "/" in t.get_text()]
        for i, one in enumerate(names):
            assert not any(one.overlaps(other) for other in names[:i])


def test_a_sweep_is_drawn_twice_alike_and_changes_nothing(reference):
    before = dict(matplotlib.rcParams)
    again = record(step_sweep(lesson(), jnp.asarray(START)))
    assert dict(matplotlib.rcParams) == before
    first = record(reference)
    assert first.keys() == again.keys()
    assert all(np.array_equal(first[key], again[key], equal_nan=True) for key in first)


def test_a_sweep_draws_on_what_it_is_given():
    part = Figure(figsize=(7.2, 9)).subfigures(2, 1)[1]
    assert step_sweep(gd.landscapes.bowl, jnp.ones(2), steps=2, theme="dark", fig=part) is part
    assert len(part.axes) == 2


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"steps": 0}, ValueError, "steps"),
        ({"step_sizes": [0.1]}, ValueError, "two or more"),
        ({"step_sizes": [[0.1, 0.2]]}, ValueError, "shape"),
        ({"step_sizes": [0.2, 0.1]}, ValueError, "rise"),
        ({"step_sizes": [-0.2, 0.1]}, ValueError, "rise"),
        ({"step_sizes": [0.1, np.nan]}, ValueError, "finite"),
        ({"start": jnp.zeros(2)}, ValueError, "stationary"),
        ({"start": jnp.array([np.nan, 1.0])}, ValueError, "finite"),
        ({"start": "here"}, TypeError, "start"),
        ({"f": 3}, TypeError, "callable"),
        ({"ax": Figure().add_axes((0, 0, 1, 1))}, TypeError, "fig="),
        ({"fig": "new"}, TypeError, "Figure"),
        ({"theme": "sepia"}, ValueError, "theme"),
    ],
)
def test_bad_input_to_the_sweep_is_named(arguments, error, words):
    given = {"f": gd.landscapes.bowl, "start": jnp.ones(2), "steps": 3} | arguments
    with pytest.raises(error, match=words):
        step_sweep(given.pop("f"), given.pop("start"), **given)


# -- the heavy ball --------------------------------------------------------------------------------


def radius(s, beta):
    """The spectral radius, from the eigenvalues."""
    return np.abs(np.linalg.eigvals([[1 + beta - s, -beta], [1.0, 0.0]])).max()


def laws_of_the_plane(ax):
    drawn, mesh = record(ax.figure), artist(ax.figure, "", "rate")
    s, beta = centers(mesh)
    columns, rows = len(s), len(beta)
    assert np.allclose(s, 4.4 * (np.arange(columns) + 0.5) / columns, rtol=1e-12)
    assert np.allclose(beta, 1.1 * (np.arange(rows) + 0.5) / rows, rtol=1e-12)
    exact = np.array([[radius(a, b) for a in s] for b in beta])
    # Where two roots meet, an eigenvalue answers a change u of the matrix by as much as its root.
    assert np.abs(drawn["rate"] - np.clip(exact, 0, 2)).max() <= 8 * np.sqrt(UNIT)
    half, square = (1 + beta[:, None] - s) / 2, beta[:, None] + 0 * s
    apart = np.abs(half**2 - square) > 1e-3
    closed = np.abs(half + 1j * 0 + np.sqrt(half**2 - square + 0j))
    closed = np.maximum(closed, np.abs(half - np.sqrt(half**2 - square + 0j)))
    assert np.abs(drawn["rate"] - np.clip(closed, 0, 2))[apart].max() <= 1e-12
    dots = artist(ax.figure, "", "measured")
    for (a, b), measured in zip(dots.get_offsets(), dots.get_array(), strict=True):
        assert abs(measured - min(radius(a, b), 2)) <= 2e-7
    # Inside of the edge the ball converges, outside it does not.
    stable = (s < 2 + 2 * beta[:, None]) & (beta[:, None] < 1)
    assert np.array_equal(drawn["rate"] < 1, stable)
    assert all(abs(radius(*corner) - 1) <= 8 * np.sqrt(UNIT) for corner in drawn["edge"])
    for a, b in drawn["critical damping"]:
        assert abs((1 + b - a) ** 2 - 4 * b) <= 1e-12
    for role in (role for role in drawn if role.startswith("level")):
        for a, b in drawn[role]:
            assert abs(radius(a, b) - float(role.split()[1])) <= 8 * np.sqrt(UNIT)


def test_the_plane_of_momentum_is_what_eigenvalues_say():
    laws_of_the_plane(momentum_plane(n=(81, 45)))


def test_the_curvatures_of_the_lesson_meet_the_curve_of_critical_damping():
    ax = momentum_plane(lesson(), n=(81, 45))
    laws_of_the_plane(ax)
    for s, beta in record(ax.figure)["curvatures"]:
        assert abs((1 + beta - s) ** 2 - 4 * beta) <= 1e-12
    kappa = OnPaper.curvatures[1] / OnPaper.curvatures[0]
    best = ((np.sqrt(kappa) - 1) / (np.sqrt(kappa) + 1)) ** 2
    assert np.allclose(record(ax.figure)["curvatures"][:, 1], best, rtol=1e-12)


def upside_down(shown):
    return shown._replace(rate=shown.rate[::-1])


def of_the_square(shown):
    return shown._replace(rate=shown.rate**2)


def half_a_column(shown):
    return shown._replace(steps=shown.steps + (shown.steps[1] - shown.steps[0]) / 2)


def without_momentum(shown):
    return shown._replace(measured=np.abs(1 - np.asarray(shown.runs[:, 0])))


def next_dot(shown):
    return shown._replace(measured=np.roll(shown.measured, 1))


PLANE_BUGS = [upside_down, of_the_square, half_a_column, without_momentum, next_dot]


@pytest.mark.parametrize("bug", PLANE_BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_in_the_plane_is_seen(bug, monkeypatch):
    right = sweeps.momentum_plane
    monkeypatch.setattr(sweeps, "momentum_plane", lambda *a, **o: bug(right(*a, **o)))
    with pytest.raises(AssertionError):
        laws_of_the_plane(momentum_plane(n=(41, 23)))


@given(st.floats(0.02, 4.3), st.floats(0.0, 1.05))
def test_the_rate_of_a_run_is_the_spectral_radius(s, beta):
    [measured] = sweeps.measured_rate(jnp.array([[s, beta]]))
    apart = np.sqrt(abs((1 + beta - s) ** 2 - 4 * beta))
    # p and q carry rounding of the run; a root answers by 1 / (distance of the roots), at most by
    # its square root.
    off = 1e-12
    assert abs(measured - radius(s, beta)) <= min(off / max(apart, 1e-300), np.sqrt(off)) + 1e-12


def test_runs_without_a_place_are_at_the_edge_and_counted():
    ax = momentum_plane(runs=[[1.0, 0.5], [7.0, 0.5], [1.0, 3.0]], n=(21, 11))
    drawn = record(ax.figure)
    assert drawn["measured"].tolist() == [[1.0, 0.5]]
    assert drawn["outside the window"].tolist() == [[4.4, 0.5]]
    assert "2 outside" in ax.get_title(loc="right")


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"runs": [1.0, 0.5]}, ValueError, "shape"),
        ({"runs": np.zeros((0, 2))}, ValueError, "shape"),
        ({"runs": [[np.nan, 0.5]]}, ValueError, "finite"),
        ({"runs": [[-1.0, 0.5]]}, ValueError, "at least 0"),
        ({"curvatures": [0.0, 1.0]}, ValueError, "positive"),
        ({"curvatures": "L"}, TypeError, "numbers"),
        ({"curvatures": stranger}, ValueError, "gd.Facts"),
        ({"n": (1, 5)}, ValueError, "n must"),
        ({"fig": Figure()}, TypeError, "ax="),
    ],
)
def test_bad_input_to_the_plane_is_named(arguments, error, words):
    with pytest.raises(error, match=words):
        momentum_plane(**({"n": (5, 5)} | arguments))
