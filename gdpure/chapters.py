"""The lesson in words: chapters of paragraphs, tables and descriptions, as data.

Whoever shows them, `gdpure` on a terminal or a page in a browser, shows the same words and numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gdpure.lesson import Lesson


class Table(NamedTuple):
    """Columns (heading, cells); the first one is text where its heading is empty."""

    columns: Sequence[tuple[str, Sequence[Any]]]


class Descriptions(NamedTuple):
    """Names, and what they are."""

    items: Sequence[tuple[str, str]]


class Chapter(NamedTuple):
    """A title and what stands below it: paragraphs (lines of a string), tables, descriptions."""

    title: str
    blocks: Sequence[str | Table | Descriptions]


_SHOWN = (0, 1, 2, 5, 10, 20, 50, 100)


def chapters(whole: Lesson, learned: Sequence[Any] = ()) -> tuple[Chapter, Chapter, Chapter]:
    """Return the three chapters of the lesson.

    Parameters
    ----------
    whole
        What `gdpure.lesson.lesson` returned, on the host.
    learned
        Intercept and slope as somebody else's program fits them, if there is one.

    Examples
    --------
    >>> import jax
    >>> from gdpure.lesson import lesson
    >>> first, second, third = chapters(jax.device_get(lesson()))
    >>> assert first.title == "A simple cost" and ("cost", "5") in first.blocks[1].items
    """
    first, second, third = whole
    return _quadratic(first), _regression(second, learned), _samples(third, second)


def _chapter(title, *blocks):
    return Chapter(title, blocks)


def _table(*columns):
    return Table(columns)


def _descriptions(*items):
    return Descriptions(items)


def _quadratic(part):
    step, f, run = _number(part.step_size), part.facts, part.run.history
    return _chapter(
        "A simple cost",
        "f(theta) = theta_0^2 + theta_1^2, computed in float32.",
        _descriptions(
            ("least, by BFGS", f"at {_vector(_four_digits(part.found))}"),
            ("least, proven", f"at {_vector(f.minimizer)}, and nowhere else"),
            ("theta", _vector(run.point[0])),
            ("cost", _number(run.value[0])),
            ("gradient", _vector(run.gradient[0])),
            ("by central differences", _vector(_four_digits(part.differences))),
            (f"theta after one step of {step}", _vector(run.point[1])),
            ("cost there", _number(run.value[1])),
        ),
        "A step subtracts the step size times the gradient. Ten of them:",
        _table(
            ("k", range(len(run.value))),
            ("theta_0", _aligned(run.point[:, 0])),
            ("theta_1", _aligned(run.point[:, 1])),
            ("cost", _aligned(run.value)),
            ("cost / cost before", ["", *(f"{factor:.4f}" for factor in part.factors)]),
        ),
        _descriptions(
            (
                "theory",
                f"The curvature of f is L = {f.smoothness:g} at most and mu = "
                f"{f.strong_convexity:g} at least. Every step size below 2/L = {part.limit:g} "
                "lowers the cost until it is least. As L = mu, each step multiplies the gap to the "
                f"minimum, {f.minimum:g}, by exactly (1 - {step} L)^2 = {part.promised:.4f}.",
            ),
            (
                "measured",
                f"Factors from {part.factors.min():.4f} to {part.factors.max():.4f}.",
            ),
        ),
    )


def _regression(part, learned):
    f, run, final = part.facts, part.run.history, part.final
    points = ", ".join(f"({x:g}, {y:g})" for x, y in zip(part.x, part.y, strict=True))
    rows = [k for k in _SHOWN if k < len(run.value)]
    thetas = np.array([*run.point[rows], final.point, f.minimizer, *learned])
    return _chapter(
        "Linear regression",
        f"A line theta_0 + theta_1 x is fitted to {points}. The cost is\n"
        "f(theta) = mean((theta_0 + theta_1 x - y)^2).\n",
        f"At theta = {_vector(run.point[0])} the cost is {_number(part.value)}. Its gradient:",
        _table(
            ("", ["by autodiff", "by hand", "by central differences"]),
            *(
                (f"d f / d theta_{i}", _aligned((part.autodiff[i], part.by_hand[i], by_steps)))
                for i, by_steps in enumerate(part.differences)
            ),
        ),
        "Two derivations of one gradient; central differences subtract values that float32 knows "
        "to seven digits, and keep about four. Now descent, with steps of 1/L:",
        _table(
            ("k", [*rows, final.count, "exact", *("sklearn" for _ in learned)]),
            *(
                (name, [f"{x:.6f}" for x in thetas[:, i]])
                for i, name in enumerate(("intercept", "slope"))
            ),
            ("cost", [f"{x:.6f}" for x in (*run.value[rows], final.value, f.minimum)]),
            ("distance", [f"{x:.2e}" for x in (*part.distances[rows], part.final_distance)]),
            (
                "promised at most",
                [
                    f"{x:.2e}"
                    for x in (*part.promised_distances[rows], part.promised_final_distance)
                ],
            ),
        ),
        "The first step crosses the valley of the cost, all others follow its floor. Exact is the "
        "solution of least squares; distance is how far theta is from it. "
        + (
            "sklearn is scikit-learn's LinearRegression, fitted to the same points."
            if learned
            else "scikit-learn, whose LinearRegression finds the same, is not installed here: "
            "pip install 'gdpure[all]'."
        ),
        _descriptions(
            (
                "theory",
                f"L = {f.smoothness:.5g} and mu = {f.strong_convexity:.5g}, so the step size is "
                f"eta = 1/L = {part.step_size:.5g}. Each step multiplies the gap to the minimum by "
                "max((1 - eta L)^2, (1 - eta mu)^2) = "
                f"{part.promised_factor:.4f} at most, and the distance by the root of that. "
                f"After at most {part.promised_steps} steps no entry of the gradient exceeds "
                f"{part.tolerance:.0e}.",
            ),
            (
                "measured",
                f"The worst of the first {len(part.factors)} factors is {part.factors.max():.4f}. "
                f"The gradient was that small after {final.count} steps, {part.final_distance:.1e} "
                "from the exact solution.",
            ),
        ),
    )


def _samples(part, regression):
    count, theta = len(part.values), _vector(regression.run.history.point[0])
    points = list(zip(regression.x, regression.y, strict=True))
    columns = zip(
        _aligned((*part.values, part.mean_value, part.full_value)),
        _aligned((*part.gradients[:, 0], part.mean_gradient[0], part.full_gradient[0])),
        _aligned((*part.gradients[:, 1], part.mean_gradient[1], part.full_gradient[1])),
        strict=True,
    )
    costs, *gradient = zip(*columns, strict=True)
    names = [f"({x:g}, {y:g}) alone" for x, y in points]
    return _chapter(
        "One example at a time",
        f"The same cost of each of the {count} points alone, at theta = {theta}:",
        _table(
            ("", [*names, "mean of these", "all points"]),
            ("cost", costs),
            ("d f / d theta_0", gradient[0]),
            ("d f / d theta_1", gradient[1]),
        ),
        "The mean of the gradients is the gradient of the mean. But a point alone has no single "
        "best line: every line through it costs nothing. Its minimizers are a whole line of "
        "(theta_0, theta_1), the one of least norm plus t times a direction, for any t:",
        _table(
            ("", names),
            ("minimizers", [f"theta_0 + {x:g} theta_1 = {y:g}" for x, y in points]),
            ("least norm", [_vector(p, ".5g") for p in part.minimizer]),
            ("direction", [_vector(d, ".3f") for d in part.direction]),
        ),
        "A solver finds one point of the line, and which one depends on where it starts:",
        _table(
            ("", names),
            ("BFGS from (0, 0)", [_vector(_four_digits(p)) for p in part.found[0]]),
            (f"BFGS from {theta}", [_vector(_four_digits(p)) for p in part.found[1]]),
        ),
        _descriptions(
            (
                "theory",
                "Each cost is 0 all along its line. A solver that reports one point as the global "
                "minimum reports where it stopped.",
            ),
            (
                "measured",
                f"The largest cost at these six points is {part.remaining.max():.4f}.",
            ),
        ),
    )


def _number(x):
    """Return the shortest text that float32 reads back as the same number."""
    return str(x[()]).removesuffix(".0")


def _four_digits(numbers):
    """Return numbers rounded to what does not depend on the processor, without a sign of zero."""
    return np.round(numbers, 4) + np.float32(0)


def _vector(numbers, form=None):
    return f"({', '.join(format(x, form) if form else _number(x) for x in numbers)})"


def _aligned(numbers):
    """Return shortest texts, padded so that right-justified their points are below each other."""
    texts = [_number(x) for x in numbers]
    tails = [len(text.partition(".")[2]) + ("." in text) for text in texts]
    return [text + " " * (max(tails) - tail) for text, tail in zip(texts, tails, strict=True)]
