"""Constants are attained, by functions run in exact arithmetic where they can be, and PEPit agrees.

What attains a constant shows that no smaller one is true; PEPit, that it is true.
"""

import csv
import doctest
import inspect
import math
from fractions import Fraction as F
from pathlib import Path

import jax
import numpy as np
import pytest

import gdpure as gd
from gdpure.specs import bounds

# Exponents -2N log(1 - h) stay below 200 here; a power is off by 3 roundings of its exponent, u
# each, and no formula has more than a dozen operations beside: 700 u.
ROUNDING = 700 * 2.0**-53
# Clarabel stops at relative gaps and infeasibilities of 1e-8, and a value is off by that times the
# sum of its multipliers, 2 to 40 in these problems: see `multipliers` in the table.
SOLVER = 1e-6

PUBLIC = {
    name: function
    for name, function in vars(bounds).items()
    if inspect.isfunction(function) and function.__module__ == bounds.__name__ and name[0] != "_"
}


# -- functions that attain -------------------------------------------------------------------------


def parabola(curvature):
    return lambda x: curvature * x * x / 2, lambda x: curvature * x


def huber(L, bend, q=0):
    """Curvature L up to the bend, q L beyond."""

    def value(x):
        beyond = max(abs(x) - bend, 0)
        inside = abs(x) - beyond
        return L * (inside**2 / 2 + bend * beyond + q * beyond**2 / 2)

    def slope(x):
        inside = min(max(x, -bend), bend)
        return L * (inside + q * (x - inside))

    return value, slope


def ends(f, x, step_sizes):
    """Return value and slope at the start, at the end, and the start."""
    value, slope = f
    start = x
    for eta in step_sizes:
        x = x - eta * slope(x)
    return value(start), slope(start), value(x), slope(x), start, x


def bent(q, h, power):
    """Return A(power), Huber's bend over the distance: theory, written anew in fractions."""
    return 1 / (1 + power * h) if q == 0 else q / (q - 1 + (1 - q * h) ** -power)


def slowest(power, far, ratio):
    """Return the larger ratio of ``L/2 x^2`` and of the Huber function that is said to attain it."""

    def attained(smoothness, strong_convexity, step_size, steps):
        L, q, h = smoothness, strong_convexity / smoothness, step_size * smoothness
        bend, start = far(q, h, steps) if power is None else (bent(q, h, power * steps), F(1))
        etas = [step_size] * steps
        runs = ends(huber(L, bend, q), start, etas), ends(parabola(L), F(1), etas)
        return max(ratio(*run) for run in runs)

    return attained


def ends_at_its_bend(q, h, steps):
    """Return bend and start of the Huber function that descends to its bend in N steps."""
    if q == 0:
        return F(1), steps * h + 1
    c = (1 - q) / q
    return F(1), (1 + c) / (1 - q * h) ** steps - c


value_rate = slowest(2, None, lambda f0, g0, f, g, x0, x: f / x0**2)
gradient_rate = slowest(None, ends_at_its_bend, lambda f0, g0, f, g, x0, x: g**2 / f0)
gradient_rate_from_decrease = slowest(
    None, ends_at_its_bend, lambda f0, g0, f, g, x0, x: g**2 / (f0 - f)
)
gradient_from_distance_conjecture = slowest(1, None, lambda f0, g0, f, g, x0, x: g**2 / x0**2)


def bend(smoothness, strong_convexity, step_size, steps):
    """Descent from 1 to the bend itself leaves ``L/2 A`` in value, whatever was the way."""
    q, h = strong_convexity / smoothness, step_size * smoothness
    A = bent(q, h, 2 * steps)
    *_, value, _, _, _ = ends(huber(smoothness, A, q), F(1), [step_size] * steps)
    return 2 * value / smoothness


def contraction(smoothness, strong_convexity, step_size):
    return max(abs(1 - step_size * curvature) for curvature in (smoothness, strong_convexity))


def quadratic_value_rate(smoothness, strong_convexity, step_size, steps):
    """Return the largest of 2000 curvatures, and of where the derivative in the curvature is 0."""
    flat = 1 / (step_size * (2 * steps + 1))
    some = np.append(np.linspace(float(strong_convexity), float(smoothness), 2000), float(flat))
    some = np.clip(some, float(strong_convexity), float(smoothness))
    return (some / 2 * (1 - float(step_size) * some) ** (2 * steps)).max()


def hypoconvex_gradient_rate(smoothness, strong_convexity, step_size, steps):
    """A slope of 1 at every iterate, and as little below it in between as the curvature allows.

    From one iterate to the next the slope falls with curvature mu and rises with L; below the last
    it falls to 0. Where steps are longer than 1/L: ``L/2 x^2``, as long as it is the slowest.
    """
    L, mu, eta = smoothness, strong_convexity, step_size
    if eta * L > 1:
        f0, *_, g, _, _ = ends(parabola(L), F(1), [eta] * steps)
        return g**2 / f0
    fall = eta * L / (L - mu)

    def slope(x):
        if x < 0:
            return max(1 + L * x, 0)
        r = x % eta
        return 1 + mu * min(r, fall) + L * max(r - fall, 0)

    x = slopes = None
    x, slopes = steps * eta, []
    corners = [-1 / L, F(0), *(k * eta + r for k in range(steps) for r in (fall, eta))]
    pieces = zip(corners, corners[1:], strict=False)
    fallen = sum((slope(a) + slope(b)) / 2 * (b - a) for a, b in pieces)
    for _ in range(steps + 1):
        slopes.append(slope(x))
        x = x - eta * slopes[-1]
    return min(slopes) ** 2 / fallen


def nonconvex_gradient_rate(smoothness, step_size, steps):
    return hypoconvex_gradient_rate(smoothness, -smoothness, step_size, steps)


def two_curvatures(mu, L, x, size, steps):
    """Descent on ``(mu x_1^2 + L x_2^2)/2``, step sizes by a function of f, <g, g> and <g, Hg>."""
    points = [x]
    for _ in range(steps):
        (a, b), (c, d) = x, (mu * x[0], L * x[1])
        eta = size((a * c + b * d) / 2, c * c + d * d, mu * c * c + L * d * d)
        x = (a - eta * c, b - eta * d)
        points.append(x)
    return points


def exact_line_search_rate(smoothness, strong_convexity, steps):
    L, mu = smoothness, strong_convexity
    points = two_curvatures(mu, L, (1 / mu, 1 / L), lambda f, gg, ghg: gg / ghg, steps)
    first, last = (mu * points[k][0] ** 2 + L * points[k][1] ** 2 for k in (0, -1))
    return last / first


def polyak_contraction(smoothness, strong_convexity, step_size):
    """Start where the step comes out as said: ``h = (q + w)/(q^2 + w)``, w = x_2^2 / x_1^2."""
    L, q, h = smoothness, strong_convexity / smoothness, step_size * smoothness
    start = 1.0, math.sqrt(q * (1 - q * h) / (h - 1))
    x, y = two_curvatures(q * L, L, start, lambda f, gg, ghg: 2 * f / gg, 1)
    return (y[0] ** 2 + y[1] ** 2) / (x[0] ** 2 + x[1] ** 2)


def backtracked(smoothness, step_size, decrease, shrink):
    """Armijo's rule on ``L/2 x^2`` from 1: the step accepted, and how often it was shrunk."""
    value, slope = parabola(smoothness)
    eta, shrunk = step_size, 0
    while value(1 - eta * slope(1)) > value(F(1)) - decrease * eta * slope(1) ** 2:
        eta, shrunk = eta * shrink, shrunk + 1
    return eta, shrunk


def least_armijo_step(**arguments):
    """The step is an infimum: begin just above what is accepted."""
    return backtracked(**{**arguments, "step_size": arguments["step_size"] * (1 + F(1, 2**60))})[0]


def most_backtracks(**arguments):
    return backtracked(**arguments)[1]


def scheduled(smoothness, step_sizes):
    """Return the value at the end from 1, on Huber's function or ``L/2 x^2``."""
    bend = 1 / (1 + 2 * smoothness * sum(step_sizes))
    fs = huber(smoothness, bend), parabola(smoothness)
    return max(ends(f, bend / bend, step_sizes)[2] for f in fs)


any_schedule_lower_bound = short_steps_value_rate = scheduled


def silver(smoothness, steps):
    with jax.enable_x64(True):
        return np.asarray(gd.schedules.silver(steps)) / smoothness


def silver_value_rate(smoothness, steps):
    return scheduled(float(smoothness), silver(float(smoothness), steps))


def silver_gradient_rate(smoothness, steps):
    etas = silver(float(smoothness), steps)
    f0, *_, g, _, _ = ends(huber(float(smoothness), 1.0), 1 + smoothness * etas.sum(), etas)
    return g**2 / f0


def chebyshev_rate(smoothness, strong_convexity, steps):
    with jax.enable_x64(True):
        etas = np.asarray(gd.schedules.chebyshev(steps, float(strong_convexity), float(smoothness)))
    ratios = [abs(ends(parabola(float(c)), 1.0, etas)[-1]) for c in (smoothness, strong_convexity)]
    assert abs(ratios[0] / ratios[1] - 1) < ROUNDING / min(ratios)
    return ratios[0]


def heavy_ball_on_quadratics(smoothness, strong_convexity, steps):
    fast, slow = math.sqrt(smoothness), math.sqrt(strong_convexity)
    eta, beta = 4 / (fast + slow) ** 2, ((fast - slow) / (fast + slow)) ** 2
    last = x = 1.0
    for _ in range(steps):
        last, x = x, x - eta * float(smoothness) * x + beta * (x - last)
    return abs(x)


def accelerated(f, eta, x, momentum):
    """Return Nesterov's points after the gradient's step, and where gradients are taken."""
    xs, ys = [x], [x]
    for beta in momentum:
        xs.append(ys[-1] - eta * f[1](ys[-1]))
        ys.append(xs[-1] + beta * (xs[-1] - xs[-2]))
    return xs, ys


def nesterov_on_quadratics(smoothness, strong_convexity, steps):
    s = math.sqrt(strong_convexity / smoothness)
    curve = parabola(float(strong_convexity))
    return accelerated(curve, 1 / float(smoothness), 1.0, [(1 - s) / (1 + s)] * steps)[1][-1]


def fast_gradient_value_rate_conjecture(smoothness, steps):
    curve = huber(smoothness, F(4, steps**2 + 5 * steps + 6))
    momentum = [F(k, k + 3) for k in range(steps)]
    return curve[0](accelerated(curve, 1 / smoothness, F(1), momentum)[0][-1])


def optimized_gradient_value_rate(smoothness, steps):
    thetas = [1.0]
    for k in range(1, steps + 1):
        thetas.append((1 + math.sqrt(1 + (8 if k == steps else 4) * thetas[-1] ** 2)) / 2)
    values, L = [], float(smoothness)
    for value, slope in (huber(L, thetas[-1] ** -2), parabola(L)):
        x = last = 1.0
        for now, following in zip(thetas, thetas[1:], strict=False):
            moved = x - slope(x) / L
            x, last = (
                moved + ((now - 1) * (moved - last) + now * (moved - x)) / following,
                moved,
            )
        values.append(value(x))
    # Both of them attain it.
    assert abs(values[0] / values[1] - 1) < ROUNDING
    return values[0]


# -- the witnesses ---------------------------------------------------------------------------------


def cases(names, *rows):
    return [dict(zip(names.split(), row, strict=True)) for row in rows]


L_MU_STEP_N = "smoothness strong_convexity step_size steps"
L_MU_N = "smoothness strong_convexity steps"
ARMIJO = "smoothness step_size decrease shrink"
# Short steps, of 1/L, beyond it where Huber's function is slowest, and where L/2 x^2 is.
CONSTANT = cases(
    L_MU_STEP_N,
    *[(F(1), F(0), F(h, 16), N) for h in (4, 16, 23, 31) for N in (1, 2, 5, 20)],
    *[(F(4), F(q, 4), F(h, 64), N) for q in (1, 8) for h in (8, 16, 23, 31) for N in (1, 3, 20)],
)
WITNESSES = {
    contraction: [dict(list(case.items())[:3]) for case in CONSTANT],
    value_rate: CONSTANT,
    bend: [case for case in CONSTANT if case["step_size"] * case["smoothness"] <= 1],
    gradient_rate: CONSTANT,
    gradient_rate_from_decrease: CONSTANT,
    gradient_from_distance_conjecture: CONSTANT,
    quadratic_value_rate: CONSTANT,
    nonconvex_gradient_rate: cases(
        "smoothness step_size steps", (F(1), F(1), 4), (F(3), F(1, 6), 1), (F(2), F(3, 8), 12)
    ),
    hypoconvex_gradient_rate: cases(
        L_MU_STEP_N,
        *[(F(2), F(-m, 8), F(h, 16), N) for m in (1, 9, 16) for h in (3, 8) for N in (1, 7)],
        *[(F(1), F(-1, 8), F(31, 16), 1), (F(1), F(-1, 8), F(31, 16), 2)],
    ),
    exact_line_search_rate: cases(L_MU_N, (F(3), F(1), 1), (F(8), F(1), 6), (F(1), F(1, 9), 20)),
    polyak_contraction: cases(
        L_MU_STEP_N[:36], (3.0, 1.0, 0.5), (1.0, 0.25, 1.6), (2.0, 0.02, 0.75), (1.0, 0.1, 9.0)
    ),
    least_armijo_step: cases(
        ARMIJO, (F(2), F(16), F(1, 4), F(1, 2)), (F(1), F(1), F(1, 4), F(1, 2))
    ),
    most_backtracks: cases(
        ARMIJO,
        (F(2), F(17), F(1, 4), F(1, 2)),
        (F(1), F(9), F(1, 3), F(3, 4)),
        (F(1), F(1), F(1, 4), F(1, 2)),
    ),
    any_schedule_lower_bound: cases(
        "smoothness step_sizes",
        (F(2), [F(1, 2), F(2), F(1, 8)]),
        (F(1), [F(3, 2)]),
        (F(1), [F(1, 4)]),
    ),
    short_steps_value_rate: cases(
        "smoothness step_sizes",
        (F(2), [F(1, 2), F(1, 8), F(1, 4)]),
        (F(1), [F(k, 9) for k in range(9)]),
    ),
    silver_value_rate: cases("smoothness steps", *[(F(2), 2**k - 1) for k in range(7)]),
    silver_gradient_rate: cases("smoothness steps", *[(F(2), 2**k - 1) for k in range(7)]),
    chebyshev_rate: cases(L_MU_N, (F(4), F(1), 1), (F(1), F(1, 10), 5), (F(1), F(1, 100), 16)),
    heavy_ball_on_quadratics: cases(
        L_MU_N, (F(4), F(1), 1), (F(1), F(1, 10), 5), (F(1), F(1, 100), 16)
    ),
    nesterov_on_quadratics: cases(
        L_MU_N, (F(4), F(1), 1), (F(1), F(1, 10), 5), (F(1), F(1, 100), 16)
    ),
    optimized_gradient_value_rate: cases("smoothness steps", (F(1), 1), (F(3), 4), (F(1), 20)),
    fast_gradient_value_rate_conjecture: cases(
        "smoothness steps", (F(1), 1), (F(3), 4), (F(1), 40)
    ),
}


def numbers(arguments):
    """Return arguments as the library takes them: floats, arrays of floats, and whole steps."""
    return {
        name: x if name == "steps" else np.array(x, float) if name == "step_sizes" else float(x)
        for name, x in arguments.items()
    }


def check_attained(witness, bound=None):
    bound = bound or PUBLIC[witness.__name__]
    for arguments in WITNESSES[witness]:
        attained = witness(**arguments)
        assert abs(bound(**numbers(arguments)) / attained - 1) <= ROUNDING, arguments


@pytest.mark.parametrize("witness", WITNESSES, ids=lambda witness: witness.__name__)
def test_every_constant_is_attained(witness):
    check_attained(witness)


def of_z(formula):
    def wrong(smoothness, strong_convexity, steps):
        s = math.sqrt(strong_convexity / smoothness)
        return formula((1 - s) / (1 + s), s, steps)

    return wrong


def of_h_and_q(formula):
    def wrong(smoothness, strong_convexity, step_size, steps):
        return (
            smoothness / 2 * formula(step_size * smoothness, strong_convexity / smoothness, steps)
        )

    return wrong


# Formulas that are seen in print, or are easily written down instead of the true one.
WRONG = [
    (value_rate, of_h_and_q(lambda h, q, N: 1 / (2 * N * h + 1))),
    (value_rate, of_h_and_q(lambda h, q, N: max(1 / (2 * N * h + 2), (1 - h) ** (2 * N)))),
    (
        value_rate,
        of_h_and_q(lambda h, q, N: max(1 / ((q - 1) / (q or 1) + (1 - q * h) ** (-2 * N)), 0)),
    ),
    (
        bend,
        lambda smoothness, strong_convexity, step_size, steps: bounds.bend(
            smoothness, strong_convexity, step_size, steps / 2
        ),
    ),
    (gradient_rate, bounds.value_rate),
    (gradient_rate, bounds.gradient_rate_from_decrease),
    (gradient_rate_from_decrease, bounds.gradient_rate),
    (gradient_from_distance_conjecture, bounds.gradient_rate),
    (quadratic_value_rate, bounds.value_rate),
    (
        hypoconvex_gradient_rate,
        lambda smoothness, strong_convexity, step_size, steps: bounds.nonconvex_gradient_rate(
            smoothness, step_size, steps
        ),
    ),
    (
        nonconvex_gradient_rate,
        lambda smoothness, step_size, steps: bounds.gradient_rate(
            smoothness, 0.0, step_size, steps
        ),
    ),
    (exact_line_search_rate, of_z(lambda z, s, N: ((1 - s * s) / (1 + s * s)) ** N)),
    (silver_value_rate, bounds.silver_value_upper_bound),
    (silver_gradient_rate, bounds.silver_value_rate),
    (
        short_steps_value_rate,
        lambda smoothness, step_sizes: smoothness / (2 + 2 * smoothness * step_sizes.sum()),
    ),
    (chebyshev_rate, of_z(lambda z, s, N: z**N)),
    (heavy_ball_on_quadratics, of_z(lambda z, s, N: z**N)),
    (heavy_ball_on_quadratics, of_z(lambda z, s, N: z**N * (1 + N * (1 - z)))),
    (nesterov_on_quadratics, of_z(lambda z, s, N: (1 - s) ** N * (1 + N * s))),
    (
        fast_gradient_value_rate_conjecture,
        lambda smoothness, steps: 2 * smoothness / (steps**2 + 5 * steps + 2),
    ),
    (
        fast_gradient_value_rate_conjecture,
        lambda smoothness, steps: 2 * smoothness / (steps**2 + 7 * steps + 4),
    ),
    (fast_gradient_value_rate_conjecture, bounds.optimized_gradient_value_rate),
    (optimized_gradient_value_rate, bounds.fast_gradient_value_rate_conjecture),
]


@pytest.mark.parametrize(("witness", "formula"), WRONG)
def test_a_wrong_formula_is_not_attained(witness, formula):
    with pytest.raises(AssertionError):
        check_attained(witness, formula)


# -- PEPit -----------------------------------------------------------------------------------------

TABLE = Path(__file__).parent / "references" / "pepit.csv"


def solved():
    """Yield bound, arguments, and PEPit's value to a power, with the sum of its multipliers."""
    lines = [line for line in TABLE.read_text().splitlines() if line[0] != "#"]
    for row in csv.DictReader(lines):
        name, value, power, multipliers = (
            row.pop(k) for k in ("bound", "value", "power", "multipliers")
        )
        arguments = {
            key: x.split() if key == "step_sizes" else float(x) for key, x in row.items() if x
        }
        if "steps" in arguments:
            arguments["steps"] = int(arguments["steps"])
        yield name, numbers(arguments), float(value), int(power), float(multipliers)


SOLVED = list(solved())


def check_solved(name, arguments, value, power, multipliers, bound=None):
    """Clarabel satisfies every constraint to 1e-8: PEPit's value is off by their multipliers."""
    difference = (bound or PUBLIC[name])(**arguments) ** power - value
    off = 1e-8 * (1 + multipliers)
    assert name.endswith("_lower_bound") or difference >= -off
    assert name.endswith("_upper_bound") or difference <= off


@pytest.mark.parametrize("row", SOLVED, ids=lambda row: row[0])
def test_pepit_agrees(row):
    check_solved(*row)
