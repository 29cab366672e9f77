"""Comparisons: what is drawn of scalings and rules, against NumPy and the laws of the figures."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import gdpure as gd
from gdpure.plots.figures import comparisons as figures
from gdpure.plots.figures.comparisons import conditioning, step_rules
from gdpure.plots.reading import record
from gdpure.plots.views import comparisons as views
from gdpure.specs import rounding

EPS = np.finfo(np.float64).eps
X, Y = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.2, 2.8])
NAMES = ["raw", "centered", "standardized"]


def stranger(t):
    return jnp.sin(3 * t[0]) + t[1] ** 4 - t[0] * t[1]


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def line_fit(x=X, y=Y):
    return gd.least_squares(gd.with_intercept(jnp.asarray(x)), jnp.asarray(y))


def features(x):
    """Return the three matrices of features, by NumPy."""
    centered = x - x.mean()
    scaled = {"raw": x, "centered": centered, "standardized": centered / x.std()}
    return {k: np.column_stack([np.ones(len(x)), v]) for k, v in scaled.items()}


# -- conditioning ----------------------------------------------------------------------------------


def law_of_conditioning(fig, x, y):
    """Level sets are as round as sqrt(kappa) says, and gaps fall at the rate of theory."""
    drawn = record(fig)
    kappas = {}
    for name, A in features(x).items():
        hessian = 2 * A.T @ A / len(y)
        least = np.linalg.lstsq(A, y)[0]
        (mu, L), axes = np.linalg.eigh(hessian)
        kappas[name] = kappa = L / mu
        window = drawn[f"{name}/limits"]
        size = np.abs(least).max() + np.ptp(window[0])

        # The cross: axes of one level set, so that their lengths are as 1/sqrt(lambda).
        flat, steep = (drawn[f"{name}/{which} axis"] for which in ("flat", "steep"))
        lengths = np.linalg.norm(np.diff([flat, steep], axis=1)[:, 0], axis=1)
        assert abs(lengths[0] / lengths[1] - np.sqrt(kappa)) <= 1e-12 * kappa * np.sqrt(kappa)
        heights = [((e - least) @ hessian @ (e - least)) / 2 for e in (*flat, *steep)]
        height = heights[0]
        assert np.allclose(heights, height, rtol=1e-9 * kappa)
        assert abs(flat.mean(0) - least).max() <= 16 * EPS * size * kappa

        # The level set of that height: the interpolated vertices are off by h^2/8 max |D^2 f|.
        levels = drawn[f"{name}/levels"]
        found = levels[np.isclose(levels[:, 0], height, rtol=1e-6)][:, 1:] - least
        cell = np.ptp(window, axis=1).max() / 80
        off = cell**2 / 8 * L / height
        values = ((found @ hessian) * found).sum(1) / 2 / height
        assert len(found) > 50 and abs(values - 1).max() <= off + 1e-9
        if off < 0.5:
            along = found @ axes
            reach = np.sqrt(2 * height / np.array([mu, L]))
            turns = np.sort(np.arctan2(along[:, 1] / reach[1], along[:, 0] / reach[0]))
            # The extreme point lies between two vertices.
            gap = np.diff([*turns, turns[0] + 2 * np.pi]).max()
            measured, exact = np.abs(along).max(0) / reach, np.sqrt(kappa)
            low, high = np.cos(gap / 2) * np.sqrt(1 - off), np.sqrt(1 + off)
            assert ((low <= measured) & (measured <= high)).all()
            ratio = np.abs(along[:, 0]).max() / np.abs(along[:, 1]).max()
            assert exact * low / high <= ratio <= exact * high / low

        # Step 2/(L + mu): the gap is the rate, to rounding; where it is not drawn, below the floor.
        points, step = drawn[f"{name}/path"], 2 / (L + mu)
        errors = [rounding.least_squares(A, y, p, np.float64) for p in points]
        moved = [rounding.step(e, p, step, np.float64) for e, p in zip(errors, points, strict=True)]
        rho = (kappa - 1) / (kappa + 1)
        sizes = np.linalg.norm(np.array(moved[:-1], float), axis=1)
        # The step size is rounded, and L and mu, to as many digits as kappa leaves.
        slopes = np.array([np.linalg.norm(e.gradient.astype(float)) for e in errors])
        drift = rounding.drift(rho, sizes + 16 * EPS * kappa * step * slopes[:-1]).astype(float)
        value_error = np.array([float(e.value_error) for e in errors])
        allowed = value_error + value_error[0] + slopes * drift + L / 2 * drift**2
        best = np.mean((A @ least - y) ** 2)
        allowed += 64 * EPS * (best + kappa * value_error[0])
        measured, rate = (drawn[f"gap/{kind} {name}"][:, 1] for kind in ("measured", "rate"))
        exact = rate[0] * rho ** (2 * np.arange(len(rate)))
        assert (abs(rate - exact) <= 1e-12 * kappa * np.arange(len(rate)) * exact + 1e-30).all()
        here = ~np.isnan(measured)
        assert here[0] and (abs(measured - exact) <= allowed)[here].all()
        assert (exact <= drawn["gap/limits"][1, 0] + allowed)[~here].all()
        assert (measured <= rate + allowed)[here].all()
        value = np.mean((points @ A.T - y) ** 2, 1)
        assert (abs(value - best - measured) <= value_error + 64 * EPS * best)[here].all()
    return kappas


def test_the_lesson_in_three_scalings():
    fig = conditioning(line_fit())
    kappas = law_of_conditioning(fig, X, Y)
    assert [round(kappas[name], 1) for name in NAMES] == [46.1, 1.5, 1.0]
    titles = [ax.get_title(loc="right") for ax in fig.axes[:3]]
    assert titles == [r"$\kappa = 46.1$", r"$\kappa = 1.5$", r"$\kappa = 1$"]


def test_the_standardized_run_arrives_with_one_step():
    fig = conditioning(line_fit())
    drawn = record(fig)
    deviation = X.std()
    least = np.array([Y.mean(), ((X - 2) * Y).mean() / deviation])
    assert abs(drawn["standardized/path"][1:] - least).max() <= 8 * EPS
    assert np.isnan(drawn["gap/measured standardized"][1:, 1]).all()
    foot = drawn["gap/not positive 2"]  # of the centered run is the first
    assert foot[:, 0].tolist() == list(range(1, 26))
    assert fig.axes[-1].get_title(loc="right").startswith("at the foot: ")
    lost = sum(np.isnan(drawn[f"gap/measured {name}"][:, 1]).sum() for name in NAMES)
    assert f" {lost} below" in fig.axes[-1].get_title(loc="right")


@settings(max_examples=6)
@given(
    st.lists(st.integers(-8, 8), min_size=4, max_size=4),
    st.lists(st.integers(-20, 20), min_size=4, max_size=4),
)
def test_scalings_whatever_the_data(x, y):
    x, y = np.array(x) / 2, np.array(y) / 4
    assume(np.ptp(x) > 0)
    law_of_conditioning(conditioning(line_fit(x, y), steps=6), x, y)


def falsify(monkeypatch, name, change):
    true = getattr(figures, name)
    monkeypatch.setattr(figures, name, lambda *args: change(true(*args)))


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v._replace(gap=np.roll(v.gap, -1)),
        lambda v: v._replace(rate=v.rate[0] * np.sqrt(v.rate / v.rate[0])),
        lambda v: v._replace(gap=v.gap / 2),
        lambda v: v._replace(axes=v.axes[::-1]),
        lambda v: v._replace(axes=v.axes[:, ::-1]),
        lambda v: v._replace(reach=v.reach**2),
        lambda v: v._replace(minimizer=v.minimizer + 0.05),
        lambda v: v._replace(field=v.field._replace(z=v.field.z.T)),
        lambda v: v._replace(field=v.field._replace(z=1.05 * v.field.z)),
        lambda v: v._replace(points=np.roll(v.points, 1, 0)),
    ],
    ids=["early", "k for 2k", "half", "axes", "turned", "1/lambda", "minimizer", "transposed",
         "level", "path late"],
)  # fmt: skip
def test_the_law_of_conditioning_sees(monkeypatch, change):
    falsify(monkeypatch, "conditioned", change)
    with pytest.raises((AssertionError, IndexError)):
        law_of_conditioning(conditioning(line_fit(), steps=8), X, Y)


def test_the_law_of_conditioning_sees_another_step(monkeypatch):
    monkeypatch.setattr(views.bounds, "optimal_step_size_for_distance", lambda L, mu: 1 / L)
    with pytest.raises(AssertionError):
        law_of_conditioning(conditioning(line_fit(), steps=8), X, Y)


def test_maps_share_their_levels_and_start_at_the_same_gap():
    drawn = record(conditioning(line_fit(), steps=3))
    levels = [set(np.unique(drawn[f"{name}/levels"][:, 0])) for name in NAMES]
    assert levels[2] <= levels[1] <= levels[0]
    first = [drawn[f"gap/measured {name}"][0, 1] for name in NAMES]
    assert np.allclose(first, first[0], rtol=1e-9)
    assert abs(first[0] - (np.mean(Y**2) - 0.02)) <= 1e-12  # that of the fit that says nothing


def test_two_and_four_problems_of_any_kind():
    hessian = jnp.array([[2.0, 1.0], [1.0, 3.0]])
    tilted = gd.quadratic(hessian, jnp.array([1.0, -1.0]))
    known = gd.Facts(smoothness=3.0, strong_convexity=1.0, minimizer=jnp.zeros(2), minimum=0.0)
    bent = gd.Objective(
        lambda t, _: jnp.sum(t**2) + jnp.sum(jnp.sqrt(1 + t**2) - 1) / 2, facts=known
    )
    drawn = record(conditioning({"tilted": tilted, "bent": bent}, steps=4))
    assert (drawn["gap/measured bent"] <= drawn["gap/rate bent"] + 1e-12).all()
    four = {name: tilted for name in "abcd"}
    assert len(conditioning(four, steps=2).axes) == 5


@pytest.mark.parametrize(
    ("problems", "error", "says"),
    [
        (stranger, TypeError, "mean squared error of a line"),
        ({"a": stranger, "b": line_fit}, ValueError, "must know its smoothness"),
        ({"a": gd.landscapes.rosenbrock, "b": gd.landscapes.bowl}, ValueError, "smoothness"),
        ({"a": gd.landscapes.bowl}, ValueError, "two to four, got 1"),
        ({str(i): gd.landscapes.bowl for i in range(5)}, ValueError, "two to four, got 5"),
        ({1: gd.landscapes.bowl, 2: gd.landscapes.bowl}, TypeError, "must have names"),
        ({"a": 3.0, "b": 4.0}, TypeError, "objective 'a' must be callable"),
    ],
)
def test_what_cannot_be_compared_is_refused(problems, error, says):
    with pytest.raises(error, match=says):
        conditioning(problems)


def test_what_has_no_condition_number_is_refused():
    flat, bowl = line_fit(X[:1], Y[:1]), gd.landscapes.bowl
    with pytest.raises(ValueError, match="strong_convexity must be positive"):
        conditioning({"a": flat, "b": bowl})
    with pytest.raises(ValueError, match="two different numbers"):
        conditioning(flat)
    with pytest.raises(ValueError, match="two parameters"):
        conditioning({"a": gd.quadratic(jnp.eye(3), jnp.zeros(3)), "b": bowl})
    with pytest.raises(ValueError, match="steps must be a whole number, at least 1"):
        conditioning(line_fit(), steps=0)
    with pytest.raises(TypeError, match="not ax="):
        conditioning(line_fit(), ax=None)


# -- rules -----------------------------------------------------------------------------------------

START = np.array([-0.6, 2.3])
A = np.column_stack([np.ones(3), X])
HESSIAN = 2 * A.T @ A / 3
MU, L = np.linalg.eigvalsh(HESSIAN)
LEAST = np.linalg.lstsq(A, Y)[0]
EXACT, ARMIJO, BORWEIN = (
    "exact line search",
    "backtracking from $3/L$",
    "Barzilai\N{EN DASH}Borwein",
)


def maps(fig):
    """Return the maps of a figure of rules, one per rule, and below them their steps, by name."""
    by_name = {ax.get_label(): ax for ax in fig.axes}
    found = {name: ax for name, ax in by_name.items() if not name.endswith(" steps")}
    assert by_name.keys() == {*found, *(f"{name} steps" for name in found)}
    return found, {name: by_name[f"{name} steps"] for name in found}


def cost(points):
    return np.mean((points @ A.T - Y) ** 2, -1)


def slope(points):
    return (points @ A.T - Y) @ A * 2 / 3


def readable(points):
    """Return which steps are longer than what rounding of their ends hides, and by how much."""
    moves = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return EPS * np.abs(points).max() / np.maximum(moves, 1e-300)


def law_of_strips(drawn, names, unit=L):
    """What the strip says is the step from point to point of the map above it."""
    for name in names:
        points, strip = drawn[f"{name}/path"], drawn[f"{name} steps/step sizes"]
        assert strip[:, 0].tolist() == list(range(len(points) - 1))
        moves, slopes = np.diff(points, axis=0), slope(points)[:-1]
        here = ~np.isnan(strip[:, 1])
        expected = points[:-1] - strip[:, 1:] / unit * slopes
        # Steps are read from two rounded rows, and NumPy's gradient is not the recorded one.
        size = np.abs(points).max() * (1 + strip[:, 1] * (A**2).sum() / unit)
        off = np.abs(expected - points[1:]).max(1)
        assert (off <= 64 * EPS * size)[here].all()
        assert (readable(points) > 1e-2)[~here].all()
        assert here.any() and (np.sign((moves * slopes).sum(1)) == -1)[here].all()


def law_of_rules(drawn):
    """Orthogonal steps, sufficient decrease, shrinking distance: each rule by its own law."""
    law_of_strips(drawn, [k.removesuffix("/path") for k in drawn if k.endswith("/path")])
    points = drawn[f"{EXACT}/path"]
    moves, hidden = np.diff(points, axis=0), readable(points)
    units = moves / np.maximum(np.linalg.norm(moves, axis=1), 1e-300)[:, None]
    cosines = np.abs((units[1:] * units[:-1]).sum(1))
    seen = 8 * (hidden[1:] + hidden[:-1]) < 1e-9
    assert seen.sum() >= 4 and (cosines[seen] <= 1e-9).all()

    points, steps = drawn[f"{ARMIJO}/path"], drawn[f"{ARMIJO} steps/step sizes"][:, 1] / L
    rows = [rounding.least_squares(A, Y, p, np.float64) for p in points]
    error = np.array([float(r.value_error) for r in rows])
    gradients = slope(points)
    promised = cost(points)[:-1] - 1e-4 * steps * (gradients[:-1] ** 2).sum(1)
    here = ~np.isnan(steps)
    assert (
        here.sum() >= 4
        and (cost(points)[1:] <= promised + 2 * (error[1:] + error[:-1]))[here].all()
    )
    halvings = np.log2(3 / L / steps[here])
    assert np.allclose(halvings, np.round(halvings), atol=1e-6) and (halvings > -1e-6).all()
    longer = points[:-1] - 2 * steps[:, None] * gradients[:-1]
    refused = cost(longer) > cost(points)[:-1] - 2e-4 * steps * (gradients[:-1] ** 2).sum(1)
    tried = here.copy()
    tried[here] = np.round(halvings) > 0
    assert tried.any() and (refused | (error[:-1] > 1e-3 * cost(points)[:-1]))[tried].all()

    points = drawn["Polyak/path"]
    far = np.linalg.norm(points - LEAST, axis=1)
    assert (np.diff(far) <= 8 * EPS * np.abs(points).max()).all()
    lengths = drawn["Polyak steps/step sizes"][:, 1] / L
    expected = (cost(points) - 0.02)[:-1] / (slope(points)[:-1] ** 2).sum(1)
    assert np.allclose(lengths[:8], expected[:8], rtol=1e-9)

    for name, height in (("constant $1/L$", 1.0), (r"constant $2/(L + \mu)$", 2 * L / (L + MU))):
        assert np.allclose(drawn[f"{name} steps/step sizes"][:, 1], height, rtol=1e-9)


@pytest.fixture(scope="module")
def six():
    with jax.enable_x64(True):
        return step_rules(line_fit(), START)


def test_each_rule_keeps_its_law(six):
    law_of_rules(record(six))


def test_six_rules_share_window_levels_and_strips(six):
    drawn = record(six)
    names = [ax.get_label() for ax in six.axes if not ax.get_label().endswith(" steps")]
    assert len(names) == 6 and len(six.axes) == 12
    for name in names:
        assert np.array_equal(drawn[f"{name}/limits"], drawn[f"{names[0]}/limits"])
        assert np.array_equal(drawn[f"{name}/levels"], drawn[f"{names[0]}/levels"])
        assert np.array_equal(drawn[f"{name} steps/limits"], drawn[f"{names[0]} steps/limits"])
        assert np.array_equal(drawn[f"{name}/start"], START[None])


def test_panels_say_how_far_each_rule_got(six):
    for name, ax in maps(six)[0].items():
        [said] = [t.get_text() for t in ax.texts if t.get_gid() == "gd:outcome"]
        gap = cost(record(six)[f"{name}/path"][-1]) - 0.02
        if gap < 1e-15:
            assert said == "gap 0 to rounding"
        else:
            assert (
                abs(float(said.removeprefix("gap ").replace("\N{MINUS SIGN}", "-")) - gap)
                < 0.06 * gap
            )
    assert six.texts[0].get_text() == f"lowest after 30 steps: {EXACT} and {BORWEIN}"


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v._replace(step_sizes=np.roll(v.step_sizes, 1)),
        lambda v: v._replace(step_sizes=v.step_sizes / L),
        lambda v: v._replace(step_sizes=1.01 * v.step_sizes),
        lambda v: v._replace(points=np.roll(v.points, 1, 0)),
        lambda v: v._replace(points=v.points[:, ::-1]),
        lambda v: v._replace(points=v.points + 1e-7),
        lambda v: v._replace(points=2 * v.points[:1] - v.points),
    ],
    ids=["late", "no L", "long", "path late", "swapped", "moved", "sign"],
)
def test_the_law_of_rules_sees(monkeypatch, change):
    falsify(monkeypatch, "stepped", change)
    with pytest.raises(AssertionError):
        law_of_rules(record(step_rules(line_fit(), START, steps=12)))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        (EXACT, gd.Constant(1.05 / L)),
        (ARMIJO, gd.Backtracking(3 / L, shrink=0.25)),
        (ARMIJO, gd.Backtracking(4 / L)),
        (ARMIJO, gd.Constant(1.5 / L)),
        ("Polyak", gd.Polyak(-1.0, relaxation=2.0)),
        ("Polyak", gd.Polyak(0.0)),
        ("constant $1/L$", 1.01 / L),
    ],
)
def test_the_law_of_rules_sees_a_wrong_rule(name, wrong):
    rules = views.rules_for(line_fit(), jnp.asarray(START)) | {name: wrong}
    with pytest.raises(AssertionError):
        law_of_rules(record(step_rules(line_fit(), START, rules)))


@settings(max_examples=6)
@given(
    st.tuples(st.integers(-8, 8), st.integers(-8, 8)),
    st.lists(st.integers(1, 30), min_size=5, max_size=5),
)
def test_strips_show_schedules_whatever_they_are(start, sixteenths):
    start = np.array(start) / 2 + 0.25
    schedule = np.array(sixteenths) / 16 / L
    rules = {"schedule": jnp.asarray(schedule), "optax": optax.sgd(0.05)}
    drawn = record(step_rules(line_fit(), start, rules, steps=5))
    law_of_strips(drawn, rules)
    # A step is known as well as its length, and the gradient as its two rounded sides.
    points = drawn["schedule/path"]
    hidden = (
        64 * EPS * np.abs(points).max() * (1 + 1 / np.linalg.norm(np.diff(points, axis=0), axis=1))
    )
    measured = drawn["schedule steps/step sizes"][:, 1]
    assert (abs(measured / L / schedule - 1) <= 64 * hidden).all()


def test_a_stranger_s_function_has_rules_too():
    fig = step_rules(stranger, [1.0, 1.0], steps=10)
    above, strips = maps(fig)
    names = list(above)
    assert len(names) == 4 and "backtracking from 1" in names and names[0].startswith("constant")
    assert [ax.get_ylabel() for ax in strips.values()] == [r"$\eta_k$", "", "", ""]
    drawn = record(fig)
    eta = float(names[0].split()[1])
    shown = drawn[f"{names[0]} steps/step sizes"][:, 1]
    assert np.allclose(shown[~np.isnan(shown)], eta, rtol=1e-2)
    assert "lowest found" in "".join(drawn)


def test_what_is_not_seen_is_counted():
    window, rules = [[-1.0, 0.5], [0.0, 2.5]], {"out": 2.1 / L, "far": 1e200}
    fig = step_rules(line_fit(), START, rules, steps=40, window=window)
    said = [t.get_text() for ax in fig.axes for t in ax.texts if t.get_gid() == "gd:outcome"]
    points = record(fig)["out/path"]
    lost = ((points < np.array(window)[:, 0]) | (points > np.array(window)[:, 1])).any(1).sum()
    assert said[0].endswith(f", {lost} outside") and said[1].startswith("diverged after ")
    # At the minimizer no step can be read: a mark at the foot for each of them.
    fig = step_rules(gd.landscapes.bowl, jnp.zeros(2), {"still": 0.1}, steps=7)
    assert len(record(fig)["still steps/not positive"]) == 7


@pytest.mark.parametrize("height", [0.76, 1.8, 11.9])
def test_an_oblong_window_keeps_its_shape(height):
    window = [[-1.5, 1.5], [0.0, height]]
    fig = step_rules(line_fit(), START, {"a": 0.01, "b": 0.02}, steps=3, window=window)
    assert np.array_equal(record(fig)["a/limits"], window)
    assert [ax.get_aspect() for ax in maps(fig)[0].values()] == [1.0, 1.0]
    fig.draw_without_rendering()
    drawn = [np.divide(*ax.bbox.size) for ax in maps(fig)[0].values()]
    assert np.allclose(drawn, 3 / height, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "says"),
    [
        (([1.0, 2.0, 3.0],), {}, ValueError, r"start must have shape \(2,\)"),
        (([1.0, np.nan],), {}, ValueError, "start must be finite"),
        (("here",), {}, TypeError, "start must be an array of real numbers"),
        ((START, [0.1]), {}, TypeError, "must be a mapping"),
        ((START, {}), {}, ValueError, "one to six, got 0"),
        ((START, {str(i): 0.1 for i in range(7)}), {}, ValueError, "one to six, got 7"),
        ((START, {1: 0.1}), {}, TypeError, "must have names"),
        ((START, {"a": "fast"}), {}, TypeError, "rule must be a step size"),
        ((START, {"a": -0.1}), {}, ValueError, ">= 0"),
        ((START, {"a": np.ones(3)}), {}, ValueError, r"shape \(30,\)"),
        ((START,), {"steps": 0}, ValueError, "at least 1"),
        ((START,), {"window": [[1, 0], [0, 1]]}, ValueError, "left < right"),
        ((START,), {"ax": None}, TypeError, "not ax="),
    ],
)
def test_bad_arguments_are_refused(arguments, options, error, says):
    with pytest.raises(error, match=says):
        step_rules(line_fit(), *arguments, **options)


def test_what_is_no_map_is_refused():
    with pytest.raises(ValueError, match="two parameters"):
        step_rules(gd.quadratic(jnp.eye(3), jnp.zeros(3)), [1.0, 1.0])
    with pytest.raises(ValueError, match="finite"):
        step_rules(lambda t: jnp.log(t[0] - 50), [1.0, 1.0])
