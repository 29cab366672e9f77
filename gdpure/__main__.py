"""The porch: ``gdpure`` runs the lesson and prints it, ``--out DIR`` draws its figures too.

``gdpure check``, ``certify`` and ``theorems`` belong to `gdpure.specs`, ``gdpure plots`` belongs to
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
from itertools import zip_longest
from pathlib import Path

import numpy as np

_COMMANDS = """\
commands:
  check TARGET     try every theorem on your optimizer: gdpure check optax:sgd
  certify FILE     say what a recorded run obeys: gdpure certify run.csv
  theorems [NAME]  list the theorems
  plots [NAME]     draw the gallery of figures, or compare it with its references

gdpure COMMAND --help says more.
"""
_FORMATS = ("png", "svg", "pdf")
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
    if argv[:1] in (["check"], ["certify"], ["theorems"]):
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
    parser.add_argument("--theme", choices=("light", "dark"), help="of the figures")
    parser.add_argument(
        "--format",
        metavar="FORMAT[,FORMAT]",
        type=_formats,
        help="of the figures: png, svg, pdf; by default png",
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    asked, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.error(
            f"unrecognized arguments: {' '.join(unknown)}; the commands are check, certify, "
            "theorems and plots, and come first; without one, gdpure prints the lesson"
        )
    if asked.version:
        print("gdpure", version("gdpure"))
        return 0
    if asked.out is None and (asked.theme or asked.format):
        parser.error("--theme and --format are of the figures: say --out DIR, too")
    if not find_spec("rich"):
        return _refuse("the lesson is printed by rich: pip install 'gdpure[specs]'")
    missing = _missing("hypothesis", "matplotlib") if asked.out is not None else ""
    if missing:
        return _refuse(f"--out: {missing}")
    try:
        if asked.out is not None:
            asked.out.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=asked.out).close()  # fails now, not after the lesson
        return _run(asked.out, asked.theme or "light", asked.format or ("png",))
    except BrokenPipeError:
        return _read_enough()
    except OSError as error:
        if asked.out is None:
            raise
        return _refuse(f"--out: cannot write to {asked.out}: {error.strerror or error}")


def _formats(text):
    named = tuple(part.strip() for part in text.split(","))
    for form in named:
        if form not in _FORMATS:
            raise argparse.ArgumentTypeError(f"formats are {', '.join(_FORMATS)}, got {form!r}")
    return named


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


def _run(out, theme, formats):
    import jax

    from gdpure.lesson import lesson

    whole = jax.device_get(jax.jit(lesson)())
    first, second, third = whole
    _print(*_quadratic(first), *_regression(second), *_samples(third, second))
    if out is not None:
        _print(_title("Figures"))
        plots = importlib.import_module("gdpure.plots")
        for name, fig in importlib.import_module("gdpure.plots.lesson").figures(whole, theme):
            print(*plots.save(fig, out / name, formats), sep="\n", flush=True)
    return 0


# -- the three parts -------------------------------------------------------------------------------


def _quadratic(part):
    step, f, run = _number(part.step_size), part.facts, part.run.history
    return (
        _title("1  A simple cost"),
        "f(theta) = theta_0^2 + theta_1^2, computed in float32.",
        _list(
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
                f"Factors from {part.factors.min():.4f} to {part.factors.max():.4f}.",
            ),
        ),
    )


def _regression(part):
    f, run, final = part.facts, part.run.history, part.final
    points = ", ".join(f"({x:g}, {y:g})" for x, y in zip(part.x, part.y, strict=True))
    learned = _by_scikit_learn(part.x, part.y)
    rows = [k for k in _SHOWN if k < len(run.value)]
    thetas = np.array([*run.point[rows], final.point, f.minimizer, *learned])
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
            "pip install 'gdpure\\[all]'."
        ),
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
        "A solver finds one point of the line, and which one depends on where it starts:",
        _table(
            ("", names),
            ("BFGS from (0, 0)", [_vector(_four_digits(p)) for p in part.found[0]]),
            (f"BFGS from {theta}", [_vector(_four_digits(p)) for p in part.found[1]]),
        ),
        _list(
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


def _by_scikit_learn(x, y):
    """Return intercept and slope as fitted by scikit-learn, in a list: empty where it is absent."""
    if not find_spec("sklearn"):
        return []
    from sklearn.linear_model import LinearRegression

    fitted = LinearRegression().fit(np.asarray(x, np.float64)[:, None], np.asarray(y, np.float64))
    return [(fitted.intercept_, *fitted.coef_)]


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
    for row in zip_longest(*(cells for _, cells in columns), fillvalue=""):
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


if __name__ == "__main__":
    sys.exit(main())
