"""The porch: ``gdpure`` runs the lesson and prints it, ``--out DIR`` draws its figures too.

``gdpure check`` and ``gdpure theorems`` belong to `gdpure.specs`, ``gdpure plots`` belongs to
`gdpure.plots`; each is imported for its commands only.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

_COMMANDS = """\
commands:
  check TARGET     try every theorem on your optimizer: gdpure check optax:sgd
  theorems [NAME]  list the theorems
  plots [NAME]     draw the gallery of figures, or compare it with its references

gdpure COMMAND --help says more.
"""
_WIDTH = 80
_SHOWN = (0, 1, 2, 5, 10, 20, 50, 100)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    argv
        The arguments, by default those of the process.

    Examples
    --------
    >>> import contextlib, io
    >>> with contextlib.redirect_stdout(io.StringIO()) as printed:
    ...     assert main([]) == 0
    >>> assert "17.466667" in printed.getvalue()
    """
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] in (["check"], ["theorems"]):
        return _hand_over("gdpure.specs.__main__", argv)
    if argv[:1] == ["plots"]:
        return _hand_over("gdpure.plots.__main__", argv[1:], "matplotlib")
    parser = argparse.ArgumentParser(
        "gdpure",
        description="Gradient descent: the lesson, and the theorems about it.",
        epilog=_COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="write its figures there, too")
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    asked, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.error(
            f"unrecognized arguments: {' '.join(unknown)}; the commands are check, theorems and "
            "plots, and come first; without one, gdpure prints the lesson"
        )
    if asked.version:
        print("gdpure", version("gdpure"))
        return 0
    if not find_spec("rich"):
        return _refuse("the lesson is printed by rich: pip install 'gdpure[specs]'")
    missing = _missing("hypothesis", "matplotlib") if asked.out is not None else ""
    if missing:
        return _refuse(f"--out: {missing}")
    try:
        if asked.out is not None:
            asked.out.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=asked.out).close()  # fails now, not after the lesson
        return _run(asked.out)
    except BrokenPipeError:
        return _read_enough()
    except OSError as error:
        if asked.out is None:
            raise
        return _refuse(f"--out: cannot write to {asked.out}: {error.strerror or error}")


_NEEDED = {
    "hypothesis": "theorems are tried by hypothesis: pip install 'gdpure[specs]'",
    "matplotlib": "figures are drawn by matplotlib: pip install 'gdpure[plots]'",
}


def _missing(*libraries):
    """Return what to do about the first of some libraries that is not installed."""
    return next((_NEEDED[name] for name in libraries if not find_spec(name)), "")


def _hand_over(command, argv, *libraries):
    missing = _missing("hypothesis", *libraries)
    if missing:
        return _refuse(missing, 2)
    try:
        return importlib.import_module(command).main(argv)
    except BrokenPipeError:
        return _read_enough()


def _read_enough():
    """Silence what is still to be printed: its reader has left, as in `gdpure | head`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _refuse(sentence, status=1):
    print(f"gdpure: {sentence}", file=sys.stderr)
    return status


def _run(out):
    import jax

    from gdpure.lesson import lesson

    whole = jax.device_get(jax.jit(lesson)())
    first, second, third = whole
    _print(*_quadratic(first), *_regression(second), *_samples(third, second))
    if out is not None:
        _print(_title("Figures"))
        print(*_draw(whole, out), sep="\n")
    return 0


# -- the three parts -------------------------------------------------------------------------------


def _quadratic(part):
    step, f, run = _number(part.step_size), part.facts, part.run.history
    return (
        _title("1  A simple cost"),
        "f(theta) = theta_0^2 + theta_1^2, computed in float32.",
        _list(
            ("theta", _vector(run.point[0])),
            ("cost", _number(run.value[0])),
            ("gradient", _vector(run.gradient[0])),
            ("by central differences", _vector(part.differences)),
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
        _list(
            (
                "theory",
                f"The curvature of f is L = {f.smoothness:g} at most and mu = "
                f"{f.strong_convexity:g} at least. Every step size below 2/L = {part.limit:g} "
                "lowers the cost until it is least. As L = mu, each step multiplies the gap to the "
                f"minimum, {f.minimum:g}, by exactly (1 - {step} L)^2 = {part.promised:.4f}.",
            ),
            (
                "measured",
                f"Factors from {part.factors.min():.7f} to {part.factors.max():.7f}: the same, "
                "but for the rounding of float32.",
            ),
        ),
    )


def _regression(part):
    f, run, final = part.facts, part.run.history, part.final
    points = ", ".join(f"({x:g}, {y:g})" for x, y in zip(part.x, part.y, strict=True))
    autodiff = abs(part.autodiff - part.by_hand).max()
    differences = abs(part.differences - part.by_hand).max()
    rows = [k for k in _SHOWN if k < len(run.value)]
    return (
        _title("2  Linear regression"),
        f"A line theta_0 + theta_1 x is fitted to {points}. The cost is",
        "f(theta) = mean((theta_0 + theta_1 x - y)^2).",
        "",
        f"At theta = {_vector(run.point[0])} the cost is {_number(part.value)}. Its gradient:",
        _table(
            ("", ["by autodiff", "by hand", "by central differences"]),
            *(
                (f"d f / d theta_{i}", _aligned((part.autodiff[i], part.by_hand[i], by_steps)))
                for i, by_steps in enumerate(part.differences)
            ),
        ),
        f"From the hand-derived gradient autodiff differs by {autodiff:.2g}, and the central "
        f"differences by {differences:.2g}. Now descent, with steps of 1/L:",
        _table(
            ("k", [*rows, final.count, "exact"]),
            *(
                (name, [f"{x:.6f}" for x in (*run.point[rows, i], final.point[i], f.minimizer[i])])
                for i, name in enumerate(("intercept", "slope"))
            ),
            ("cost", [f"{x:.6f}" for x in (*run.value[rows], final.value, f.minimum)]),
            ("distance", [*(f"{x:.2e}" for x in (*part.distances[rows], part.final_distance)), ""]),
            (
                "promised at most",
                [
                    *(f"{x:.2e}" for x in part.promised_distances[rows]),
                    f"{part.promised_final_distance:.2e}",
                    "",
                ],
            ),
        ),
        "The first step crosses the valley of the cost, all others follow its floor. The last "
        "row is the exact solution of least squares; distance is how far theta is from it.",
        _list(
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
    return (
        _title("3  One example at a time"),
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
        _list(
            (
                "theory",
                "Each cost is 0 all along its line. A solver that reports one point as the global "
                "minimum reports where it stopped.",
            ),
            (
                "measured",
                f"At t = {', '.join(f'{t:g}' for t in part.sides)} the three costs are at most "
                f"{part.along.max():.1e}.",
            ),
        ),
    )


def _draw(whole, out):
    """Draw the figures of the lesson and return their files."""
    from gdpure.lesson import quadratic, regression

    plots = importlib.import_module("gdpure.plots")

    simple, linear, linear_cost = whole.quadratic, whole.regression, regression()
    names = (r"intercept $\theta_0$", r"slope $\theta_1$")
    figures = {
        "simple_cost": plots.landscape(quadratic(), path=simple.run, title="a simple cost"),
        "simple_convergence": plots.convergence(
            simple.run,
            minimum=simple.facts.minimum,
            bounds={"promised": _decay(simple.run, simple.facts, simple.promised)},
            title=f"each step multiplies the gap by {simple.promised:.2f}",
        ),
        "regression": plots.landscape(linear_cost, path=linear.run, names=names, title="mean cost"),
        "regression_convergence": plots.convergence(
            linear.run,
            minimum=linear.facts.minimum,
            bounds={"promised": _decay(linear.run, linear.facts, linear.promised_factor)},
            title="the first step crosses the valley, all others follow its floor",
        ),
        "per_sample": plots.per_sample(linear_cost, linear.run.history.point[0], names=names),
    }
    return [path for name, fig in figures.items() for path in plots.save(fig, out / name)]


def _decay(run, facts, factor):
    values = run.history.value
    return (values[0] - facts.minimum) * factor ** np.arange(len(values))


# -- how it is printed -----------------------------------------------------------------------------


def _print(*parts):
    from rich.console import Console

    console = Console(highlight=False, width=_WIDTH)
    with console.capture() as printed:
        for part in parts:
            console.print(part)
    lines = "\n".join(line.rstrip() for line in printed.get().splitlines())
    print(re.sub(r"\n{3,}", "\n\n", lines), flush=True)


def _title(text):
    return f"\n[bold]{text}[/bold]\n"


def _table(*columns):
    """Return a table of columns (heading, cells); the first is text where its heading is empty."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for heading, _ in columns:
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for row in zip(*(cells for _, cells in columns), strict=True):
        table.add_row(*map(str, row))
    return table


def _list(*items):
    """Return names and what they are beside each other."""
    from rich.padding import Padding
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for name, text in items:
        table.add_row(f"[bold]{name}[/bold]", text)
    return Padding(table, (1, 2), expand=False)


def _number(x):
    """Return the shortest text that float32 reads back as the same number."""
    return str(x[()]).removesuffix(".0")


def _vector(numbers, form=None):
    return f"({', '.join(format(x, form) if form else _number(x) for x in numbers)})"


def _aligned(numbers):
    """Return shortest texts, padded so that right-justified their points are below each other."""
    texts = [_number(x) for x in numbers]
    tails = [len(text.partition(".")[2]) + ("." in text) for text in texts]
    return [text + " " * (max(tails) - tail) for text, tail in zip(texts, tails, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
