"""Methods beside gradient descent: what is known of each rule and each schedule, as theorems.

The recurrence of a method says what its next row is; the rest is what has been proven of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import gdpure as gd

from ..theorem import Theorem
from . import promises, recurrences, schedules
from .recurrences import Always


@lru_cache(maxsize=256)  # the same theorems are the same objects
def theorems_of(make: Callable[[Any], Any]) -> tuple[Theorem, ...]:
    """Return the theorems of a function step_size -> gdpure rule, or of a schedule n -> step sizes.

    Examples
    --------
    >>> recurrence, rate = theorems_of(lambda step_size: gd.HeavyBall(step_size, 0.9))
    >>> assert recurrence.statement == "x[k+1] = x[k] - eta g[k] + beta (x[k] - x[k-1])"
    """
    if is_schedule(make):
        return schedules.theorems_of(make)
    rule = make(0.125)
    if type(rule) not in _THEOREMS:
        known = ", ".join(kind.__name__ for kind in _THEOREMS)
        raise TypeError(
            f"check_optimizer: method must be a gdpure rule whose recurrence is known ({known}), "
            "a function step_size -> such a rule, or a function n -> n step sizes, got "
            f"{type(rule).__name__}"
        )
    return tuple(theorem(make) for when, theorem in _THEOREMS[type(rule)] if when(rule))


def is_schedule(make) -> bool:
    """Return whether it is a function of n, such as those in `gdpure.schedules`."""
    try:
        n = inspect.signature(make).parameters.get("n")
    except (TypeError, ValueError):
        return False
    return n is not None and n.default is n.empty


# -- as data ---------------------------------------------------------------------------------------


def _always(rule):
    return True


def _theorem(
    name, law, statement, source, hard=(), family="monotone descent", when=_always, **known
):
    """Return of which rules a theorem is, and a function of ``make``, step_size -> rule."""

    def theorem(make):
        return Theorem(
            name,
            family,
            statement,
            source,
            lambda trace: law(trace, make(trace.eta)),
            methods="any",
            needs=("restart",),
            hard=tuple(of(make) for of in hard),
            **known,
        )

    return when, theorem


def _recurrence(wanted, statement, source, **known):
    def law(trace, rule):
        return recurrences.follows(trace, wanted(trace, rule))

    return (_theorem("recurrence", law, statement, source, equality=True, **known),)


_POLYAK = "Polyak, USSR Comput. Math. Math. Phys. 9, 1969"
_HEAVY_BALL = "Polyak, USSR Comput. Math. Math. Phys. 4, 1964"
_BARZILAI = "Barzilai and Borwein, IMA J. Numer. Anal. 8, 1988"
_ARMIJO = "Armijo, Pacific J. Math. 16, 1966"
_NESTEROV = "Nesterov, Lectures on Convex Optimization, 2nd ed., 2018"

_THEOREMS: dict[type, tuple[tuple[Callable, Callable[..., Theorem]], ...]] = {
    gd.Constant: _recurrence(
        recurrences.gradient_descent, "x[k+1] = x[k] - eta g[k]", f"{_NESTEROV}, section 1.2.3"
    ),
    gd.ExactLineSearch: (
        *_recurrence(
            recurrences.exact_line_search,
            "x[k+1] = x[k] - eta g,  eta = <g, g> / <g, H g>",
            "definition of exact line search",
            assumes=("f quadratic",),
        ),
        _theorem(
            "orthogonal-gradients",
            promises.orthogonal_gradients,
            "<g[k], g[k+1]> = 0",
            "definition of exact line search",
            assumes=("f quadratic",),
            equality=True,
        ),
        _theorem(
            "line-search-rate",
            promises.line_search_rate,
            "f(x[k+1]) - f* <= ((L - mu) / (L + mu))^2 (f(x[k]) - f*)",
            "de Klerk, Glineur and Taylor, Optim. Lett. 11, 2017, Theorem 1.2",
            assumes=("f quadratic", "f mu-strongly convex"),
            family="convergence",
        ),
    ),
    gd.Polyak: (
        *_recurrence(
            recurrences.polyak,
            "x[k+1] = x[k] - eta g,  eta = r (f - f*) / |g|^2",
            _POLYAK,
        ),
        _theorem(
            "polyak-distance",
            promises.polyak_distance,
            "|x[k+1] - x*|^2 <= |x[k] - x*|^2 - r (2 - r) (f(x[k]) - f*)^2 / |g|^2",
            _POLYAK,
            assumes=("f convex",),
            family="convergence",
        ),
        _theorem(
            "polyak-contraction",
            promises.polyak_contraction,
            "|x[k+1] - x*|^2 <= (h - 1) (1 - q h) / (h (1 + q) - 1) |x[k] - x*|^2,  h = eta L",
            "Barre, Taylor and d'Aspremont, COLT 2020, Proposition 1",
            when=lambda rule: rule.relaxation == 2,
            assumes=("f mu-strongly convex", "f L-smooth"),
            family="convergence",
        ),
        _theorem(
            "polyak-values",
            promises.polyak_values,
            "min f(x[j]) - f* over j < k <= 2 L |x[0] - x*|^2 / (r (2 - r) k)",
            "Hazan and Kakade, arXiv 1905.00313, 2019",
            when=lambda rule: rule.relaxation < 2,
            assumes=("f convex", "f L-smooth"),
            family="convergence",
        ),
    ),
    gd.BarzilaiBorwein: (
        *_recurrence(
            recurrences.barzilai_borwein,
            "x[k+1] = x[k] - eta g,  eta = <s, s> / <s, y> or <s, y> / <y, y>",
            _BARZILAI,
        ),
        _theorem(
            "between-curvatures",
            promises.between_curvatures,
            "1/L <= |x[k+1] - x[k]| / |g[k]| <= 1/mu   from the second step on",
            _BARZILAI,
            assumes=("f convex", "f L-smooth"),
            family="convergence",
        ),
    ),
    gd.HeavyBall: (
        *_recurrence(
            recurrences.heavy_ball,
            "x[k+1] = x[k] - eta g[k] + beta (x[k] - x[k-1])",
            _HEAVY_BALL,
        ),
        _theorem(
            "heavy-ball-rate",
            promises.heavy_ball_rate,
            "|x[k] - x*| <= z^k (1 + k (1 + z)) |x[0] - x*|,  z^2 = beta",
            f"{_HEAVY_BALL}; with Chebyshev's polynomials",
            assumes=("f quadratic", "f mu-strongly convex"),
            family="convergence",
        ),
    ),
    gd.Nesterov: (
        *_recurrence(
            recurrences.nesterov,
            "y[k+1] = x[k+1] + beta (x[k+1] - x[k]),  x[k+1] = y[k] - eta g(y[k])",
            f"{_NESTEROV}, section 2.2",
        ),
        _theorem(
            "nesterov-rate",
            promises.nesterov_rate,
            "|y[k] - x*| <= (1 - s)^k (1 + k s/(1 + s)) |y[0] - x*|,  beta = (1 - s)/(1 + s)",
            f"{_NESTEROV}, section 2.2; with Chebyshev's polynomials",
            assumes=("f quadratic", "f mu-strongly convex"),
            family="convergence",
        ),
    ),
    gd.Backtracking: (
        _theorem(
            "armijo-step",
            recurrences.armijo_step,
            "the step is the first of t, t beta, t beta^2, ... that descends enough, or none",
            _ARMIJO,
            hard=(promises.edge, promises.exhausting),
            equality=True,
        ),
        _theorem(
            "sufficient-decrease",
            promises.sufficient_decrease,
            "f(x+) <= f(x) + c <g(x), x+ - x>",
            _ARMIJO,
        ),
        _theorem(
            "armijo-length",
            promises.armijo_length,
            "min(t, 2 beta (1 - c) / L) |g(x)| <= |x+ - x|",
            "Boyd and Vandenberghe, Convex Optimization, 2004, section 9.3",
            assumes=("f L-smooth",),
        ),
    ),
}

_SHOWN: tuple[Any, ...] = (
    gd.ExactLineSearch(),
    gd.Backtracking(1.0),
    gd.Polyak(0.0),
    gd.Polyak(0.0, 2.0),
    gd.BarzilaiBorwein(1.0),
    gd.HeavyBall(1.0, 0.9),
    gd.Nesterov(1.0, 0.9),
)


def _known(kind):
    """Return the theorems of all rules shown of a kind, each of them once."""
    rules = [rule for rule in _SHOWN if type(rule) is kind]
    return tuple({t.name: t for rule in rules for t in theorems_of(Always(rule))}.values())


# What is known of every method of gdpure, by its name.
CATALOGUE: dict[str, tuple[Theorem, ...]] = {
    **{kind.__name__: _known(kind) for kind in dict.fromkeys(map(type, _SHOWN))},
    "silver": schedules.theorems_of(gd.schedules.silver),
    "chebyshev": schedules.theorems_of(partial(gd.schedules.chebyshev, mu=0.1, L=1.0)),
}
