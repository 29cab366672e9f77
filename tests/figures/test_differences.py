"""Differences: the drawn errors are compared with decimals and fractions, and their laws."""

import doctest
import functools
import importlib
from decimal import Decimal, localcontext
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import no_text_is_clipped_or_overlaps

import gdpure as gd
from gdpure.plots.figures import differences as figures
from gdpure.plots.figures.differences import gradient_check
from gdpure.plots.reading import record
from gdpure.plots.views.quotients import differences

AT = 0.6875
DTYPES = {"float32": np.float32, "float64": np.float64}
STEPS = 2.0 ** -np.arange(0, 52.5, 0.5)


def wave(t):
    return jnp.log1p(jnp.exp(-t)) + 0.5 * jnp.sin(3 * t)


def exact_wave(t):
    """The value and three derivatives of `wave`, from 60 digits."""
    with localcontext() as context:
        context.prec = 60
        t = Decimal(t)
        e = (-t).exp()
        p = e / (1 + e)  # 1 - sigmoid
        terms, sine, cosine = [Decimal(1)], Decimal(0), Decimal(0)
        for k in range(1, 80):
            terms.append(terms[-1] * 3 * t / k)
        for k, term in enumerate(terms):
            sign = -1 if k % 4 > 1 else 1
            sine, cosine = (sine + sign * term, cosine) if k % 2 else (sine, cosine + sign * term)
        half, up = Decimal(1) / 2, p * (1 - p)
        return (
            (1 + e).ln() + half * sine,
            -p + 3 * half * cosine,
            up - 9 * half * sine,
            up * (2 * p - 1) - 27 * half * cosine,
        )


def text(fig):
    return " ".join(word for t in fig.texts for word in t.get_text().split())


def unit(name):
    return float(np.finfo(DTYPES[name]).eps) / 2


@pytest.fixture(scope="module")
def reference():
    return gradient_check(wave, AT)


def check_theory(drawn):
    """What is dashed and dotted are the formulas that stand beside it."""
    value, _, second, third = map(abs, map(float, exact_wave(AT)))
    for name in DTYPES:
        h = drawn[f"{name}/rounding"][:, 0]
        assert np.array_equal(h, STEPS)
        for role, expected in (
            ("truncation of forward", second / 2 * h),
            ("truncation of central", third / 6 * h**2),
            ("rounding", 2 * unit(name) * value / h),
        ):
            # The formulas are evaluated in float64, the derivatives from a dozen operations.
            assert np.abs(drawn[f"{name}/{role}"][:, 1] / expected - 1).max() <= 2.0**-44


def check_errors(drawn, slack=4):
    """No error is larger than four times what theory says, where the steps are small."""
    for name in DTYPES:
        noise = drawn[f"{name}/rounding"][:, 1]
        for role in ("forward", "central"):
            h, error = drawn[f"{name}/{role}"].T
            bound = slack * (drawn[f"{name}/truncation of {role}"][:, 1] + noise)
            small = (h <= 0.25) & np.isfinite(error)
            assert small.sum() > 30 and (error[small] <= bound[small]).all()


def check_valleys(drawn):
    """The least errors are near the steps where the two parts of theory have the least sum."""
    value, _, second, third = map(abs, map(float, exact_wave(AT)))
    for name in DTYPES:
        noise = unit(name) * value
        best = {"forward": 2 * np.sqrt(noise / second), "central": np.cbrt(6 * noise / third)}
        for role, step in best.items():
            h, error = drawn[f"{name}/{role}"].T
            assert step / 8 <= h[np.nanargmin(error)] <= 8 * step


def check_values(drawn):
    """Where steps are large, the errors are those of exact quotients, up to rounding."""
    value, slope = map(float, exact_wave(AT)[:2])
    for name in DTYPES:
        u, exact = unit(name), exact_wave(AT)[1]
        for k in range(0, 24, 2):
            h = Decimal(STEPS[k])
            above, below, here = (exact_wave(float(Decimal(AT) + s * h))[0] for s in (1, -1, 0))
            for role, quotient in (
                ("forward", (above - here) / h),
                ("central", (above - below) / (2 * h)),
            ):
                found = drawn[f"{name}/{role}"][k]
                # An elementary function is off by 4 units in the last place, there are four.
                off = 64 * u * (2 + abs(value)) / float(h) + 1e-13 * abs(slope)
                assert found[0] == float(h)
                assert abs(found[1] - float(abs(quotient - exact))) <= off


def test_theory_is_drawn_as_it_is_written(reference):
    check_theory(record(reference))


def test_errors_are_explained_by_truncation_and_rounding(reference):
    check_errors(record(reference))


def test_the_best_steps_are_where_theory_says(reference):
    check_valleys(record(reference))


def test_errors_are_those_of_the_quotients(reference):
    check_values(record(reference))


def test_the_automatic_derivative_and_what_it_is_measured_against(reference):
    drawn, exact = record(reference), exact_wave(AT)[1]
    own = float(jax.grad(wave)(jnp.float32(AT)))
    level = np.unique(drawn["float32/automatic"][:, 1])
    assert abs(level - float(abs(Decimal(own) - exact))).max() <= 1e-13
    with jax.enable_x64(True):
        double = float(jax.grad(wave)(jnp.float64(AT)))
    [limit] = np.unique(drawn["float64/automatic"][:, 1])
    assert float(abs(Decimal(double) - exact)) <= limit <= 1e-13
    band = drawn["float64/reference uncertain"]
    assert band[:, 1].max() == limit
    assert "no step makes a difference quotient as good" in text(reference)
    assert "≤" in " ".join(t.get_text() for t in reference.axes[1].texts)


def test_both_panels_share_their_axes(reference):
    drawn = record(reference)
    assert np.array_equal(drawn["float32/limits"], drawn["float64/limits"])
    assert drawn["float32/limits"][0, 0] > drawn["float32/limits"][0, 1]  # smaller to the right


def test_gray_is_where_a_step_changes_nothing(reference):
    drawn = record(reference)
    for name, dtype in DTYPES.items():
        same = dtype(AT) + STEPS.astype(dtype) == dtype(AT)
        error = drawn[f"{name}/forward"][:, 1]
        assert np.isnan(error[same]).all() and np.isfinite(error[~same]).all()
        if same.any():
            assert drawn[f"{name}/no step"][:, 0].max() == STEPS[same].max()
    assert "float32/no step" in drawn


# -- gradients by hand -----------------------------------------------------------------------------


def test_a_wrong_gradient_is_a_high_line():
    def forgotten(t):  # the derivative of what is inside of the sine
        return -1 / (1 + jnp.exp(t)) + 0.5 * jnp.cos(3 * t)

    fig = gradient_check(wave, AT, gradient=forgotten)
    drawn = record(fig)
    for name in DTYPES:
        [level] = np.unique(drawn[f"{name}/by hand"][:, 1])
        assert abs(level - abs(np.cos(3 * AT))) <= 4 * unit(name)
    assert fig.texts[0].get_text() == "the gradient by hand is off by 0.47"


def test_a_right_gradient_is_right_up_to_rounding():
    fig = gradient_check(wave, AT, gradient=lambda t: -1 / (1 + jnp.exp(t)) + 1.5 * jnp.cos(3 * t))
    assert fig.texts[0].get_text() == "the gradient by hand is right, up to rounding"


def test_the_missing_factor_of_a_published_lesson_is_seen():
    def f(p):
        return 14 + 3 * p[0] ** 2 + 14 * p[1] ** 2 - 12 * p[0] - 28 * p[1] + 12 * p[0] * p[1]

    def published(p):
        return jnp.stack([3 * p[0] - 12 + 12 * p[1], 14 * p[1] - 28 + 12 * p[0]])

    direction = np.array([3.0, 4.0])
    fig = gradient_check(f, jnp.array([4.0, 0.5]), gradient=published, direction=direction)
    [level] = np.unique(record(fig)["float64/by hand"][:, 1])
    assert abs(level - (3 * 4.0 * 0.6 + 14 * 0.5 * 0.8)) <= 1e-12
    assert "off by 13" in fig.texts[0].get_text()


def test_a_gradient_of_one_dtype_is_said_to_be():
    f = gd.least_squares(np.array([[1, 1], [1, 2], [1, 3.5]], "f"), np.array([1, 2.25, 2.75], "f"))
    fig = gradient_check(f, jnp.array([0.5, 1.25]), gradient=lambda p: gd.analytic(f)(p)[1])
    drawn = record(fig)
    assert "float32/by hand" in drawn and "float64/by hand" not in drawn
    assert "by hand in float32 alone" in text(fig)


# -- other functions -------------------------------------------------------------------------------


def test_a_quadratic_has_no_truncation_in_the_central_rule():
    f = gd.least_squares(np.array([[1, 1], [1, 2], [1, 3.5]], "f"), np.array([1, 2.25, 2.75], "f"))
    fig = gradient_check(f, jnp.array([0.5, 1.25]))
    drawn = record(fig)
    assert not any("truncation of central" in key for key in drawn)
    assert "the central quotient cuts nothing off" in text(fig)
    for name in DTYPES:
        h, error = drawn[f"{name}/central"].T
        noise = drawn[f"{name}/rounding"][:, 1]
        assert np.nanmax(error / (noise + 1e-13)) <= 16


def test_errors_of_zero_are_marked_and_counted():
    fig = gradient_check(lambda p: 3 * p[0] - p[1], np.array([1.0, 2.0]), direction=[1.0, 0.0])
    drawn, zeros = record(fig), 0
    for name, dtype in DTYPES.items():
        above, below = (dtype(1) + sign * 2 * STEPS.astype(dtype) for sign in (1, -1))
        for role, moved in (("forward", above != 1), ("central", above != below)):
            zeros += (np.isnan(drawn[f"{name}/{role}"][:, 1]) & moved).sum()
    assert zeros == sum(len(v) for k, v in drawn.items() if "not positive" in k) > 0
    assert f"{zeros} errors are 0" in text(fig)


def test_any_parameters_will_do():
    p = {"w": np.arange(6, dtype="f").reshape(2, 3) / 4, "b": jnp.array([0.5, -1.0, 0.25])}
    fig = gradient_check(lambda p: jnp.sum(jnp.tanh(p["w"] @ p["b"]) ** 2), p)
    assert "a direction at random" in text(fig)
    drawn = record(fig)
    assert np.nanmin(drawn["float32/central"][:, 1]) < 1e-4
    assert np.nanmin(drawn["float64/central"][:, 1]) < 1e-9


def cubic(t, k):
    return ((k[0] * t + k[1]) * t + k[2]) * t + k[3]


dyadic = st.integers(-8, 8).map(lambda k: k / 4)


@settings(max_examples=12)
@given(st.tuples(dyadic, dyadic, dyadic, dyadic), dyadic)
def test_cubics_obey_the_exact_bounds(coefficients, at):
    a, b, c, e = map(Fraction, coefficients)
    numbers = jnp.array(coefficients, jnp.float32)
    f = gd.Objective(cubic, numbers)  # of one function: what is compiled once is compiled for all
    t = Fraction(at)
    second, third = 6 * a * t + 2 * b, 6 * a

    for dtype in DTYPES.values():
        found = differences(f, np.float64(at), dtype, steps=STEPS[:60])
        assert abs(found.slope - float((3 * a * t + 2 * b) * t + c)) <= found.uncertain
        assert abs(found.second - float(second)) <= 1e-13
        assert abs(found.third - float(third)) <= 1e-13
        # Away from the point the values are larger, and so is their rounding: Horner's.
        h, far = found.step, 1 + abs(at) + found.step
        sizes = sum(abs(float(x)) * far**k for k, x in enumerate((e, c, b, a)))
        noise = 2 * 8 * np.finfo(dtype).eps * sizes / h
        argument = np.finfo(dtype).eps * sizes * 3  # the quotient, divided in float64
        with np.errstate(invalid="ignore"):
            central = abs(float(third)) / 6 * h**2
            forward = h * abs(float(second)) / 2 + central
            for errors, cut in ((found.forward, forward), (found.central, central)):
                moved = np.isfinite(errors)
                # The points are rounded: the step that is taken is up to twice the one asked for.
                assert (errors <= 4 * cut + noise + argument)[moved].all()


def test_special_points_are_drawn_as_well():
    gradient_check(jnp.abs, 0.0)  # a kink, and 0 derivatives of higher order
    nothing = gradient_check(lambda t: 0 * t, 1.0, gradient=lambda t: 0 * t)  # no error at all
    for ax in nothing.axes:
        named = [text for text in ax.texts if text.get_text() in ("automatic  0", "by hand  0")]
        assert len(named) == 2
        assert all(ax.bbox.contains(*text.get_window_extent().min) for text in named)
    no_text_is_clipped_or_overlaps(nothing)
    gradient_check(lambda t: 0 * t, 1.0)
    gradient_check(jnp.sin, 0.5, steps=[2.0**-60])  # a step that moves nothing
    gradient_check(lambda t: jnp.sum(jnp.exp(t)), np.array([30.0, -5.0]))


@functools.cache
def of_wave(dtype):
    return differences(wave, AT, dtype)


# -- planted bugs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "law"),
    [
        (lambda v: v._replace(second=2 * v.second), check_theory),
        (lambda v: v._replace(third=v.third / 6), check_theory),
        (lambda v: v._replace(unit=2 * v.unit), check_theory),
        (lambda v: v._replace(forward=np.roll(v.forward, 1)), check_values),
        (lambda v: v._replace(central=2 * v.central), check_values),
        (lambda v: v._replace(central=v.forward), check_errors),
        (lambda v: v._replace(step=v.step[::-1]), check_theory),
        (lambda v: v._replace(central=v.central[::-1]), check_valleys),
    ],
    ids=["second", "third", "unit", "one late", "factor", "forward twice", "reversed", "mirrored"],
)
def test_what_is_wrong_is_found(monkeypatch, change, law):
    monkeypatch.setattr(figures, "differences", lambda f, at, dtype, *_: change(of_wave(dtype)))
    with pytest.raises(AssertionError):
        law(record(gradient_check(wave, AT)))


# -- mistakes --------------------------------------------------------------------------------------


def test_mistakes_are_named():
    at = np.array([1.0, 2.0])

    def bowl(p):
        return jnp.sum(p**2)

    with pytest.raises(ValueError, match="gradient_check: f must be a function of JAX: f comp"):
        gradient_check(lambda p: float(np.sum(np.exp(p))), at)
    with pytest.raises(TypeError, match="gradient_check: f must be"):
        gradient_check(3.0, at)
    for direction in ([0.0, 0.0], [1.0], [1.0, np.nan]):
        with pytest.raises(ValueError, match="gradient_check: direction must be 2 finite numbers"):
            gradient_check(bowl, at, direction=direction)
    for steps in ([], [0.1, -0.1], [[0.1]], [np.inf]):
        with pytest.raises(ValueError, match="gradient_check: steps must be positive"):
            gradient_check(bowl, at, steps=steps)
    with pytest.raises(ValueError, match=r"gradient_check: at\[1\] must be finite"):
        gradient_check(bowl, np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match=r"gradient_check: gradient must be float64\[2\] like"):
        gradient_check(bowl, at, gradient=lambda p: p[:1])
    with pytest.raises(ValueError, match="gradient_check: f and its derivative must be finite"):
        gradient_check(jnp.log, -1.0)
    with pytest.raises(TypeError, match="gradient_check: draws a whole figure"):
        gradient_check(bowl, at, ax=None)


@pytest.mark.parametrize("name", ["views.quotients", "figures.differences"])
def test_doctests(name):
    module = importlib.import_module(f"gdpure.plots.{name}")
    names = {"gd": gd, "jnp": jnp, "np": np, "jax": jax}
    assert doctest.testmod(module, extraglobs=names).failed == 0


def test_random_numbers_inside_are_those_that_are_drawn():
    """With ``enable_x64`` the same key gives others, and f is another function."""

    def f(x):
        return jnp.mean((x + jax.random.normal(jax.random.key(0), (3,))) ** 2)

    found = differences(f, np.array([0.3, -0.7, 1.1]), np.float32, steps=STEPS[:20])
    assert found.automatic <= found.explained < 1e-4 * abs(found.slope)
    assert found.central.min() < 1e-3 * abs(found.slope)
