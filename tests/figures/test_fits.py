"""Fits: what is drawn of lines and of modes, against NumPy and against the laws of the figures."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import gdpure as gd
from gdpure import lesson
from gdpure.plots.figures import convergence as curves
from gdpure.plots.figures import fits as figures
from gdpure.plots.figures.convergence import convergence
from gdpure.plots.figures.fits import fit_and_parameters
from gdpure.plots.palette import linear
from gdpure.plots.reading import record
from gdpure.plots.views import fits as views
from gdpure.plots.wording import alt_text
from gdpure.specs import rounding

EPS = np.finfo(np.float64).eps
X, Y = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.2, 2.8])


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def line_fit(x=X, y=Y):
    return gd.least_squares(gd.with_intercept(jnp.asarray(x)), jnp.asarray(y))


def lesson_run(steps=100, step_size=0.09, start=(-0.6, 2.2)):
    return gd.descend(line_fit(), jnp.array(start), step_size, steps=steps)


def numbers(drawn, prefix):
    """Return the k of all marks whose role begins so."""
    return sorted(int(key.removeprefix(prefix)) for key in drawn if key.startswith(prefix))


# -- lines and points ------------------------------------------------------------------------------


def law_of_lines(fig, points, x, y):
    """Each line is its point, each point its iterate, and the height is the mean square."""
    drawn = record(fig)
    ks = numbers(drawn, "parameters/iterate ")
    assert ks == numbers(drawn, "fits/line ") and len(ks)
    labels = {}
    for text in fig.axes[1].texts:
        if text.get_gid() == "gd:label":
            k, value = text.get_text().replace("\N{MINUS SIGN}", "-").split(",  $f = $")
            labels[int(k.strip("$k ="))] = float(value.split()[0])
    assert sorted(labels) == ks
    for k in ks:
        [point] = drawn[f"parameters/iterate {k}"]
        assert np.array_equal(point, points[k])
        (left, low), (right, high) = drawn[f"fits/line {k}"]
        slope = (high - low) / (right - left)
        a, b = point
        # Two roundings of each end, of numbers of this size.
        size = abs(a) + abs(b) * max(abs(left), abs(right))
        assert abs(slope - b) <= 4 * EPS * size / (right - left) + 4 * EPS * abs(b)
        off = 4 * EPS * size * (1 + 2 * abs(left) / (right - left)) + 4 * EPS * abs(b * left)
        assert abs(low - slope * left - a) <= off
        height = np.mean((low + slope * (x - left) - y) ** 2)
        written = 0.05 if height >= 1e6 else 0.005
        assert abs(labels[k] - height) <= written * height * (1 + 1e-9) + 1e-12
    if "fits/residuals" in drawn:  # the squares of the last line have the mean f(x_k)
        ends = drawn["fits/residuals"].reshape(len(x), 3, 2)
        squares = (ends[:, 0, 1] - ends[:, 1, 1]) ** 2
        assert np.array_equal(ends[:, 0], drawn["fits/data"])
        exact = np.mean((points[ks[-1]] @ [np.ones_like(x), x] - y) ** 2)
        assert abs(squares.mean() - exact) <= 1e-12 * exact + 1e-24
    assert np.array_equal(drawn["fits/data"], np.column_stack([x, y]))
    assert np.array_equal(drawn["parameters/path"], points)


def test_each_line_is_its_point():
    run = lesson_run()
    fig = fit_and_parameters(line_fit(), run)
    law_of_lines(fig, np.asarray(run.history.point), X, Y)
    assert numbers(record(fig), "fits/line ") == [0, 1, 2, 5, 10, 22, 46, 100]


@settings(max_examples=8)
@given(
    st.lists(st.integers(-8, 8), min_size=4, max_size=4, unique=True),
    st.lists(st.integers(-20, 20), min_size=4, max_size=4),
    st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
)
def test_each_line_is_its_point_whatever_the_data(x, y, start):
    x, y = np.array(x) / 2, np.array(y) / 4
    f = line_fit(x, y)
    run = gd.descend(f, jnp.array(start, jnp.float64), 1 / gd.facts(f).smoothness, steps=6)
    law_of_lines(fit_and_parameters(f, run, ks=[6, 0, 3, 3]), np.asarray(run.history.point), x, y)


def falsify(monkeypatch, name, change):
    true = getattr(figures, name)
    monkeypatch.setattr(figures, name, lambda *args: change(true(*args)))


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v._replace(points=np.roll(v.points, 1, 0)),
        lambda v: v._replace(points=v.points[:, ::-1]),
        lambda v: v._replace(heights=v.heights[:, ::-1]),
        lambda v: v._replace(heights=v.heights * (1 + 1e-9)),
        lambda v: v._replace(values=3 * v.values),
        lambda v: v._replace(values=np.roll(v.values, 1)),
        lambda v: v._replace(k=v.k + 1),
        lambda v: v._replace(y=v.y + 0.01),
        lambda v: v._replace(fitted=np.roll(v.fitted, 1, 0)),
    ],
    ids=[
        "late",
        "swapped",
        "mirrored",
        "long",
        "sum",
        "value late",
        "counted from 1",
        "data",
        "residuals late",
    ],  # fmt: skip
)
def test_the_law_of_lines_sees(monkeypatch, change):
    falsify(monkeypatch, "fitted", change)
    run = lesson_run()
    fig = fit_and_parameters(line_fit(), run)
    with pytest.raises((AssertionError, KeyError, IndexError)):
        law_of_lines(fig, np.asarray(run.history.point), X, Y)


def test_the_lesson_s_own_cost_and_its_data_are_a_line():
    with jax.enable_x64(False):
        run = gd.descend(lesson.regression(), jnp.zeros(2, jnp.float32), 0.09, steps=5)
        fig = fit_and_parameters(lesson.regression(), run)
        data = record(fig)["fits/data"]
        assert data.tolist() == np.column_stack([X, Y]).astype(np.float32).tolist()
        own = gd.Objective(
            lambda theta, data: jnp.mean((theta[0] + theta[1] * data[0] - data[1]) ** 2),
            data=lesson.regression().data,
        )
        assert np.array_equal(record(fit_and_parameters(own, run))["fits/line 2"],
                              record(fig)["fits/line 2"])  # fmt: skip


def test_lines_and_points_out_of_sight_are_counted():
    run = lesson_run(steps=30, step_size=0.4)
    fig = fit_and_parameters(line_fit(), run)
    left, right = fig.axes
    window = record(fig)["parameters/limits"]
    points = np.asarray(run.history.point)
    lost = ((points < window[:, 0]) | (points > window[:, 1])).any(1).sum()
    notes = [text.get_text() for text in left.texts if text.get_gid() == "gd:notes"]
    assert lost and notes == [f"{lost} outside the window"]
    away = [text for text in right.texts if "ARROW" in ascii_names(text.get_text())]
    assert right.get_title(loc="left").endswith(f"{len(away)} out of sight") and len(away)


def ascii_names(text):
    import unicodedata

    return " ".join(unicodedata.name(letter, "") for letter in text)


def test_drawing_twice_is_the_same_and_alt_text_says_what_is_seen():
    f, run = line_fit(), lesson_run()
    one, two = (record(fit_and_parameters(f, run, theme=theme)) for theme in ("light", "dark"))
    assert one.keys() == two.keys() and all(
        np.array_equal(one[k], two[k], equal_nan=True) for k in one
    )
    said = alt_text(fit_and_parameters(f, run))
    assert "iterate 0: at (-0.6, 2.2)" in said and "path: 101 points" in said


def test_no_color_is_alone_and_colors_fall_in_lightness():
    fig = fit_and_parameters(line_fit(), lesson_run())
    lines = [x for x in fig.axes[1].lines if (x.get_gid() or "").startswith("gd:line")]
    light = linear([x.get_color()[:3] for x in lines]) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) < 0).all()
    assert len([t for t in fig.axes[1].texts if t.get_gid() == "gd:label"]) == len(lines)


def stranger(t):
    return jnp.sin(3 * t[0]) + t[1] ** 4 - t[0] * t[1]


@pytest.mark.parametrize(
    ("f", "ks", "error", "says"),
    [
        (stranger, None, TypeError, "mean squared error of a line"),
        (gd.logistic, None, TypeError, "mean squared error of a line"),
        ("line", [0, 500], ValueError, "ks must be a whole number, from 0 to 100"),
        ("line", [0.5], TypeError, "ks must be a whole number"),
        ("line", [], ValueError, "at least one iterate"),
    ],
)
def test_what_is_no_line_is_refused(f, ks, error, says):
    with pytest.raises(error, match=says):
        fit_and_parameters(line_fit() if f == "line" else f, lesson_run(), ks=ks)


def test_other_quadratics_and_other_runs_are_refused():
    features = jnp.array([[1.0, 2.0], [3.0, 4.0], [2.0, 2.0]])
    with pytest.raises(TypeError, match="one feature"):
        fit_and_parameters(gd.least_squares(features, jnp.ones(3)), lesson_run())
    with pytest.raises(TypeError, match="one feature"):
        fit_and_parameters(gd.quadratic(jnp.eye(2), jnp.zeros(2)), lesson_run())
    half = gd.Objective(lambda t, d: line_fit()(t) / 2, data=(jnp.asarray(X), jnp.asarray(Y)))
    with pytest.raises(TypeError, match="one feature"):
        fit_and_parameters(half, lesson_run())
    with pytest.raises(ValueError, match="two parameters"):
        fit_and_parameters(line_fit(), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="not finite"):
        fit_and_parameters(line_fit(), np.array([[np.nan, 0.0], [1.0, 1.0]]))
    with pytest.raises(TypeError, match="not ax="):
        fit_and_parameters(line_fit(), lesson_run(), ax=None)


def test_no_step_and_one_row_of_data_have_a_figure():
    assert numbers(record(fit_and_parameters(line_fit(), lesson_run(0))), "fits/line ") == [0]
    one = line_fit(X[1:2], Y[1:2])
    run = gd.descend(one, jnp.zeros(2), 0.05, steps=3)
    assert numbers(record(fit_and_parameters(one, run)), "fits/line ") == [0, 1, 2, 3]


# -- modes -----------------------------------------------------------------------------------------


def polynomials():
    x = np.linspace(-1, 1, 31) ** 3
    return np.vander(x, 8, increasing=True), np.sin(3 * x)


parts = functools.partial(convergence, modes=True)


def law_of_modes(ax, X, y, run, step_size):
    """Drawn parts add up to the drawn gap; theory and measured are those of NumPy."""
    drawn = record(ax.figure)
    m = len(numbers(drawn, "measured "))
    parts = np.stack([drawn[f"measured {i + 1}"] for i in range(m)])[..., 1]
    theory = np.stack([drawn[f"theory {i + 1}"] for i in range(m)])[..., 1]
    gap, limit = drawn["measured"][:, 1], ax.get_ylim()[0]
    hessian = 2 * X.T @ X / len(y)
    least = np.linalg.lstsq(X, y)[0]
    curvatures, axes = np.linalg.eigh(hessian)
    points = np.asarray(run.history.point, np.float64)
    k = np.arange(len(points))

    # A part that is not drawn is below the foot of the axis.
    lost = np.isnan(parts)
    total = np.nansum(parts, 0)
    error = ((points - least) ** 2).sum(1)
    allowed = 1e-12 * gap + 8 * EPS * curvatures[-1] * error + lost.sum(0) * limit
    seen = ~np.isnan(gap)
    assert seen.any() and (abs(total - gap) <= allowed)[seen].all()

    # f(x_k) - f* is the drawn gap, to the rounding of f in extended precision.
    value = np.mean((X.astype(np.longdouble) @ points.T - y[:, None]) ** 2, 0)
    best = np.mean((X.astype(np.longdouble) @ least - y) ** 2)
    exact = (value - best).astype(np.float64)
    assert (abs(exact - gap) <= 1e-10 * gap + allowed + 1e-15 * float(best))[seen].all()

    # Rounded steps drift from exact ones by no more than this.
    steps = [
        rounding.step(rounding.least_squares(X, y, x, np.float64), x, step_size, np.float64)
        for x in points[:-1]
    ]
    contraction = min(1.0, np.abs(1 - step_size * curvatures).max())
    drift = rounding.drift(contraction, np.sqrt((np.array(steps) ** 2).sum(-1))).astype(float)
    c = axes.T @ (points[0] - least)
    off = drift + 64 * EPS * (np.abs(points).max() + np.abs(least).max())
    for i, (curvature, part) in enumerate(zip(curvatures[::-1], c[::-1], strict=True)):
        with np.errstate(under="ignore"):
            root = np.sqrt(curvature / 2) * abs(part) * np.abs(1 - step_size * curvature) ** k
        near = np.sqrt(curvature / 2) * off
        assert (abs(np.sqrt(theory[i]) - root) <= near + 1e-9 * root).all()
        here = ~np.isnan(parts[i])
        assert (abs(np.sqrt(parts[i]) - root) <= near + 1e-9 * root)[here].all()


def lesson_modes(step_size=0.16, steps=60):
    features = np.column_stack([np.ones(3), X])
    run = lesson_run(steps, step_size, (2.0, 1.5))
    return line_fit(), features, Y, run, step_size


def polynomial_modes():
    features, y = polynomials()
    f = gd.least_squares(jnp.asarray(features), jnp.asarray(y))
    step_size = 1.5 / float(gd.facts(f).smoothness)
    return f, features, y, gd.descend(f, jnp.ones(8), step_size, steps=80), step_size


@pytest.mark.parametrize("case", [lesson_modes, polynomial_modes])
def test_drawn_modes_add_up_to_the_drawn_gap(case):
    f, features, y, run, step_size = case()
    law_of_modes(parts(f, run), features, y, run, step_size)


@settings(max_examples=8)
@given(
    st.lists(st.integers(-6, 6), min_size=15, max_size=15),
    st.lists(st.integers(-9, 9), min_size=5, max_size=5),
    st.integers(1, 15),
)
def test_modes_add_up_whatever_the_data(entries, y, sixteenths):
    features, y = np.array(entries, float).reshape(5, 3) / 2, np.array(y) / 4
    assume(np.linalg.cond(features) < 1e3)
    f = gd.least_squares(jnp.asarray(features), jnp.asarray(y))
    start = gd.facts(f).minimizer + jnp.array([1.0, -2.0, 0.5])
    step_size = sixteenths / 8 / float(gd.facts(f).smoothness)
    run = gd.descend(f, start, step_size, steps=12)
    law_of_modes(parts(f, run), features, y, run, step_size)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v._replace(measured=2 * v.measured, theory=2 * v.theory),
        lambda v: v._replace(theory=np.sqrt(v.theory)),
        lambda v: v._replace(measured=np.roll(v.measured, 1, 1)),
        lambda v: v._replace(measured=np.roll(v.measured, -1, 1)),
        lambda v: v._replace(measured=v.measured[::-1], theory=v.theory[::-1]),
        lambda v: v._replace(theory=v.theory * (1 + 1e-4)),
        lambda v: v._replace(measured=v.measured * v.curvatures[:, None]),
    ],
    ids=["no half", "k for 2k", "late", "parts late", "order", "theory", "lambda twice"],
)
def test_the_law_of_modes_sees(change, monkeypatch):
    f, features, y, run, step_size = lesson_modes()
    monkeypatch.setattr(curves, "split", lambda *given: change(views.modes(*given)))
    with pytest.raises(AssertionError):
        law_of_modes(parts(f, run), features, y, run, step_size)


def test_the_law_of_modes_sees_the_gap(monkeypatch):
    f, features, y, run, step_size = lesson_modes()
    honest = curves.views.gaps
    monkeypatch.setattr(curves.views, "gaps", lambda *given: honest(*given) * (1 + 1e-11))
    with pytest.raises(AssertionError):
        law_of_modes(parts(f, run), features, y, run, step_size)


def test_three_are_named_and_of_more_the_fastest_and_the_slowest():
    def names(ax):
        return sorted(t.get_text().split()[0] for t in ax.texts if t.get_gid() == "gd:label")

    f = gd.quadratic(jnp.diag(jnp.array([4.0, 2.0, 1.0])), jnp.zeros(3))
    ax = parts(f, gd.descend(f, jnp.ones(3), 0.2, steps=9))
    assert names(ax) == ["fastest", "measured", "part,", "slowest"]
    f, *_, run, _ = polynomial_modes()
    ax = parts(f, run)
    assert names(ax) == ["fastest", "measured", "slowest"]
    assert len([x for x in ax.lines if (x.get_gid() or "").startswith("gd:theory")]) == 8
    for line in ax.lines:  # what is named differs by dash and by marker, too
        assert line.get_gid()


def test_flat_directions_have_no_part():
    f = line_fit(X[1:2], Y[1:2])
    ax = parts(f, gd.descend(f, jnp.array([1.0, 1.0]), 0.05, steps=4))
    assert "theory 1" in record(ax.figure) and "theory 2" not in record(ax.figure)


def test_what_rounding_drowned_is_counted_at_the_foot():
    f = line_fit()
    run = gd.descend(f, jnp.array([2.0, 1.0]), 1 / gd.facts(f).smoothness, steps=20)
    ax = parts(f, run)
    drawn = record(ax.figure)
    assert np.isnan(drawn["measured 1"][1:, 1]).all() and not np.isnan(drawn["measured 2"]).any()
    assert drawn["not positive"][:, 0].tolist() == list(range(1, 21))
    [said] = [t.get_text() for t in ax.texts if t.get_gid() == "gd:notes"]
    assert "marks at the foot: smaller" in said


def test_a_part_that_grows_is_called_so():
    ax = parts(line_fit(), lesson_run(10, 0.2))
    assert "longer than" in ax.get_title(loc="left")
    assert any(t.get_text().startswith("growing") for t in ax.texts)


def test_the_lesson_s_cost_and_optax_have_modes_in_float32():
    with jax.enable_x64(False):
        start = jnp.array([2.0, 2.0], jnp.float32)
        ours = gd.descend(lesson.regression(), start, 0.08, steps=10)
        theirs = gd.descend(lesson.regression(), start, optax.sgd(0.08), steps=10)
        one, two = (record(parts(lesson.regression(), run).figure) for run in (ours, theirs))
        assert np.allclose(one["measured"], two["measured"], rtol=1e-4)
        theory = one["theory 1"][:, 1] + one["theory 2"][:, 1]
        assert np.allclose(one["measured"][:, 1], theory, rtol=1e-3)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (gd.BarzilaiBorwein(0.1), "one step size"),
        (gd.HeavyBall(0.1, 0.5), "one step size"),
        (jnp.linspace(0.05, 0.1, 10), "one step size"),
        (1e200, "diverged"),
    ],
)
def test_runs_of_several_step_sizes_have_no_modes(rule, says):
    run = gd.descend(line_fit(), jnp.array([2.0, 2.0]), rule, steps=10)
    with pytest.raises(ValueError, match=says):
        parts(line_fit(), run)


def test_what_has_no_modes_is_refused():
    run = lesson_run(5)
    with pytest.raises(TypeError, match="only a quadratic"):
        parts(stranger, run)
    with pytest.raises(TypeError, match="what gd.descend returned"):
        parts(line_fit(), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="one of 3 parameters"):
        parts(gd.quadratic(jnp.eye(3), jnp.zeros(3)), run)
    with pytest.raises(ValueError, match="at least one step"):
        parts(line_fit(), lesson_run(0))
    with pytest.raises(ValueError, match="starts at the minimizer"):
        bowl = gd.quadratic(jnp.eye(2), jnp.zeros(2))
        parts(bowl, gd.descend(bowl, jnp.zeros(2), 0.1, steps=2))
    with pytest.raises(ValueError, match="negative curvature"):
        saddle = gd.quadratic(jnp.diag(jnp.array([1.0, -1.0])), jnp.zeros(2))
        parts(saddle, gd.descend(saddle, jnp.ones(2), 0.1, steps=2))
    with pytest.raises(TypeError, match="not fig="):
        parts(line_fit(), run, fig=None)
