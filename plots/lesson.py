"""The figures of the lesson, as ``gdpure --out`` writes them; the notebook draws the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gdpure as gd
from gdpure.lesson import Lesson, quadratic

from .. import plots
from .palette import Theme
from .views.convergence import steps_in_words

_NAMES = (r"$\theta_0$", r"$\theta_1$")
_WINDOW = ((-2.0, 2.5), (-2.0, 2.5))  # of the costs of a line: mean and single ones side by side


def figures(lesson: Lesson, theme: Theme = "light") -> Iterator[tuple[str, Any]]:
    """Yield name and figure, or axes of one, of all that the lesson draws, in its order.

    Parameters
    ----------
    lesson
        What `gdpure.lesson.lesson` returned.
    theme
        "light" or "dark", or colors by role.

    Examples
    --------
    >>> from gdpure.lesson import lesson
    >>> name, fig = next(figures(lesson()))
    >>> assert name == "simple_cost" and len(fig.axes) == 2
    """
    simple, linear, samples = lesson
    look: dict[str, Any] = {"names": _NAMES, "theme": theme}
    f, run = quadratic(), simple.run
    title = r"$\theta_0^2 + \theta_1^2$ is least at (0, 0)"
    yield "simple_cost", plots.landscape(f, found=simple.found, title=title, **look)
    yield "one_step", plots.one_step(f, run.history.point[0], simple.step_size, **look)
    yield "simple_descent", plots.descent(f, run, **look)
    yield "simple_values", plots.convergence(None, run, yscale="linear", theme=theme)
    yield "simple_convergence", plots.convergence(f, run, theme=theme)

    run = linear.run
    theta = run.history.point[0]
    line = gd.least_squares(gd.with_intercept(linear.x), linear.y)
    title = f"mean cost of three points, {steps_in_words(run, len(run.history.value) - 1)}"
    yield "regression", plots.landscape(line, _WINDOW, path=run, title=title, **look)
    yield "regression_convergence", plots.convergence(line, run, theme=theme)
    yield "regression_fit", plots.fit_and_parameters(line, run, **look)
    for i, (x, y) in enumerate(zip(linear.x, linear.y, strict=True)):
        alone = gd.least_squares(gd.with_intercept(linear.x[i : i + 1]), linear.y[i : i + 1])
        title = f"cost of ({x:g}, {y:g}) alone"
        yield (
            f"point_{i + 1}",
            plots.landscape(alone, _WINDOW, found=samples.found[:, i], title=title, **look),
        )
    yield "per_sample", plots.per_sample(line, theta, **look)
    yield "gd_vs_sgd", plots.gd_vs_sgd(line, theta, epochs=300, **look)
    yield "certificate", plots.certificate(line, run, theme=theme)
