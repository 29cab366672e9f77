"""The porch: ``gdpure`` runs the lesson and prints it, ``--out DIR`` draws its figures too."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

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
    parser = argparse.ArgumentParser("gdpure", description="The lesson: gradient descent, step by step.")
    parser.add_argument("--out", metavar="DIR", type=Path, help="write the figures of the lesson")
    parser.add_argument("--version", action="version", version=f"gdpure {version('gdpure')}")
    out = parser.parse_args(argv).out
    try:
        import rich  # noqa: F401
    except ImportError:
        return _refuse("the lesson is printed with rich: pip install 'gdpure[specs]'")
    if out is not None:
        try:
            import matplotlib  # noqa: F401

            import gdpure.plots  # noqa: F401
        except ImportError:
            return _refuse("--out draws with matplotlib: pip install 'gdpure[plots]'")
    try:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=out).close()  # fails now rather than after the lesson
        return _run(out)
    except BrokenPipeError:  # the reader has seen enough, as in `gdpure | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _refuse(f"cannot write the figures to {out}: {error.strerror or error}")


def _refuse(sentence):
    print(f"gdpure: {sentence}", file=sys.stderr)
    return 1


def _run(out):
    import jax

    from gdpure.lesson import lesson

    whole = jax.device_get(jax.jit(lesson)())
    _print(*_quadratic(whole.quadratic), *_regression(whole.regression), *_samples(whole.samples))
    if out is not None:
        _print("", "[b]Figures[/b]", *(f"  {path}" for path in _draw(whole, out)))
    return 0


# -- the three parts -------------------------------------------------------------------------------


def _quadratic(part):
    start, after = (row.tolist() for row in part.run.point[:2])
    k = range(len(part.run.value))
    table = _table("k", "theta_0", "theta_1", "f(theta)", "f / f before")
    _fill(
        table,
        [str(i) for i in k],
        *(_exact(column) for column in (*part.run.point.T, part.run.value)),
        ["", *(f"{factor:.4f}" for factor in part.factors)],
    )
    return (
        _title("1  A simple cost"),
        "f(theta) = theta_0^2 + theta_1^2, in float32.",
        "",
        f"  at theta              {_vector(part.run.point[0])}",
        f"  the cost is           {_number(part.run.value[0])}",
        f"  its gradient          {_vector(part.run.gradient[0])}",
        f"  by differences        {_vector(part.differences, '.5g')}",
        f"  one step of {_number(part.step_size)}       {_vector(part.run.point[1])}",
        f"  the cost is now       {_number(part.run.value[1])}",
        "",
        "A step subtracts the step size times the gradient. Ten steps:",
        "",
        table,
        _theory(
            f"L = {part.facts.smoothness:g} is the largest curvature of f, "
            f"mu = {part.facts.strong_convexity:g} the smallest. Steps below "
            f"2/L = {part.limit:g} lower the cost. A step of {_number(part.step_size)} multiplies "
            f"the gap to the minimum, {part.facts.minimum:g}, by "
            f"(1 - {_number(part.step_size)} L)^2 = {part.promised:.4f}."
        ),
        _measured(
            f"the gap was multiplied by {part.factors.min():.7f} to {part.factors.max():.7f}. "
            "Float32 rounds in the seventh digit."
        ),
    )


def _regression(part):
    gradients = _table("gradient of the cost", "d/d theta_0", "d/d theta_1")
    _fill(
        gradients,
        ["by autodiff", "by hand", "by differences"],
        *(
            [*_exact([a, b]), f"{c:.4f}"]
            for a, b, c in zip(part.autodiff, part.by_hand, part.differences, strict=True)
        ),
    )
    return ()
