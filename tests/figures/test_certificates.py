"""Convergence and certificates: what is drawn is true, and what is not true is seen to be drawn."""

import doctest
from itertools import combinations

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

import gdpure as gd
from gdpure.plots.figures import certificate as figures
from gdpure.plots.figures.certificate import certificate
from gdpure.plots.figures.convergence import convergence
from gdpure.plots.reading import record
from gdpure.plots.views import certified as views

U = 2.0**-53
X, Y, START = np.array([[1.0, 1], [1, 2], [1, 3]]), np.array([1.0, 2.2, 2.8]), np.array([2.0, 2.0])
# H = 2/3 X'X has trace 34/3 and determinant 8/3; X is no square, so nothing is symmetric by chance.
HESSIAN, MINIMIZER = X.T @ X * 2 / 3, np.array([0.2, 0.9])
L = (34 / 3 + np.sqrt((34 / 3) ** 2 - 32 / 3)) / 2
MU = 8 / 3 / L
REAL = ("convex", "PL", "strongly convex")


def lesson(dtype=jnp.float64):
    return gd.least_squares(jnp.asarray(X, dtype), jnp.asarray(Y, dtype))


def gap(points):
    offset = np.asarray(points, np.float64) - MINIMIZER
    return ((offset @ HESSIAN) * offset).sum(1) / 2


def descended(start, steps, step_size=1 / L, factor=1.0):
    """Gradient descent by hand; `factor` is a bug."""
    points = [np.array(start)]
    for _ in range(steps):
        points.append(points[-1] - factor * step_size * HESSIAN @ (points[-1] - MINIMIZER))
    return np.array(points)


def worst_start(height):
    axis = np.linalg.eigh(HESSIAN)[1][:, 0]
    return MINIMIZER + axis * np.sqrt(2 * height / MU)


def drift(steps, size):
    """How far apart two runs in float64 may be, of points that are no larger than size."""
    # A step: d products, a sum, a product with eta and a difference, twice, and eta and H rounded.
    return 32 * U * size * min(steps, L / MU)


@pytest.fixture(scope="module")
def run():
    with jax.enable_x64(True):
        return gd.descend(lesson(), jnp.array(START), 1 / L, steps=900)


@pytest.fixture(scope="module")
def shown(run):
    with jax.enable_x64(True):
        return views.certificate(lesson(), run)


def drawn(monkeypatch, shown):
    """Draw a view that may be falsified, and read it back."""
    monkeypatch.setattr(figures.views, "certificate", lambda *_: shown)
    return record(certificate(None, None).figure)


def broken_laws(found):
    """Return which laws of the figure its numbers break."""
    broken, k = [], found["measured, float64"][:, 0]
    measured = found["measured, float64"][:, 1]
    if not np.array_equal(k, np.arange(901)):
        broken.append("rows")
    for name in REAL:
        bound = found[f"proven, {name}"][:, 1]
        if (measured > bound * (1 + 1e-12)).any():
            broken.append(f"under {name}")
    narrow, rounded = (found[name][:, 1] for name in ("measured, float32", "proven, rounded"))
    if (narrow > rounded).any():
        broken.append("under rounding")
    at, circles = found["worst case"].T
    bound = found["proven, strongly convex"][at.astype(int), 1]
    # Of points no larger than the start; roots of gaps have slopes of at most sqrt(L/2).
    moved = np.sqrt(L / 2) * drift(900, np.abs(worst_start(bound[0])).max()) / np.sqrt(bound)
    if (abs(circles / bound - 1) > 2.1 * moved + 1e-12).any():
        broken.append("attained")
    return broken


# -- certificate -----------------------------------------------------------------------------------


def test_the_numbers_of_the_reference_are_those_of_the_formulas(run):
    with jax.enable_x64(True):
        found = record(certificate(lesson(), run).figure)
    k = np.arange(901.0)
    measured = found["measured, float64"][:, 1]
    own = gap(descended(START, 900))
    assert abs(np.sqrt(measured) - np.sqrt(own)).max() <= np.sqrt(L / 2) * 2 * drift(900, 2.0)
    distance = ((START - MINIMIZER) ** 2).sum()
    for name, bound in (
        ("convex", L * distance / (4 * k + 2)),
        ("PL", own[0] * (1 - MU / L) ** k),
        ("strongly convex", own[0] * (1 - MU / L) ** (2 * k)),
    ):
        # L and mu are off by a few units of L; powers magnify that.
        relative = abs(found[f"proven, {name}"][:, 1] / bound - 1)
        assert (relative <= (2 * k + 8) * 32 * U).all(), name
    assert broken_laws(found) == []


def test_float32_leaves_the_real_bound_and_not_its_own(shown):
    narrow, k = shown.narrow, shown.narrow.leaves
    assert shown.wide.leaves is None and 650 < k < 880
    assert narrow.gap[k - 1] <= narrow.bound[k - 1]
    assert (narrow.gap[k:] > narrow.bound[k:]).all() and (narrow.gap <= narrow.rounded).all()
    assert narrow.dtype == "float32" and narrow.gap[-1] > 1e3 * shown.wide.gap[-1] > 0


def test_what_rounding_adds_is_derived_from_its_unit():
    f, u = lesson(jnp.float32), 2.0**-24
    run = gd.descend(f, jnp.array(START, jnp.float32), 0.09, steps=300)
    narrow, eta = views.certificate(f, run, 0.09).narrow, 0.09
    A, y, points = (np.asarray(x, np.float64) for x in (*f.data, run.history.point))

    def gamma(k):
        return k * u / (1 - k * u)

    # Higham, "Accuracy and Stability", 3.1: residuals, gradient, step; 3 examples, 2 parameters.
    r, size = points @ A.T - y, abs(points) @ abs(A).T
    off = (1 + u) * gamma(2) * size + u * abs(r)
    g = r @ A * 2 / 3
    slope = 2 / 3 * (gamma(5) * (abs(r) + off) @ abs(A) + off @ abs(A))
    step = eta * slope * (1 + u) ** 2 + (1 + u) * u * eta * abs(g)
    step += u * (abs(points - eta * g) + step)
    far = [0.0]
    for error in np.linalg.norm(step, axis=1)[:-1]:
        far.append((1 - eta * MU) * far[-1] + error)
    rounded = (
        np.sqrt(narrow.bounds["strongly convex"].values) + np.sqrt(L / 2) * np.array(far)
    ) ** 2
    assert narrow.tightest == "strongly convex"
    assert np.allclose(narrow.rounded, rounded, rtol=1e-5, atol=0)


def test_the_title_and_a_mark_say_where_float32_leaves(run, shown):
    with jax.enable_x64(True):
        ax = certificate(lesson(), run)
    k, found = shown.narrow.leaves, record(ax.figure)
    title = ax.get_title(loc="left")
    assert title == f"float64 stays under what is proven, float32 leaves it at $k = {k}$"
    assert found["float32 leaves"].tolist() == [[k, shown.narrow.gap[k]]]
    assert shown.narrow.gap[k] > shown.narrow.bound[k]


@pytest.mark.parametrize(
    ("bug", "law"),
    [
        (lambda s: s._replace(wide=s.wide._replace(gap=np.roll(s.wide.gap, 1))), "under convex"),
        (lambda s: s._replace(worst=s.worst._replace(gap=np.roll(s.worst.gap, 1))), "attained"),
        (lambda s: s._replace(worst=s.worst._replace(gap=s.worst.gap / 2)), "attained"),
        (lambda s: doubled(s, 2.0), "attained"),
        (lambda s: doubled(s, 0.99), "attained"),
        (lambda s: doubled(s, 1e-3), "under strongly convex"),
        (lambda s: s._replace(narrow=s.narrow._replace(rounded=s.narrow.bound)), "under rounding"),
    ],
)
def test_planted_bugs_break_a_law(monkeypatch, shown, bug, law):
    assert broken_laws(drawn(monkeypatch, shown)) == []
    assert law in broken_laws(drawn(monkeypatch, bug(shown)))


def doubled(shown, factor):
    bounds = dict(shown.wide.bounds)
    strong = bounds["strongly convex"]
    bounds["strongly convex"] = strong._replace(values=strong.values * factor)
    return shown._replace(wide=shown.wide._replace(bounds=bounds))


@pytest.mark.parametrize(
    ("factor", "shift", "seen"), [(1, 0, "attain"), (0.999, 0, "breaks"), (1, 1, "breaks")]
)
def test_a_step_that_is_too_short_or_a_row_too_late_is_seen(factor, shift, seen):
    points = descended(worst_start(10.0), 400, factor=factor)
    points = np.concatenate([points[:1]] * shift + [points])[:401]
    with jax.enable_x64(True):
        ax = certificate(lesson(), jnp.array(points), step_size=1 / L)
    assert seen in ax.get_title(loc="left")


numbers = st.integers(-24, 24).map(lambda k: k / 8)


@settings(max_examples=25)
@given(st.tuples(*[numbers] * 7), st.integers(2, 30).map(lambda k: k / 16))
def test_random_quadratics_obey_the_laws(drawn, fraction):
    a, b, c, d, *rest = drawn
    root = np.array([[a, b], [c, d]])
    hessian = root.T @ root
    curvatures = np.linalg.eigvalsh(hessian)
    assume(curvatures[0] > 1e-3 * curvatures[1] > 0)
    minimizer, start = np.array(rest[:2]), np.array([rest[2], 2.0])
    assume(((start - minimizer) ** 2).sum() > 0)
    with jax.enable_x64(True):
        f = gd.quadratic(jnp.array(hessian), jnp.array(minimizer))
        run = gd.descend(f, jnp.array(start), fraction / curvatures[1], steps=30)
        shown = views.certificate(f, run)
    for one in (shown.wide, shown.narrow):
        assert (one.gap <= one.rounded * (1 + 1e-12)).all()
        assert (one.rounded >= one.bound * (1 - 4 * U)).all()
        assert abs(one.rounded[0] / one.bound[0] - 1) <= 4 * U
    offset = np.asarray(run.history.point) - minimizer
    own = np.einsum("ki,ij,kj->k", offset, hessian, offset) / 2
    spread = 64 * U * curvatures[1] * (offset**2).sum(1)
    assert (abs(shown.wide.gap - own) <= spread).all()
    assert shown.worst is not None
    bound = shown.wide.bound[shown.worst.k]
    size = abs(minimizer).max() + np.sqrt(2 * max(bound[0], own[0]) / curvatures[0])
    moved = np.sqrt(curvatures[1] / 2) * 31 * 32 * U * size
    assert (abs(np.sqrt(shown.worst.gap) - np.sqrt(bound)) <= moved + 1e-9 * np.sqrt(bound)).all()


def test_a_short_run_is_bounded_by_convexity_and_attained_by_hubers_function():
    with jax.enable_x64(True):
        run = gd.descend(lesson(), jnp.array(START), 1 / L, steps=10)
        shown = views.certificate(lesson(), run)
    assert shown.wide.tightest == "convex" and shown.worst.what == "Huber's function"
    distance = ((START - MINIMIZER) ** 2).sum()
    assert np.allclose(shown.worst.gap, L * distance / (4 * np.arange(11) + 2), rtol=64 * U, atol=0)


def test_a_run_in_float32_is_repeated_in_float64():
    f = lesson(jnp.float32)
    run = gd.descend(f, jnp.array(START, jnp.float32), 0.09, steps=50)
    shown = views.certificate(f, run)
    assert (shown.wide.dtype, shown.narrow.dtype) == ("float64", "float32")
    # A step of 0.09 in rounded points of 2: inferred to a few of their units.
    assert abs(shown.step_size / 0.09 - 1) < 8 * 2.0**-24
    points = descended(START, 50, shown.step_size)
    # 2.2 and 2.8 are rounded: the minimizer moves by as much as they do, times 5.
    assert np.allclose(np.sqrt(shown.wide.gap), np.sqrt(gap(points)), rtol=0, atol=1e-5)


def test_a_line_of_minimizers_is_bounded_by_its_least_curvature():
    with jax.enable_x64(True):
        f = gd.least_squares(jnp.array([[1.0, 2.0]]), jnp.array([2.2]))  # H has eigenvalues 0, 10
        run = gd.descend(f, jnp.array([2.0, 1.0]), 0.05, steps=20)
        shown = views.certificate(f, run)
    assert shown.wide.tightest == "quadratic" and shown.worst.what == "the worst start"
    assert np.allclose(shown.wide.gap, 1.8**2 * 0.25 ** np.arange(21.0), rtol=1e-6)
    residual = 1.8 * 0.5 ** np.arange(21.0)
    # Residuals are off by some units of 2.2, and gaps are their squares.
    moved = 2 * 64 * U * 2.2 / residual
    assert (abs(shown.wide.gap / shown.wide.bound - 1) <= moved + 1e-12).all()


def test_facts_of_ones_own_give_a_parabola_as_the_worst_case():
    def value(x, _):
        return jnp.sum(jnp.sqrt(1 + x**2) - 1) + 0.05 * jnp.sum(x * x)

    facts = gd.Facts(smoothness=1.1, strong_convexity=0.1, growth=0.3, minimum=0.0)
    f = gd.Objective(value, facts=facts)
    shown = views.certificate(f, gd.descend(f, jnp.array([2.0, -3.0]), 0.8, steps=60))
    assert shown.worst.what == r"$\mu x^2/2$" or shown.wide.tightest == "PL"
    assert (shown.wide.gap <= shown.wide.bound).all()
    f = gd.Objective(value, facts=gd.Facts(smoothness=1.1, minimum=0.0))
    shown = views.certificate(f, gd.descend(f, jnp.array([2.0, -3.0]), 0.8, steps=60))
    assert shown.wide.tightest == "smooth" and shown.worst is None


def bowl(facts):
    return gd.Objective(lambda x, _: jnp.sum(x**2), facts=facts)


@pytest.mark.parametrize(
    ("facts", "missing"),
    [
        (gd.Facts(), "smoothness"),
        (gd.Facts(smoothness=2.0), "minimum"),
        (gd.Facts(minimum=0.0), "smoothness"),
    ],
)
def test_what_is_not_known_is_asked_for(facts, missing):
    run = gd.descend(bowl(facts), jnp.array([1.0, 2.0]), 0.1, steps=3)
    with pytest.raises(ValueError, match=rf"certificate: .* its {missing}, .*gd.Facts\({missing}="):
        certificate(bowl(facts), run)


def test_a_certificate_refuses_what_it_cannot_judge():
    f = lesson(jnp.float32)
    start = jnp.array(START, jnp.float32)
    with pytest.raises(ValueError, match=r"certificate: the step size must be in \(0, 2/L\)"):
        certificate(f, gd.descend(f, start, 0.2, steps=5))
    with pytest.raises(ValueError, match="certificate: the run must be descent with one step"):
        certificate(f, gd.descend(f, start, gd.HeavyBall(0.05, 0.9), steps=9))
    with pytest.raises(ValueError, match="certificate: .* at least two rows"):
        certificate(f, gd.descend(f, start, 0.05, steps=0))
    with pytest.raises(ValueError, match=r"certificate: .* float32\[3\]"):
        certificate(f, np.ones((4, 3), np.float32))
    with pytest.raises(ValueError, match="its gap is 0"):
        certificate(bowl(gd.Facts(smoothness=2.0, minimum=0.0)), np.zeros((3, 2)), step_size=0.1)
    with pytest.raises(TypeError, match="certificate: run must record its points"):
        certificate(f, gd.descend(f, start, 0.05, steps=5, record=lambda s: s.value))
    with pytest.raises(TypeError, match="certificate: the objective must be"):
        certificate(3.0, np.zeros((3, 2)))
    for bad, error in (("abc", TypeError), (-0.1, ValueError), (0.0, ValueError)):
        with pytest.raises(error, match="certificate: .*step_size"):
            certificate(f, np.ones((3, 2), np.float32), step_size=bad)
    with pytest.raises(TypeError, match="draws one axes"):
        certificate(f, np.zeros((3, 2)), fig=None)


# -- convergence -----------------------------------------------------------------------------------


def simple(steps=10, step_size=0.1):
    return gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), step_size, steps=steps)


def test_row_k_stands_at_k():
    run = simple()
    found = record(convergence(None, run).figure)
    assert np.array_equal(found["marks of measured"], found["measured"])
    assert np.array_equal(found["measured"][:, 0], np.arange(11))
    assert np.array_equal(found["measured"][:, 1], np.asarray(run.history.value))


def test_a_gap_is_drawn_where_the_minimum_is_known():
    run = simple()
    for f, minimum, label, lowered in (
        (None, None, "value", 0),
        (None, -1.5, "gap", -1.5),
        (bowl(gd.Facts(minimum=0.25)), None, "gap", 0.25),
        (bowl(gd.Facts()), None, "value", 0),
    ):
        ax = convergence(f, run, minimum=minimum)
        assert ax.get_ylabel().startswith(label)
        expected = np.asarray(run.history.value, np.float64) - lowered
        heights = record(ax.figure)["measured"][:, 1]
        assert np.allclose(heights, np.where(expected > 0, expected, np.nan), rtol=3e-7,
                           equal_nan=True)  # fmt: skip


def test_the_best_value_seen_is_never_the_minimum():
    values = np.array([3.0, 2.0, 1.0])
    assert np.array_equal(record(convergence(None, values).figure)["measured"][:, 1], values)


def test_bounds_appear_for_one_step_size_and_only_for_it():
    f, start = lesson(jnp.float32), jnp.array(START, jnp.float32)
    proven = {f"proven, {name}" for name in REAL}
    one = record(convergence(f, gd.descend(f, start, 0.09, steps=20)).figure)
    assert proven <= set(one)
    other = record(convergence(f, gd.descend(f, start, 0.07, steps=20), step_size=0.09).figure)
    for name in proven:
        # The same start; the step size is rounded to float32 in one, and up to 40 times magnified.
        assert np.allclose(one[name], other[name], rtol=40 * 2.0**-24)
    for rule in (gd.HeavyBall(0.05, 0.9), np.linspace(0.02, 0.09, 20), 0.19):
        run = gd.descend(f, start, rule, steps=20)
        assert not proven & set(record(convergence(f, run).figure))


def test_bounds_of_ones_own_are_drawn_as_they_are():
    promised = 5 * 0.64 ** np.arange(11)
    ax = convergence(None, simple(), minimum=0.0, bounds={"promised": promised})
    found = record(ax.figure)
    assert np.array_equal(found["proven, promised"][:, 1], promised)
    assert (found["measured"][:, 1] <= promised * (1 + 1e-6)).all()
    assert {"promised", "measured"} <= {text.get_text() for text in ax.texts}


def test_several_runs_have_names_roles_and_marks_of_their_own():
    runs = {"short": simple(), "long": simple(step_size=0.3), "mine": np.array([5.0, 2.0, 1.0])}
    ax = convergence(None, runs)
    lines = [line for line in ax.lines if str(line.get_gid()).startswith("gd:marks")]
    assert len({line.get_color() for line in lines}) == len({li.get_marker() for li in lines}) == 3
    assert set(runs) <= {text.get_text() for text in ax.texts}
    assert ax.get_title(loc="left").startswith("long ends lowest")
    with pytest.raises(ValueError, match="one to three, got 4"):
        convergence(None, dict.fromkeys("abcd", simple()))
    with pytest.raises(ValueError, match="one to three, got 0"):
        convergence(None, {})


@settings(max_examples=12)
@given(st.lists(st.integers(-3, 3), min_size=2, max_size=12))
def test_no_gap_disappears(whole):
    values = np.array(whole, float)
    ax = convergence(None, values, minimum=0.0)
    found = record(ax.figure)
    seen = found["measured"][np.isfinite(found["measured"][:, 1])]
    lost = found.get("not positive", np.zeros((0, 2)))
    assert sorted([*seen[:, 0], *lost[:, 0]]) == list(range(len(values)))
    assert (values[lost[:, 0].astype(int)] <= 0).all()
    said = " ".join(text.get_text() for text in ax.texts)
    assert (f"{len(lost)} of {len(values)} not positive" in said) == (len(lost) > 0)


def test_values_of_both_signs_have_a_linear_axis_and_none_is_lost():
    values = np.array([2.0, -1.0, -1.5])
    ax = convergence(None, values)
    assert ax.get_yscale() == "linear"
    assert np.array_equal(record(ax.figure)["measured"][:, 1], values)
    assert convergence(None, np.array([2.0, 1.0, 0.0])).get_yscale() == "log"


def test_the_scale_of_values_is_yours_to_say():
    run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.1, steps=10)
    ax = convergence(None, run, yscale="linear")
    low, high = ax.get_ylim()
    assert ax.get_yscale() == "linear" and low < run.history.value.min() and high > 5
    assert np.array_equal(record(ax.figure)["measured"][:, 1], run.history.value)
    assert "in 10 steps of 0.1" in ax.get_title(loc="left")
    with pytest.raises(ValueError, match="^convergence: yscale must be 'linear', 'log' or None"):
        convergence(None, run, yscale="logit")


def test_what_is_not_finite_is_counted_and_a_divergence_is_said():
    ax = convergence(None, np.array([1.0, np.nan, 0.5, np.inf]))
    assert "2 of 4 not finite" in ax.texts[-1].get_text()
    run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 4.0, steps=200)
    ax, count = convergence(None, run), int(run.final.count)
    assert ax.texts[-1].get_text() == f"diverged after iteration {count}"
    found = record(ax.figure)
    assert len(found["measured"]) == count + 1 and found["diverged"][0, 0] == count


def test_a_divergence_to_the_end_of_float64_is_drawn():
    with jax.enable_x64(True):
        run = gd.descend(lesson(), jnp.array(START), 2.6 / L, steps=900)
        ax = convergence(lesson(), run)
    assert np.isfinite(ax.get_ylim()).all() and record(ax.figure)["diverged"][0, 1] > 1e290


def test_values_and_gaps_never_share_an_axis():
    f = bowl(gd.Facts(minimizer=jnp.zeros(2)))  # of values alone nobody knows the gap
    run = simple()
    assert convergence(f, run).get_ylabel().startswith("gap")
    ax = convergence(f, {"run": run, "values": np.array([3.0, 2.0])})
    assert ax.get_ylabel().startswith("value")
    assert record(ax.figure)["measured, run"][0, 1] == 5.0


def test_gaps_far_below_all_that_is_proven_are_marks_at_the_foot():
    f = gd.quadratic(jnp.diag(jnp.array([1.0, 100.0])), jnp.zeros(2))
    run = gd.descend(f, jnp.array([0.0, 1.0]), 0.009, steps=40)
    ax, shown = convergence(f, run), views.certificate(f, run)
    below = (shown.narrow.gap < ax.get_ylim()[0]).sum()
    assert len(record(ax.figure)["not positive"]) == below > 20
    assert ax.texts[-1].get_text().startswith(f"{below} of 41 not positive or too small: marks")
    ax = certificate(f, run)
    low, found = ax.get_ylim()[0], record(ax.figure)
    counts = [(one.gap < low).sum() for one in (shown.wide, shown.narrow)]
    assert [len(found["not positive"]), len(found["not positive 2"])] == counts
    told = f"{counts[0]} gaps of float64, {counts[1]} gaps of float32 are smaller"
    assert any(text.get_text().startswith(told) for text in ax.texts)


def test_one_parameter_may_be_a_number():
    f = gd.Objective(lambda x, _: x**2, facts=gd.Facts(2.0, 2.0, 2.0, 0.0, 0.0))
    shown = views.certificate(f, gd.descend(f, jnp.array(2.0), 0.1, steps=5))
    assert np.allclose(shown.wide.gap, 4 * 0.64 ** np.arange(6), rtol=1e-6)
    assert np.allclose(shown.worst.gap, shown.wide.bound, rtol=1e-12)


def test_convergence_refuses_what_it_cannot_draw():
    with pytest.raises(TypeError, match="convergence: run must be what gd.descend returned"):
        convergence(None, "abc")
    with pytest.raises(ValueError, match=r"convergence: run must be .* float64\[2,2\]"):
        convergence(None, np.ones((2, 2)))
    with pytest.raises(ValueError, match="convergence: run must be"):
        convergence(None, np.array([]))
    with pytest.raises(ValueError, match="the bound 'mine' must have shape"):
        convergence(None, simple(), bounds={"mine": np.ones(3)})
    with pytest.raises(TypeError, match="bounds must be a mapping"):
        convergence(None, simple(), bounds=np.ones(11))
    with pytest.raises(ValueError, match="minimum must be one finite number"):
        convergence(None, simple(), minimum=np.nan)
    with pytest.raises(TypeError, match="draws one axes"):
        convergence(None, simple(), fig=None)


# -- both ------------------------------------------------------------------------------------------


def test_drawing_twice_is_the_same_and_changes_nothing(shown, monkeypatch):
    before = dict(matplotlib.rcParams)
    one, other = drawn(monkeypatch, shown), drawn(monkeypatch, shown)
    assert dict(matplotlib.rcParams) == before and one.keys() == other.keys()
    assert all(np.array_equal(one[key], other[key], equal_nan=True) for key in one)
    ax = Figure().add_axes((0.1, 0.1, 0.6, 0.8))
    assert convergence(None, simple(), ax=ax) is ax
    assert certificate(None, None, ax=ax) is ax


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_text_lies_on_another_or_leaves_the_figure(shown, monkeypatch, theme):
    monkeypatch.setattr(figures.views, "certificate", lambda *_: shown)
    for fig in (
        certificate(None, None, theme=theme).figure,
        convergence(
            None, simple(), minimum=0.0, bounds={"b": np.full(11, 5.0)}, theme=theme
        ).figure,
        convergence(None, {"one": simple(), "two": simple(40)}, theme=theme).figure,
    ):
        canvas = FigureCanvasAgg(fig)
        canvas.draw()
        texts = [t for ax in fig.axes for t in (*ax.get_children(), *ax.xaxis.get_children())]
        texts += [ax.yaxis.label for ax in fig.axes]
        texts = [t for t in texts if isinstance(t, Text) and t.get_text() and t.get_visible()]
        shapes = [t.get_window_extent() for t in texts]
        for shape in shapes:
            assert (shape.min >= fig.bbox.min - 1).all() and (shape.max <= fig.bbox.max + 1).all()
        for one, other in combinations(shapes, 2):
            overlap = np.minimum(one.max, other.max) - np.maximum(one.min, other.min)
            assert (overlap <= 1).any()


@pytest.mark.parametrize("module", [views, figures])
def test_the_examples_are_true(module):
    names = {"gd": gd, "jnp": jnp, "np": np, "jax": jax}
    assert doctest.testmod(module, extraglobs=names).failed == 0


def test_facts_are_asked_for_before_anything_is_evaluated(monkeypatch):
    """A logistic run was read and repeated for ten seconds before it was refused."""
    monkeypatch.setattr(views, "read", None)
    f = gd.logistic(X, np.array([0.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match="certificate: the objective must know its minimum"):
        certificate(f, np.zeros((3, 2)))


@pytest.mark.parametrize("steps", [20, 100])
def test_one_curvature_and_the_step_that_suits_it(steps):
    """A bound of kappa = 1 is 0 from the first step on, or as small as numbers are."""
    x = np.array([-1.0, 1, -1, 1])
    f = gd.least_squares(np.stack([np.ones(4), x], 1), 2 * x + np.array([0.5, 0, 0, 0.5]))
    run = gd.descend(f, jnp.array([3.0, -2.0]), 0.4999, steps=steps)
    for ax in (convergence(f, run), certificate(f, run)):
        assert ax.get_ylim()[0] > 0 and np.isfinite(ax.get_ylim()).all()
