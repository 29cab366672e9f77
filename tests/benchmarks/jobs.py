"""Jobs that people have: a sentence with its sizes, and who does it.

A graphics card is asked for the same jobs in other sizes. Where a library cannot do the same it is
not here: scikit-learn has no descent on all examples, but takes one at a time (U5), or is a solver
of another kind, as SciPy is: they find the same minimizer (U4).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from . import linear_models, sweeps, uses
from .measuring import Ways


class Job(NamedTuple):
    """What is done in which sizes, by what `make` makes of them, and smaller ones to try it."""

    name: str
    does: str
    make: Callable[..., Ways]
    sizes: dict[str, int]
    small: dict[str, int] = {}
    backend: str = "cpu"

    def ways(self, **other):
        """Make the ways of doing it, in its sizes but for some."""
        return self.make(**{**self.sizes, **other})

    def sentence(self):
        """Return what is done, with its sizes."""
        return self.does.format(**{name: in_words(size) for name, size in self.sizes.items()})


def in_words(size):
    """Return a whole number as one reads it: 1,000 or 2^20."""
    power = size.bit_length() - 1
    return f"2^{power}" if size == 2**power > 1000 else f"{size:,}"


_HALF = "{runs} runs x {steps} steps of %s, half of them diverging, the last points"
_ALL = "{runs} runs x {steps} steps of a bowl, every row"
_RUN = "least squares {n} x {d}, {steps} steps, "
_MANY = "{n} x {d}, {steps} steps, the last point"
_SAMPLES = "per-sample gradients {n} x {d}, as called"
_VALUES = "`closed_form`, the values of {steps} steps of {rates} step sizes"
_RIDGE = "logistic {n} x {d} with a ridge, until flat, "

_bowls, _long = partial(sweeps.of_bowl, 1.4), partial(sweeps.of_quadratic, 1.4)
_healthy, _rows = partial(sweeps.of_bowl, 0.02), sweeps.every_row
_squares, _logistic = (partial(linear_models.many_rows, name) for name in ("squares", "logistic"))
_run, _values = linear_models.one_run, linear_models.closed_forms
_samples = linear_models.per_sample
_last, _quadratic, _closed = (partial(_run, way) for way in ("last", "quadratic", "closed form"))
_new_data, _new_function = (partial(uses.fresh, made) for made in (False, True))
_step_size, _two_points = (
    partial(uses.until_flat, rule) for rule in ("step size", "Barzilai-Borwein")
)

_sweep, _few = {"runs": 2**18, "steps": 100}, {"runs": 2**6, "steps": 20}
_table, _short = {"n": 442, "d": 10, "steps": 1000}, {"n": 40, "d": 3, "steps": 20}
_million, _some = {"n": 2**20, "d": 32, "steps": 5}, {"n": 256, "d": 4}
_examples, _fifty = {"n": 100_000, "d": 256}, {"n": 50, "d": 4}
_rates, _five = {"rates": 2000, "steps": 1000}, {"rates": 5, "steps": 20}
_less, _fit, _hundred = _table | {"steps": 100}, {"n": 10_000, "d": 32}, {"n": 100, "d": 3}

JOBS = (
    Job("S1", _HALF % "a bowl", _bowls, _sweep, _few),
    Job("S2", _HALF % "a quadratic", _long, _sweep, _few),
    Job("S3", "{runs} runs x {steps} steps of a bowl, the last points", _healthy, _sweep, _few),
    Job("S4", _ALL, _rows, {"runs": 2**16, "steps": 100}, _few),
    Job("S5", _RUN + "every row", _run, _table, _short),
    Job("S5q", _RUN + "`as_quadratic`", _quadratic, _table, _short),
    Job("S5c", _RUN + "`closed_form`", _closed, _table, _short),
    Job("S6", "least squares " + _MANY, _squares, _million, _some),
    Job("S7", "logistic " + _MANY, _logistic, _million, _some),
    Job("S8", _SAMPLES, _samples, _examples, _fifty),
    Job("S9", "a call of {steps} steps, two parameters", uses.call, {"steps": 3}),
    Job("S9s", "a call of {runs} runs x {steps} steps", _healthy, {"runs": 16, "steps": 3}),
    Job("S10", _VALUES, _values, _rates, _five),
    Job("S11", "a new process: import and {steps} steps", uses.cold, {"steps": 10}),
    Job(
        "U1", "new data {n} x {d} a call, {steps} steps", _new_data, _table | {"steps": 100}, _short
    ),
    Job("U2", "the same, a new function a call", _new_function, _less, _short),
    Job("U3", _RIDGE + "step size 1/L", _step_size, _fit, _hundred),
    Job("U4", _RIDGE + "`BarzilaiBorwein`", _two_points, _fit, _hundred),
    Job("U5", "an epoch of {n} examples, one a step, d = {d}", uses.one_at_a_time, _fit, _hundred),
    Job("G1", _RUN + "the last point", _last, _table, _short, "gpu"),
    Job("G1r", _RUN + "every row", _run, _table, _short, "gpu"),
    Job("G2", _HALF % "a bowl", _bowls, {"runs": 2**20, "steps": 100}, _few, "gpu"),
    Job("G3", _ALL, _rows, {"runs": 2**17, "steps": 100}, _few, "gpu"),
    Job("G4", _SAMPLES, _samples, _examples, _fifty, "gpu"),
    Job("G5", _VALUES, _values, {"rates": 100_000, "steps": 1000}, _five, "gpu"),
)
