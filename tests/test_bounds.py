"""Constants are attained, by functions run in exact arithmetic where they can be, and PEPit agrees.

What attains a constant shows that no smaller one is true; PEPit, that it is true.
"""

import csv
import inspect
import math
from fractions import Fraction as F
from pathlib import Path

import jax
import numpy as np
import pytest

import gdpure as gd
from gdpure.specs import bounds

# What is attained is computed exactly, or in as many operations as there are steps; a bound takes a
# dozen. Where an exponent -2N log(1 - h) is 200, or a step of Chebyshev's within 1/400 of 1/L, they
# magnify roundings, of which there are a few, by no more than 2000.
ROUNDING = 8000 * 2.0**-53

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
    """Return the larger ratio of ``L/2 x^2`` and of the Huber function that is the slowest."""

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
    curves = parabola(smoothness), parabola(strong_convexity)
    return max(abs(ends(curve, F(1), [step_size])[-1]) for curve in curves)


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
    return backtracked(**arguments)[0]


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
        return [F(h) / smoothness for h in gd.schedules.silver(steps).tolist()]


def silver_value_rate(smoothness, steps):
    return scheduled(smoothness, silver(smoothness, steps))


def silver_gradient_rate(smoothness, steps):
    etas = silver(smoothness, steps)
    f0, *_, g, _, _ = ends(huber(smoothness, 1), 1 + smoothness * sum(etas), etas)
    return g**2 / f0


def chebyshev_rate(smoothness, strong_convexity, steps):
    """Both ends of the spectrum attain it."""
    with jax.enable_x64(True):
        etas = gd.schedules.chebyshev(steps, float(strong_convexity), float(smoothness)).tolist()
    curves = parabola(smoothness), parabola(strong_convexity)
    steep, flat = (abs(ends(curve, F(1), map(F, etas))[-1]) for curve in curves)
    assert abs(steep - flat) <= ROUNDING * steep
    return steep


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
    """Both functions attain it: Huber's with its bend at 1/theta_N^2, and ``L/2 x^2``."""
    L, thetas = float(smoothness), [1.0]
    for k in range(1, steps + 1):
        thetas.append((1 + math.sqrt(1 + (8 if k == steps else 4) * thetas[-1] ** 2)) / 2)
    values = []
    for value, slope in (huber(L, thetas[-1] ** -2), parabola(L)):
        x = moved = 1.0
        for now, following in zip(thetas, thetas[1:], strict=False):
            last, moved = moved, x - slope(x) / L
            x = moved + ((now - 1) * (moved - last) + now * (moved - x)) / following
        values.append(value(x))
    assert abs(values[0] / values[1] - 1) < ROUNDING
    return values[0]


# -- the witnesses ---------------------------------------------------------------------------------


def cases(names, *rows):
    return [dict(zip(names.split(), row, strict=True)) for row in rows]


L_MU_STEP_N = "smoothness strong_convexity step_size steps"
L_MU_N = "smoothness strong_convexity steps"
# Short steps, of 1/L, beyond it where Huber's function is slowest, and where L/2 x^2 is.
CONSTANT = cases(
    L_MU_STEP_N,
    *[(F(1), F(0), F(h, 16), N) for h in (4, 16, 23, 31) for N in (1, 2, 5, 20)],
    *[(F(4), F(q, 4), F(h, 64), N) for q in (1, 8) for h in (8, 16, 23, 31) for N in (1, 3, 20)],
)
QUADRATIC = cases(L_MU_N, (F(4), F(1), 1), (F(1), F(1, 10), 5), (F(1), F(1, 100), 16))
SILVER = cases("smoothness steps", *[(F(2), 2**k - 1) for k in range(7)])
SHORT = cases(
    "smoothness step_sizes",
    *[(F(2), [F(1, 2), F(1, 8), F(1, 4)]), (F(1), [F(k, 9) for k in range(9)]), (F(1), [F(1, 4)])],
)
BACKTRACKING = cases(
    "smoothness step_size decrease shrink",
    *[(F(2), F(17), F(1, 4), F(1, 2)), (F(1), F(9), F(1, 3), F(3, 4))],
    *[(F(2), F(12), F(1, 4), F(1, 2)), (F(1), F(1), F(1, 4), F(1, 2))],
)
CASES = {
    "contraction": [dict(list(case.items())[:3]) for case in CONSTANT],
    "value_rate": CONSTANT,
    "bend": [case for case in CONSTANT if case["step_size"] * case["smoothness"] <= 1],
    "gradient_rate": CONSTANT,
    "gradient_rate_from_decrease": CONSTANT,
    "gradient_from_distance_conjecture": CONSTANT,
    "quadratic_value_rate": CONSTANT,
    "nonconvex_gradient_rate": cases(
        "smoothness step_size steps", (F(1), F(1), 4), (F(3), F(1, 6), 1), (F(2), F(3, 8), 12)
    ),
    "hypoconvex_gradient_rate": cases(
        L_MU_STEP_N,
        *[(F(2), F(-m, 8), F(h, 16), N) for m in (1, 9, 16) for h in (3, 8) for N in (1, 7)],
        *[(F(1), F(-1, 8), F(31, 16), 1), (F(1), F(-1, 8), F(31, 16), 2)],
    ),
    "exact_line_search_rate": cases(L_MU_N, (F(3), F(1), 1), (F(8), F(1), 6), (F(1), F(1, 9), 20)),
    "polyak_contraction": cases(
        "smoothness strong_convexity step_size",
        *[(3.0, 1.0, 0.5), (1.0, 0.25, 1.6), (2.0, 0.02, 0.75), (1.0, 0.1, 9.0)],
    ),
    "least_armijo_step": BACKTRACKING,
    "most_backtracks": BACKTRACKING,
    "any_schedule_lower_bound": [
        *SHORT,
        *cases("smoothness step_sizes", (F(2), [F(1, 4), F(2), F(1, 8)]), (F(1), [F(3, 2)])),
    ],
    "short_steps_value_rate": SHORT,
    "silver_value_rate": SILVER,
    "silver_gradient_rate": SILVER,
    "chebyshev_rate": QUADRATIC,
    "heavy_ball_on_quadratics": QUADRATIC,
    "nesterov_on_quadratics": QUADRATIC,
    "optimized_gradient_value_rate": cases("smoothness steps", (F(1), 1), (F(3), 4), (F(1), 20)),
    "fast_gradient_value_rate_conjecture": cases(
        "smoothness steps", (F(1), 1), (F(3), 4), (F(1), 40)
    ),
}


def numbers(arguments):
    """Return arguments as the library takes them: floats, arrays of floats, and whole steps."""
    return {
        name: x if name == "steps" else np.array(x, float) if name == "step_sizes" else float(x)
        for name, x in arguments.items()
    }


def check_attained(name, bound=None):
    for arguments in CASES[name]:
        attained, stated = (
            globals()[name](**arguments),
            (bound or PUBLIC[name])(**numbers(arguments)),
        )
        assert abs(stated - attained) <= ROUNDING * attained, arguments


@pytest.mark.parametrize("name", CASES)
def test_the_constant_is_attained(name):
    check_attained(name)


def written(formula):
    """Return a formula of L, q, h and N as a function of what the library's functions take."""

    def wrong(smoothness, strong_convexity=0.0, step_size=0.0, steps=1):
        q, h = strong_convexity / smoothness, step_size * smoothness
        return formula(smoothness, q, h, steps)

    return wrong


def z(q):
    return (1 - math.sqrt(q)) / (1 + math.sqrt(q))


def torn(q, h, power):
    return 1 / ((q - 1) / q + (1 - q * h) ** -power) if q else bent(q, h, power)


# Formulas that are seen in print, or are easily written down instead of the true one.
WRONG = {
    "no slow end": ("contraction", written(lambda L, q, h, N: abs(1 - h))),
    "no parabola": ("value_rate", written(lambda L, q, h, N: L / 2 * bent(q, h, 2 * N))),
    "no Huber": ("value_rate", written(lambda L, q, h, N: L / 2 * (1 - h) ** (2 * N))),
    "no curvature": ("value_rate", written(lambda L, q, h, N: bounds.value_rate(L, 0.0, h / L, N))),
    "1/(4Nh)": ("value_rate", written(lambda L, q, h, N: L / (4 * N * h))),
    "a bracket too early": (
        "value_rate",
        written(lambda L, q, h, N: L / 2 * max(torn(q, h, 2 * N), (1 - h) ** (2 * N))),
    ),
    "A(N)": ("bend", written(lambda L, q, h, N: bent(q, h, N))),
    "L F0": ("gradient_rate", written(lambda L, q, h, N: L * bent(q, h, 2 * N))),
    "f_N for f*": ("gradient_rate", bounds.gradient_rate_from_decrease),
    "f* for f_N": ("gradient_rate_from_decrease", bounds.gradient_rate),
    "2N for N": (
        "gradient_from_distance_conjecture",
        written(lambda L, q, h, N: L**2 * bent(q, h, 2 * N) ** 2),
    ),
    "of all convex functions": ("quadratic_value_rate", bounds.value_rate),
    "of all nonconvex functions": (
        "hypoconvex_gradient_rate",
        written(lambda L, q, h, N: bounds.nonconvex_gradient_rate(L, h / L, N)),
    ),
    "convex after all": (
        "nonconvex_gradient_rate",
        written(lambda L, q, h, N: bounds.gradient_rate(L, 0.0, h / L, N)),
    ),
    "N for 2N": ("exact_line_search_rate", written(lambda L, q, h, N: ((1 - q) / (1 + q)) ** N)),
    "at every step the worst": (
        "polyak_contraction",
        written(lambda L, q, h, N: ((1 - q) / (1 + q)) ** 2),
    ),
    "the threshold": (
        "least_armijo_step",
        lambda smoothness, decrease, **_: 2 * (1 - decrease) / smoothness,
    ),
    "c for 1 - c": (
        "most_backtracks",
        lambda decrease, **others: bounds.most_backtracks(decrease=1 - decrease, **others),
    ),
    "as published": ("silver_value_rate", bounds.silver_value_upper_bound),
    "silver in values": ("silver_gradient_rate", bounds.silver_value_rate),
    "1 + sum h": (
        "short_steps_value_rate",
        lambda smoothness, step_sizes: smoothness / (2 + 2 * smoothness * step_sizes.sum()),
    ),
    "half of Chebyshev": ("chebyshev_rate", written(lambda L, q, h, N: z(q) ** N)),
    "spectral radius": ("heavy_ball_on_quadratics", written(lambda L, q, h, N: z(q) ** N)),
    "from the other end": (
        "heavy_ball_on_quadratics",
        written(lambda L, q, h, N: z(q) ** N * (1 + N * (1 - z(q)))),
    ),
    "x for y": (
        "nesterov_on_quadratics",
        written(lambda L, q, h, N: (1 - math.sqrt(q)) ** N * (1 + N * math.sqrt(q))),
    ),
    "y for x": (
        "fast_gradient_value_rate_conjecture",
        written(lambda L, q, h, N: 2 * L / (N**2 + 7 * N + 4)),
    ),
    "y for x, misquoted": (
        "fast_gradient_value_rate_conjecture",
        written(lambda L, q, h, N: 2 * L / (N**2 + 5 * N + 2)),
    ),
    "fast for optimal": (
        "optimized_gradient_value_rate",
        bounds.fast_gradient_value_rate_conjecture,
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_formula_is_not_attained(name):
    with pytest.raises(AssertionError):
        check_attained(*WRONG[name])


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


@pytest.mark.parametrize("row", SOLVED, ids=lambda row: row[0])
def test_pepit_disagrees_with_what_is_off_by_a_percent(row):
    """And with one-sided bounds that are 20 times too sharp."""
    off = {"_upper_bound": [1 / 20], "_lower_bound": [20]}.get(row[0][-12:], [0.99, 1.01])
    for share in off:
        with pytest.raises(AssertionError):
            check_solved(*row, bound=lambda share=share, **a: share * PUBLIC[row[0]](**a))


def test_the_best_step_is_better_than_its_neighbors_in_the_table_too():
    """Of the steps that PEPit solved for N = 3, the one in the middle is the best."""
    values = {
        a["step_size"]: value
        for name, a, value, *_ in SOLVED
        if name == "value_rate" and a["steps"] == 3 and a["smoothness"] == 1
    }
    best = bounds.optimal_step_size_for_values(1.0, 0.0, 3)
    near, *far = sorted(values, key=lambda step: abs(step - best))
    assert abs(near - best) < 1e-6 and len(far) == 2
    assert values[near] < min(values[step] for step in far)


def test_nothing_public_is_without_a_witness_or_a_solve():
    tested = {*CASES, *(name for name, *_ in SOLVED)}
    assert set(PUBLIC) - tested == {
        "optimal_step_size_for_values",
        "optimal_step_size_for_distance",
    }


# -- the best step ---------------------------------------------------------------------------------


@pytest.mark.parametrize("q", [0.0, 1e-3, 0.25, 0.9])
@pytest.mark.parametrize("steps", [1, 2, 10, 100])
def test_at_the_best_step_both_functions_are_equally_slow_and_beside_it_one_is_slower(q, steps):
    eta = bounds.optimal_step_size_for_values(2.0, 2 * q, steps)
    assert 0.5 < eta <= 1 / (1 + q)
    h = 2 * eta
    slow, steep = bounds.bend(2.0, 2 * q, eta, steps), (h - 1) ** (2 * steps)
    # By how much both move, relatively, with h, which has a few roundings, and with the logarithms.
    moved = 2 * steps * (1 / (h - 1) + q / (1 - q * h) + abs(math.log(h - 1)))
    assert abs(slow - steep) <= 8 * 2.0**-53 * (moved + 4) * steep
    best = bounds.value_rate(2.0, 2 * q, eta, steps)
    for beside in (h - 0.05, h + 0.05):
        assert bounds.value_rate(2.0, 2 * q, beside / 2, steps) > best
        assert bounds.gradient_rate(2.0, 2 * q, beside / 2, steps) > 4 * best


def test_the_best_steps_are_those_of_the_literature():
    for steps, known in ((1, 1.5), (10, 1.834053), (100, 1.970547)):
        assert abs(bounds.optimal_step_size_for_values(1.0, 0.0, steps) - known) < 5e-7
    assert bounds.value_rate(1.0, 0.0, 1.5, 1) == 1 / 8
    eta = bounds.optimal_step_size_for_distance(3.0, 1.0)
    assert bounds.contraction(3.0, 1.0, eta) == 0.5
    assert min(bounds.contraction(3.0, 1.0, eta + off) for off in (-0.01, 0.01)) > 0.5


# -- laws ------------------------------------------------------------------------------------------

RATES = ("value_rate", "gradient_rate", "gradient_rate_from_decrease", "quadratic_value_rate")
OF_ALL_FOUR = (*RATES, "gradient_from_distance_conjecture")


@pytest.mark.parametrize("name", OF_ALL_FOUR)
@pytest.mark.parametrize("h", [0.5, 1.0, 1.9])
def test_the_constants_of_convex_functions_are_a_limit(name, h):
    """With q they move by a share of at most 8 N^2 q: powers of 1 - q h, N of them or 2N."""
    q, steps = 2.0**-40, np.array([1, 5, 20])
    near, limit = (PUBLIC[name](1.0, mu, h, steps) for mu in (q, 0.0))
    assert (abs(near / limit - 1) <= 8 * steps**2 * q).all()


@pytest.mark.parametrize("h", [0.5, 1.0, 1.6, 1.9])
@pytest.mark.parametrize("steps", [1, 4, 9])
def test_nonconvex_constants_end_where_others_begin(h, steps):
    ends = bounds.hypoconvex_gradient_rate(2.0, np.array([-2.0, 0.0]), h / 2, steps)
    convex = bounds.gradient_rate(2.0, 0.0, h / 2, steps)
    assert abs(ends[1] / convex - 1) <= ROUNDING
    if h < 3**0.5:
        assert abs(ends[0] / bounds.nonconvex_gradient_rate(2.0, h / 2, steps) - 1) <= ROUNDING


@pytest.mark.parametrize("name", OF_ALL_FOUR)
def test_constants_are_in_units_of_the_smoothness(name):
    one, four = (PUBLIC[name](L, L / 16, 1.75 / L, np.arange(1, 9)) for L in (1.0, 4.0))
    assert (four == one * (16 if name.endswith("conjecture") else 4)).all()


def test_without_steps_nothing_is_gained():
    L = 4.0
    for mu in (0.0, 1.0, L):
        known = {name: PUBLIC[name](L, mu, 1 / L, 0) for name in OF_ALL_FOUR}
        assert list(known.values()) == [L / 2, 2 * L, np.inf, L / 2, L**2]
    assert bounds.hypoconvex_gradient_rate(L, -1.0, 1.5 / L, 0) == 2 * L
    assert bounds.nonconvex_gradient_rate(L, 1.5 / L, 0) == 2 * L
    assert bounds.silver_value_rate(L, 0) == bounds.optimized_gradient_value_rate(L, 0) == L / 2
    for name in ("exact_line_search_rate", "chebyshev_rate", "heavy_ball_on_quadratics"):
        assert PUBLIC[name](L, 1.0, 0) == PUBLIC[name](L, L, 0) == 1
    assert bounds.nesterov_on_quadratics(L, 1.0, 0) == 1


def test_well_conditioned_quadratics_are_solved_at_once():
    for name in ("exact_line_search_rate", "chebyshev_rate", "nesterov_on_quadratics"):
        assert PUBLIC[name](4.0, 4.0, 1) == 0
    assert bounds.quadratic_value_rate(4.0, 4.0, 0.25, 1) == bounds.value_rate(4.0, 4.0, 0.25, 1)
    assert bounds.optimal_step_size_for_values(4.0, 4.0, 3) == 0.25


def test_quadratics_lie_within_convex_functions_and_published_constants_above_exact_ones():
    h, steps = np.linspace(0.1, 1.9, 19)[:, None], np.array([1, 3, 7, 15])
    for mu in (0.0, 0.1):
        of_quadratics = bounds.quadratic_value_rate(1.0, mu, h, steps)
        assert (of_quadratics <= bounds.value_rate(1.0, mu, h, steps)).all()
    for n in steps.tolist():
        looser = bounds.silver_value_upper_bound(1.0, n) / bounds.silver_value_rate(1.0, n)
        assert 1.39 < looser < 2
    # By the paper's formula, with a calculator.
    assert abs(bounds.silver_value_upper_bound(10.0, 7) - 0.34377511) < 5e-9


# -- how they are called ---------------------------------------------------------------------------

WHOLE = tuple(name for name in PUBLIC if "whole" in PUBLIC[name].__doc__)


@pytest.mark.parametrize("name", CASES)
def test_traced_in_float64_they_are_the_same(name):
    whole = ("steps",) if name in WHOLE else ()
    with jax.enable_x64(True):
        arguments = [numbers(case) for case in CASES[name]][-1]
        traced = jax.jit(PUBLIC[name], static_argnames=whole)
        given = {k: x if k in whole else np.asarray(x, np.float64) for k, x in arguments.items()}
        found = traced(**given)
        assert found.dtype == np.float64
        assert abs(float(found) - PUBLIC[name](**arguments)) <= ROUNDING * abs(float(found))


@pytest.mark.parametrize("name", [name for name in CASES if "step_sizes" not in CASES[name][0]])
def test_they_broadcast(name):
    arguments = numbers(CASES[name][0])
    column = {**arguments, "smoothness": arguments["smoothness"] * np.array([[1.0], [2.0]])}
    found = PUBLIC[name](**column)
    assert found.shape == (2, 1)
    assert abs(found[0, 0] - PUBLIC[name](**arguments)) <= ROUNDING * abs(found[0, 0])


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize(
    ("steps", "kind"), [(-1, ValueError), (2.0, TypeError), (True, TypeError), (None, TypeError)]
)
def test_steps_that_are_no_whole_number_are_refused(name, steps, kind):
    names = inspect.signature(PUBLIC[name]).parameters
    arguments = {**dict.fromkeys(names, 0.5), "steps": steps}
    with pytest.raises(kind, match=f"bounds.{name}: steps must be a whole number, at least"):
        PUBLIC[name](**arguments)


@pytest.mark.parametrize("steps", [2, 6, 8])
def test_a_silver_schedule_of_another_length_is_refused(steps):
    for name in ("silver_value_rate", "silver_gradient_rate", "silver_value_upper_bound"):
        with pytest.raises(ValueError, match=rf"{name}: steps must be 2\^k - 1, .* got {steps}$"):
            PUBLIC[name](1.0, steps)


def test_the_best_of_no_steps_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        bounds.optimal_step_size_for_values(1.0, 0.0, 0)


def test_every_schedule_of_a_batch_meets_its_own_smoothness():
    L, steps = np.array([1.0, 2.0]), np.array([[0.5, 0.75], [0.25, 0.125]])
    for name in ("any_schedule_lower_bound", "short_steps_value_rate"):
        one_by_one = [PUBLIC[name](*pair) for pair in zip(L, steps, strict=True)]
        assert PUBLIC[name](L, steps).tolist() == one_by_one
