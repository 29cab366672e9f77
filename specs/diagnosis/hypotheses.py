"""Hypotheses: the bugs that are known, from the simplest and rarest to what explains most."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from . import kept
from . import steps as of
from .fits import Fit
from .seen import Seen, length


class Hypothesis(NamedTuple):
    """A bug, as data.

    Attributes
    ----------
    sentence
        Makes the sentence of what was found: `c`, the constant as text, and the other fields that
        `causes` lists.
    fit
        What it makes of a run.
    constant
        The constant, if it is known.
    """

    sentence: Callable[..., str]
    fit: Callable[[Seen], Fit]
    constant: float | None = None


def text(number):
    """Return a fraction as a decimal where it is a short one, otherwise as it is."""
    decimal = f"{float(number):.6g}"
    return decimal if Fraction(decimal) == number or number.denominator > 32 else str(number)


# Of one record they are numbers like others.


def _rows_of_data(run):
    return np.longdouble(len(run.problem.features))


def _widths(run):
    return np.longdouble(len(run.problem.center))


# -- sentences of more than one constant -----------------------------------------------------------


def _in_words(constants):
    return ", ".join(text(c) for c in constants.values())


def _schedule_in_words(constants, **_):
    steps = [constants.get(k, Fraction(1)) for k in range(max(constants) + 1)]
    shown = ", ".join(text(step) for step in steps[:6]) + (", ..." if len(steps) > 6 else "")
    return f"the length of the step changes from step to step: it is {shown} times eta"


def _momentum_in_words(constants, **_):
    shown = ", ".join(text(c) for c in list(constants.values())[:6])
    return (
        f"there is a momentum that changes (Nesterov's): it is {shown}, ... times the move before"
    )


def _coordinates_in_words(constants, name):
    which = " and ".join(name(k) for k in constants)
    verb = "move" if len(constants) > 1 else "moves"
    if not any(constants.values()):
        return f"{which} never {verb}: -eta g is not added there"
    lengths = _in_words(constants)
    return f"coordinates have steps of their own: {which} {verb} {lengths} times -eta g"


def _from_first_in_words(constants, **_):
    return _coordinates_in_words(constants, lambda k: f"coordinate {k}")


def _from_last_in_words(constants, **_):
    names = {0: "the last coordinate", 1: "the last coordinate but one"}
    return _coordinates_in_words(constants, lambda k: names.get(k, f"the last coordinate but {k}"))


def _own_length_in_words(constants, span, **_):
    halved = all(c > 0 and math.log2(c).is_integer() for c in constants.values())
    hint = "always a power of 2, as of backtracking" if halved else "as of a line search or a clip"
    return (
        "the steps have a length of their own: moves point along -g, and are "
        f"{span} times eta g, {hint}"
    )


# -- all of them -----------------------------------------------------------------------------------

_FORMATS = (("float16", np.float16), ("bfloat16", jnp.bfloat16), ("float32", np.float32))
_CAST = (
    (
        "the points pass through {}: every row is -eta g from the one before, rounded",
        kept.cast_points,
    ),
    ("the step size is rounded to {}: every move is that times -g", kept.cast_step_size),
    ("the gradient is rounded to {}: every move is -eta times that", kept.cast_gradient),
    ("the move is rounded to {}: every row is the one before, plus that", kept.cast_move),
    ("the points are recorded in {}: the run is right, its rows are rounded", kept.cast_record),
)


def _says(sentence, fit, constant=None, **options):
    """Return a hypothesis from a template of its sentence."""
    return Hypothesis(sentence.format, partial(fit, **options), constant)


HYPOTHESES: tuple[Hypothesis, ...] = (
    _says("nothing moves: every row is the start", kept.still),
    # The record.
    _says("the last row is never written: it is NaN, all others are right", kept.last_row,
          row=np.nan),
    _says("the last row is never written: it is 0, all others are right", kept.last_row, row=0.0),
    _says("all rows are one array, changed in place: each of them is the last point",
          kept.one_array),
    _says("the rows are in reverse order: the last is the start, row 0 the end", kept.backwards),
    _says("the start is missing, and a step is made too many: row k is x[k + 1]",
          kept.without_start),
    _says("the start is missing: row k is x[k + 1], and the last is there twice",
          kept.without_start_last_twice),
    _says("the last step is missing: the last row repeats the one before",
          lambda run: kept.last_row(run, run.x[-2:-1])),
    _says("the first step is missing: x[1] is the start, and the run goes on from there",
          kept.without_first_step),
    _says("every second point is left out: of two rows one repeats the other", kept.every_second),
    _says("two steps are made for one: every row is two steps from the one before",
          kept.two_for_one),
    _says("means are returned in place of points: row k is the mean of x[0] to x[k]", kept.means),
    _says("the move is returned in place of the point: every row is -eta g at the one before",
          kept.move_alone),
    # The length of the step.
    _says("the steps go uphill: every move is +eta g, a sign is lost", of.scaled, -1),
    _says("the step is 2 times too long{sizes}: every move is 2 times -eta g, as of a missing 1/2",
          of.scaled, 2),
    _says("the step is 2 times too short{sizes}: every move is 1/2 times -eta g, as of a 1/2 too "
          "many", of.scaled, 0.5),
    _says("the gradient is a sum instead of a mean: every move is n times -eta g, for n rows of "
          "data", of.scaled, 1, unit=_rows_of_data),
    _says("the mean over the data is taken twice: every move is -eta g / n, for n rows of data",
          of.scaled, 1, unit=lambda run: 1 / _rows_of_data(run)),
    _says("the gradient is divided by the number of coordinates: every move is -eta g / d",
          of.scaled, 1, unit=lambda run: 1 / _widths(run)),
    _says("the gradient is multiplied by the number of coordinates: every move is d times -eta g",
          of.scaled, 1, unit=_widths),
    _says("the step size is applied twice: every move is -eta^2 g", of.scaled, 1,
          unit=lambda run: run.eta),
    _says("the step is {c} times as long as it should be{sizes}: every move is {c} times -eta g",
          of.scaled),
    _says("the step size is clipped: above {c} it is cut to {c}", of.capped_step_size),
    _says("the step size is not applied: every move is -g", of.scaled, 1,
          unit=lambda run: 1 / run.eta),
    # The gradient.
    _says("coordinates are updated one after the other: coordinate {coordinate} saw the new "
          "{before}", of.in_turn, order=1),
    _says("coordinates are updated one after the other, from the last to the first: coordinate "
          "{coordinate} saw the new ones after it", of.in_turn, order=-1),
    _says("the gradient is stale: every move is -eta g at the row before", of.stale),
    _says("the gradient is stale: every move is -eta g at the row before, the first is zero",
          lambda run: of.of_rows(run, np.maximum(run.k[:, 0] - 1, 0), run.k > 0)),
    _says("the gradient is never taken anew: every move is -eta g at the start",
          lambda run: of.of_rows(run, 0 * run.k[:, 0])),
    _says("the gradient is taken after the step: every move is -eta g at the point that gradient "
          "descent would reach", of.one_ahead),
    _says("the step is implicit: every move is -eta g at the row after",
          of.implicit),
    _says("the gradient is in reverse order: coordinate {coordinate} moves as its mirror image "
          "should", of.reversed_gradient),
    _says("the coordinates of the points are in reverse order: x[0] is the start, backwards",
          kept.reversed_points),
    _says("the gradient takes f for a quadratic: every move is -eta g without the bend",
          of.of_other_data, change=lambda a, c, bend, tail, m: (a, c, np.inf, tail, m)),
    _says("the gradient takes f for straight beyond the bend: every move is -eta g without tail",
          of.of_other_data, change=lambda a, c, bend, tail, m: (a, c, bend, 0 * tail, m)),
    _says("the offset of the data is lost: every move is -eta g as if the minimizer were 0",
          of.of_other_data, change=lambda a, c, *rest: (a, 0 * c, *rest)),
    _says("the gradient is clipped: its length is cut to {c}", of.capped_length),
    _says("the gradient is clipped: its entries are cut to +-{c}", of.capped_entries),
    _says("the gradient is normalized: every move has the length of the step size", of.normalized),
    _says("only the signs of the gradient are used: coordinates move by the step size", of.sign),
    _says("coordinates stop at 0: each that would change its sign is set to 0", of.no_crossing),
    # Memory.
    _says("gradients add up: every move is the one before plus -eta g, as of a forgotten "
          "zero_grad", of.heavy_ball, 1),
    _says("there is a momentum of {c} (heavy ball): every move is -eta g plus {c} times the move "
          "before", of.heavy_ball),
    _says("there is an averaged momentum of {c}: every move is -eta times a mean of gradients, "
          "{c} times the one before plus 1 - {c} times g", of.mean_gradient),
    _says("there is an averaged momentum of {c}: every move is -eta times a mean of gradients, "
          "{c} times the one before plus 1 - {c} times g, but for the first", of.mean_gradient,
          first=1),
    _says("there is a momentum of {c} (Nesterov's): every move is -eta g, and {c} times what that "
          "gains on the one before", of.nesterov),
    *(_says(f"there is a momentum of {beta} (Nesterov's): every move is {beta} times the one "
            "before, and -eta g from there", of.lookahead, momentum=lambda k, beta=beta: beta)
      for beta in (0.1, 0.3, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999)),
    _says("there is a momentum of (k - 1) / (k + 2) (Nesterov's): every move is that times the "
          "one before, and -eta g from there", of.lookahead, momentum=lambda k: (k - 1) / (k + 2)),
    _says("there is a momentum of k / (k + 3) (Nesterov's): every move is that times the one "
          "before, and -eta g from there", of.lookahead, momentum=lambda k: k / (k + 3)),
    _says("there is a momentum (FISTA's): every move goes on with the one before, and -eta g "
          "from there", of.lookahead, momentum=of.fista),
    _says("there is a momentum of {c} (Nesterov's): every move is -eta g, and {c} times what that "
          "gains on the one before, but for the first", of.nesterov, first=1),
    # Decay.
    _says("there is a decoupled weight decay of {c}: every move is -eta g - {c} x", of.decay),
    _says("there is a weight decay of {c}: every move is -eta (g + {c} x)", of.decay,
          unit=lambda run: run.eta),
    # Step sizes that are not the one that was asked for.
    _says("the step size that is asked for is ignored: every move is {c} times -g", of.scaled,
          unit=lambda run: 1 / run.eta),
    _says("the step size is divided by k + 1: move k is -eta g / (k + 1)", of.scaled, 1,
          unit=lambda run: 1 / np.longdouble(run.k + 1)),
    _says("the step size is divided by the root of k + 1: move k is -eta g / sqrt(k + 1)",
          of.scaled, 1, unit=lambda run: 1 / np.sqrt(np.longdouble(run.k + 1))),
    _says("the step size decays: move k is {c}^k times -eta g", of.geometric),
    # Limits.
    _says("the move is clipped: its length is cut to {c}", of.capped_length,
          by=lambda run: run.eta),
    _says("the points are kept out of the negative: coordinates below 0 are set to 0",
          of.capped_points, 0, slope=lambda x: 0 * x - 1, size=lambda x: -x),
    _says("the points are kept in a box: coordinates are cut to +-{c}", of.capped_points,
          slope=np.sign, size=abs),
    _says("the points are kept below a bound: coordinates are cut to {c}", of.capped_points,
          slope=lambda x: 0 * x + 1, size=lambda x: x),
    _says("the points are kept above a bound: coordinates are cut to {minus}", of.capped_points,
          slope=lambda x: 0 * x - 1, size=lambda x: -x),
    _says("the points are kept in a ball: their length is cut to {c}", of.capped_points,
          slope=lambda x: x / length(x), size=length),
    _says("steps that raise f are rejected: the row before is repeated where f would go up",
          of.no_increase, 0),
    _says("the run stands still after {minus} steps: x[{minus}] is the last point that is new",
          of.stands_after),
    _says("the run stops early: it stands still where the length of g is below {c}",
          of.short_gradient),
    _says("the run stops early: it stands still where no entry of g is above {c}",
          of.small_entries),
    _says("the run stops early: it stands still where the move is shorter than {c}", of.short_move),
    _says("small moves are dropped: coordinates that would move by less than {c} stand still",
          of.small_moves),
    # As in Adam.
    _says("the gradient is scaled as in Adam: by means of g and g^2, with 0.9 and 0.999",
          of.adaptive, keep_mean=0.9, keep_square=0.999, add_square=0.001, unbiased=True),
    *(_says(f"the gradient is scaled as in RMSProp: by the root of a mean of g^2, with {keep}",
            of.adaptive, keep_mean=0.0, keep_square=keep, add_square=1 - keep, unbiased=unbiased)
      for keep in (0.9, 0.99, 0.999) for unbiased in (False, True)),
    _says("the gradient is scaled as in Adagrad: by the root of the sum of all g^2", of.adaptive,
          keep_mean=0.0, keep_square=1.0, add_square=1.0, unbiased=False),
    # Fewer digits.
    *(_says(sentence.format(name), fit, kind=kind)
      for sentence, fit in _CAST for name, kind in _FORMATS),
    *(_says(f"the points are rounded to {places} decimals: in every row", kept.decimals,
            places=places)
      for places in range(1, 9)),
    _says("the points are whole numbers: every row is cut off at the decimal point", kept.whole,
          change=np.trunc),
    _says("the points are whole numbers: every row is rounded to them", kept.whole, change=np.rint),
    _says("the points are whole numbers: every row is rounded down to them", kept.whole,
          change=np.floor),
    _says("a start without decimals makes whole numbers of all rows: they are cut off at the "
          "decimal point", kept.whole_from_whole),
    # Rows that gradient descent made, and others.
    _says("rows are there twice: row {row} repeats row {before_it}{more}", kept.rows_twice),
    _says("rows are missing: between rows {before_it} and {row} there are two steps{more}",
          kept.rows_missing),
    # As many constants as there are coordinates, steps, runs; and what is half an explanation.
    Hypothesis(_from_first_in_words, partial(of.scaled, label=of.by_coordinate)),
    Hypothesis(_from_last_in_words, partial(of.scaled, label=of.by_coordinate_from_last)),
    Hypothesis(_momentum_in_words, partial(of.nesterov, label=lambda run: run.k)),
    Hypothesis(_schedule_in_words, partial(of.scaled, label=lambda run: run.k)),
    _says("the step size is wrong by another factor in every run: moves are {span} times "
          "-eta g, the same throughout a run", of.scaled, label=lambda run: run.number),
    Hypothesis(_own_length_in_words,
               partial(of.scaled, label=lambda run: 1000 * run.number + run.k)),
    _says("every coordinate has a step size of its own, as in Adam: the first move is the step "
          "size in each of them", of.first_as_in_adam),
    _says("the first step alone is wrong: all rows after x[1] are right, as of a memory that "
          "outlives the run", of.first_alone),
)  # fmt: skip
