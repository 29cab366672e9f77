"""Worst cases solved by PEPit, against which `tests/test_bounds.py` holds `gdpure.specs.bounds`.

Needs PEPit and Clarabel, from the extra `peers`; nothing of gdpure. Each row of the table that it
writes, pepit.csv, is the largest value of a ratio over a whole class of functions, found by
semidefinite programming: the bound of that name, with these arguments, to that power.
"""

import csv
import math
import platform
import warnings
from importlib.metadata import version
from pathlib import Path

from PEPit import PEP, Expression
from PEPit.functions import SmoothStronglyConvexFunction, SmoothStronglyConvexQuadraticFunction
from PEPit.primitive_steps import exact_linesearch_step

TABLE = Path(__file__).with_suffix(".csv")
SOLVED = ("bound", "value", "power", "multipliers")
ARGUMENTS = ("smoothness", "strong_convexity", "step_size", "step_sizes", "steps")


class Run:
    """A method on a class of functions: what PEPit may choose, and the points that follow."""

    def __init__(self, method, smoothness, strong_convexity=0.0, quadratic=False):
        kind = SmoothStronglyConvexQuadraticFunction if quadratic else SmoothStronglyConvexFunction
        self.problem = PEP()
        self.f = self.problem.declare_function(kind, L=smoothness, mu=strong_convexity)
        self.minimizer = self.f.stationary_point()
        self.points = [self.problem.set_initial_point()]
        self.points += method(self, self.points[0])

    def distance(self, k):
        return (self.points[k] - self.minimizer) ** 2

    def gap(self, k):
        return self.f(self.points[k]) - self.f(self.minimizer)

    def slope(self, k):
        return self.f.gradient(self.points[k]) ** 2

    def largest(self, *measured, given):
        """Return the largest value of the least of `measured`, given that `given` is at most 1.

        Beside it, the sum of the multipliers of all constraints: by so much the value moves, at
        most, when each of them is off by 1.
        """
        self.problem.set_initial_condition(given <= 1)
        for one in measured:
            self.problem.set_performance_metric(one)
        with warnings.catch_warnings():
            # That of a solver that stopped before its own tolerance.
            warnings.simplefilter("error")
            value = self.problem.solve(wrapper="cvxpy", solver="CLARABEL", verbose=0)
        constraints = self.problem._list_of_constraints_sent_to_wrapper
        return value, sum(abs(constraint.eval_dual()) for constraint in constraints)


# -- methods: from a start to the points that follow -----------------------------------------------


def descent(*step_sizes):
    def points(run, x):
        for eta in step_sizes:
            x = x - eta * run.f.gradient(x)
            yield x

    return points


def line_search(steps):
    def points(run, x):
        for _ in range(steps):
            x, _, _ = exact_linesearch_step(x, run.f, [run.f.gradient(x)])
            yield x

    return points


def polyak(relaxation, *step_sizes):
    """Polyak's steps on the functions on which they have these sizes."""

    def points(run, x):
        for eta in step_sizes:
            gap = run.f(x) - run.f(run.minimizer)
            run.problem.add_constraint(relaxation * gap == eta * run.f.gradient(x) ** 2)
            x = x - eta * run.f.gradient(x)
            yield x

    return points


def heavy_ball(smoothness, strong_convexity, steps):
    fast, slow = math.sqrt(smoothness), math.sqrt(strong_convexity)

    def points(run, x):
        last = x
        for _ in range(steps):
            momentum = ((fast - slow) / (fast + slow)) ** 2 * (x - last)
            last, x = x, x - 4 / (fast + slow) ** 2 * run.f.gradient(x) + momentum
            yield x

    return points


def nesterov(smoothness, momentum):
    """Momentum after the gradient's step; the points are those where gradients are taken."""

    def points(run, y):
        last = y
        for beta in momentum:
            x = y - run.f.gradient(y) / smoothness
            last, y = x, x + beta * (x - last)
            yield y

    return points


def optimized_gradient(smoothness, steps):
    def points(run, x):
        theta, last = 1.0, x
        for k in range(1, steps + 1):
            following = (1 + math.sqrt(1 + (8 if k == steps else 4) * theta**2)) / 2
            moved = x - run.f.gradient(x) / smoothness
            further = (theta - 1) / following * (moved - last) + theta / following * (moved - x)
            theta, last, x = following, moved, moved + further
            yield x

    return points


# -- what each bound is about ----------------------------------------------------------------------


def constant(a, **more):
    steps = [a["step_size"]] * a.get("steps", 1)
    return Run(descent(*steps), a["smoothness"], a["strong_convexity"], **more)


def scheduled(a, **more):
    return Run(descent(*a["step_sizes"]), a["smoothness"], a.get("strong_convexity", 0.0), **more)


def contraction(a):
    run = constant(a)
    return run.largest(run.distance(-1), given=run.distance(0))


def value_rate(a):
    run = constant(a)
    return run.largest(run.gap(-1), given=run.distance(0))


def gradient_rate(a):
    run = constant(a)
    return run.largest(run.slope(-1), given=run.gap(0))


def gradient_rate_from_decrease(a):
    run = constant(a)
    return run.largest(run.slope(-1), given=run.gap(0) - run.gap(-1))


def gradient_from_distance_conjecture(a):
    run = constant(a)
    return run.largest(run.slope(-1), given=run.distance(0))


def quadratic_value_rate(a):
    run = constant(a, quadratic=True)
    return run.largest(run.gap(-1), given=run.distance(0))


def hypoconvex_gradient_rate(a):
    """No minimizer: an infimum that lies as far below every point as a smooth function must."""
    run = constant(a)
    infimum, indices = Expression(), range(len(run.points))
    for k in indices:
        below = run.f(run.points[k]) - run.slope(k) / (2 * a["smoothness"])
        run.problem.add_constraint(infimum <= below)
    return run.largest(*map(run.slope, indices), given=run.f(run.points[0]) - infimum)


def nonconvex_gradient_rate(a):
    return hypoconvex_gradient_rate({**a, "strong_convexity": -a["smoothness"]})


def exact_line_search_rate(a):
    run = Run(line_search(a["steps"]), a["smoothness"], a["strong_convexity"])
    return run.largest(run.gap(-1), given=run.gap(0))


def polyak_value_upper_bound(a):
    """The worst of a few sizes that the steps may have come out at."""
    values = []
    for h in (0.5, 0.6, 0.75, 1.0):
        run = Run(polyak(1, *[h / a["smoothness"]] * (a["steps"] - 1)), a["smoothness"])
        values.append(run.largest(*map(run.gap, range(a["steps"])), given=run.distance(0)))
    return max(values)


def polyak_contraction(a):
    run = Run(polyak(2, a["step_size"]), a["smoothness"], a["strong_convexity"])
    return run.largest(run.distance(-1), given=run.distance(0))


def short_steps_value_rate(a):
    run = scheduled(a)
    return run.largest(run.gap(-1), given=run.distance(0))


def any_schedule_lower_bound(a):
    return short_steps_value_rate(a)


def silver(a):
    """The steps of k blocks: a long step between two shorter copies."""
    h = []
    for k in range(round(math.log2(a["steps"] + 1))):
        h = [*h, 1 + (1 + math.sqrt(2)) ** (k - 1), *h]
    return scheduled({**a, "step_sizes": [x / a["smoothness"] for x in h]})


def silver_value_rate(a):
    run = silver(a)
    return run.largest(run.gap(-1), given=run.distance(0))


def silver_value_upper_bound(a):
    return silver_value_rate(a)


def silver_gradient_rate(a):
    run = silver(a)
    return run.largest(run.slope(-1), given=run.gap(0))


def chebyshev_rate(a):
    L, mu, N = a["smoothness"], a["strong_convexity"], a["steps"]
    roots = [math.cos((2 * k - 1) * math.pi / (2 * N)) for k in range(1, N + 1)]
    steps = [2 / ((L + mu) - (L - mu) * root) for root in roots]
    run = scheduled({**a, "step_sizes": steps}, quadratic=True)
    return run.largest(run.distance(-1), given=run.distance(0))


def heavy_ball_on_quadratics(a):
    run = Run(heavy_ball(*a.values()), a["smoothness"], a["strong_convexity"], quadratic=True)
    return run.largest(run.distance(-1), given=run.distance(0))


def nesterov_on_quadratics(a):
    s = math.sqrt(a["strong_convexity"] / a["smoothness"])
    method = nesterov(a["smoothness"], [(1 - s) / (1 + s)] * a["steps"])
    run = Run(method, a["smoothness"], a["strong_convexity"], quadratic=True)
    return run.largest(run.distance(-1), given=run.distance(0))


def optimized_gradient_value_rate(a):
    run = Run(optimized_gradient(**a), a["smoothness"])
    return run.largest(run.gap(-1), given=run.distance(0))


def fast_gradient_value_rate_conjecture(a):
    """About the point after the last gradient's step, without its momentum."""
    L, N = a["smoothness"], a["steps"]
    run = Run(nesterov(L, [*(k / (k + 3) for k in range(N - 1)), 0.0]), L)
    return run.largest(run.gap(-1), given=run.distance(0))


# They bound norms, which PEPit measures squared.
SQUARED = {contraction, chebyshev_rate, heavy_ball_on_quadratics, nesterov_on_quadratics}

# -- the grid --------------------------------------------------------------------------------------

CONSTANT = [
    *[(1.0, 0.0, 0.5, 1), (3.0, 0.0, 0.25, 5), (2.0, 0.0, 0.75, 3), (1.0, 0.0, 1.75, 5)],
    *[(1.0, 0.1, 0.5, 2), (2.0, 0.02, 0.5, 4), (1.0, 0.5, 1.3, 1), (2.0, 0.2, 0.95, 4)],
]
# The best step for N = 3 on convex functions, and its neighbors.
NEAR_OPTIMAL = [(1.0, 0.0, 1.670332, 3), (1.0, 0.0, 1.620332, 3), (1.0, 0.0, 1.720332, 3)]
L_MU_STEP_N = ("smoothness", "strong_convexity", "step_size", "steps")
L_MU_N = ("smoothness", "strong_convexity", "steps")
L_N = ("smoothness", "steps")
L_STEPS = ("smoothness", "step_sizes")

GRID = [
    (contraction, L_MU_STEP_N[:3], [(1, 0.1, 0.5), (2, 0.2, 0.9), (1, 0.5, 1.5), (1, 0.0, 2.5)]),
    (value_rate, L_MU_STEP_N, CONSTANT + NEAR_OPTIMAL),
    (gradient_rate, L_MU_STEP_N, CONSTANT),
    (gradient_rate_from_decrease, L_MU_STEP_N, CONSTANT),
    (gradient_from_distance_conjecture, L_MU_STEP_N, CONSTANT),
    (
        quadratic_value_rate,
        L_MU_STEP_N,
        [
            (3, 0.3, 0.5, 1),
            (1, 0.1, 0.3, 4),
            (1, 0.001, 1.9, 6),
            (1, 0.0, 0.1, 3),
            (2, 1.0, 0.6, 2),
        ],
    ),
    (
        nonconvex_gradient_rate,
        ("smoothness", "step_size", "steps"),
        [(3, 1 / 6, 5), (1, 1.0, 3), (1, 1.1547, 4), (2, 0.866, 6)],
    ),
    (
        hypoconvex_gradient_rate,
        L_MU_STEP_N,
        [
            *[(1, -0.5, 0.5, 1), (1, -0.1, 0.9, 4), (2, -2.0, 0.9, 5), (1, -1.0, 1.95, 6)],
            *[(1, -0.1, 1.7, 3), (1, -0.1, 1.7, 6), (2, -1.0, 0.8, 4), (1, 0.0, 1.6, 5)],
        ],
    ),
    (exact_line_search_rate, L_MU_N, [(1, 0.1, 1), (1, 0.1, 3), (2, 0.5, 2), (1, 0.5, 2)]),
    (polyak_value_upper_bound, L_N, [(1, 2), (2, 3)]),
    (
        polyak_contraction,
        L_MU_STEP_N[:3],
        [(1, 0.1, 2 / 1.1), (1, 0.5, 4 / 3), (2, 0.2, 0.6), (1, 0.1, 6.0)],
    ),
    (
        any_schedule_lower_bound,
        L_STEPS,
        [(1, (2.9, 1.5)), (1, (1.5, 4.9, 1.5)), (2, (0.5, 1.2, 0.9)), (1, (0.5, 1.9, 1.2, 0.3))],
    ),
    (
        short_steps_value_rate,
        L_STEPS,
        [(1, (0.3, 1.0)), (2, (0.5, 0.1, 0.4)), (1, (0.7, 0.6, 0.9, 0.05, 0.85, 0.1))],
    ),
    (silver_value_rate, L_N, [(1, 1), (2, 3), (10, 7)]),
    (silver_gradient_rate, L_N, [(1, 1), (2, 3), (10, 7)]),
    (silver_value_upper_bound, L_N, [(1, 1), (2, 3)]),
    (chebyshev_rate, L_MU_N, [(1, 0.1, 2), (1, 0.01, 4), (3, 0.3, 5)]),
    (heavy_ball_on_quadratics, L_MU_N, [(1, 0.1, 1), (1, 0.1, 4), (3, 0.5, 3)]),
    (nesterov_on_quadratics, L_MU_N, [(1, 0.1, 1), (1, 0.01, 4), (3, 0.5, 5), (1, 0.5, 2)]),
    (optimized_gradient_value_rate, L_N, [(1, 1), (3, 3), (1, 6)]),
    (fast_gradient_value_rate_conjecture, L_N, [(1, 1), (3, 3), (1, 6)]),
]


def rows():
    for bound, names, cases in GRID:
        for case in cases:
            arguments = dict(zip(names, case, strict=True))
            value, multipliers = bound(arguments)
            cells = {**arguments, "step_sizes": " ".join(map(str, arguments.get("step_sizes", ())))}
            numbers = f"{value:.10g}", 2 if bound in SQUARED else 1, f"{multipliers:.3g}"
            yield bound.__name__, *numbers, *(cells.get(name, "") for name in ARGUMENTS)


def main():
    packages = ", ".join(f"{name} {version(name)}" for name in ("PEPit", "cvxpy", "clarabel"))
    with TABLE.open("w", newline="") as file:
        file.write("# python tests/references/pepit.py\n")
        file.write(f"# {packages}, Python {platform.python_version()}\n")
        table = csv.writer(file, lineterminator="\n")
        table.writerow((*SOLVED, *ARGUMENTS))
        for row in rows():
            table.writerow(row)


if __name__ == "__main__":
    main()
