"""Bugs of gradient descent as a whole: the step, the loop, the record, and what outlives a run.

`descend` and `descend_compiled` are right. The rest differ from them by the few characters that
make a bug; the compiled ones are those that are met in JAX.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax

from planted.catalogue import bugs

bug = bugs("descent")


def walk(move, start, steps):
    """All points of a walk, in NumPy: ``x[k+1] = move(x[k], [x[0], ..., x[k]])``."""
    rows = [start]
    for _ in range(steps):
        rows.append(move(rows[-1], rows))
    return np.stack(rows)


def scan(move, start, steps):
    """All points of a walk, as a compiled loop: ``x[k+1] = move(x[k], k)``."""
    last, rows = lax.scan(lambda x, k: (move(x, k), x), jnp.asarray(start), jnp.arange(steps))
    return jnp.concatenate([rows, last[None]])


def descend(gradient, start, step_size, steps):
    """Gradient descent."""
    return walk(lambda x, _: x - step_size * gradient(x), start, steps)


def descend_compiled(gradient, start, step_size, steps):
    """Gradient descent."""
    return scan(lambda x, _: x - step_size * gradient(x), start, steps)


def norm(x):
    """The Euclidean norm, in the dtype of x, for NumPy and JAX alike."""
    return (x * x).sum() ** 0.5


# -- the step --------------------------------------------------------------------------------------


@bug
def gradient_sign(gradient, start, step_size, steps):
    """Ascent: the sign of the gradient is lost; m04, nemos#488, PaddlePaddle#12231."""
    return scan(lambda x, _: x + step_size * gradient(x), start, steps)


@bug
def learning_rate_twice(gradient, start, step_size, steps):
    """The optimizer and the loop both multiply by the step size; m08."""
    return walk(lambda x, _: x - step_size * (step_size * gradient(x)), start, steps)


@bug
def learning_rate_unused(gradient, start, step_size, steps):
    """The step size is accepted and not used; aima-python#285."""
    return walk(lambda x, _: x - gradient(x), start, steps)


@bug
def gauss_seidel(gradient, start, step_size, steps):
    """Coordinates are updated one after the other, each sees the ones before it; m07."""

    def move(x, _):
        x = x.copy()
        for i in range(x.size):
            x[i] -= step_size * gradient(x)[i]
        return x

    return walk(move, start, steps)


@bug
def stale_gradient(gradient, start, step_size, steps):
    """The gradient of the point before is used; m09."""
    return walk(lambda x, rows: x - step_size * gradient(rows[-2:][0]), start, steps)


@bug
def learning_rate_in_bfloat16(gradient, start, step_size, steps):
    """The step size is rounded to eight bits; m10, optax#1405, #1414."""
    eta = lax.reduce_precision(step_size, 8, 7)  # a cast there and back XLA may leave out
    return scan(lambda x, _: x - eta * gradient(x), start, steps)


@bug
def parameters_in_float32(gradient, start, step_size, steps):
    """A float64 point passes through float32 at every step; m11, optax#1444, #1039."""

    def move(x, _):
        return (x - step_size * gradient(x)).astype(np.float32).astype(x.dtype)

    return walk(move, start, steps)


@bug
def parameters_in_float16(gradient, start, step_size, steps):
    """The point passes through float16 at every step; m11."""

    def move(x, _):
        return (x - step_size * gradient(x)).astype(np.float16).astype(x.dtype)

    return walk(move, start, steps)


@bug
def weight_decay(gradient, start, step_size, steps):
    """A default weight decay is left on; m12, keras#19051, tensorflow/addons#2282."""
    return walk(lambda x, _: x - step_size * (gradient(x) + 1e-3 * x), start, steps)


@bug
def decay_of_no_parameter(gradient, start, step_size, steps):
    """The decay itself is subtracted, not the decay times the point; jettify's #454."""
    return walk(lambda x, _: x - step_size * 1e-3 - step_size * gradient(x), start, steps)


@bug
def clipping(gradient, start, step_size, steps):
    """Gradients longer than 10 are shortened, silently; m13."""

    def move(x, _):
        g = gradient(x)
        return x - step_size * g * min(1, 10 / max(norm(g), 1))

    return walk(move, start, steps)


@bug
def clipping_of_entries(gradient, start, step_size, steps):
    """Entries of the gradient beyond 5 are cut off, silently; m13."""
    return walk(lambda x, _: x - step_size * gradient(x).clip(-5, 5), start, steps)


@bug
def one_sided_clipping(gradient, start, step_size, steps):
    """Entries of the gradient below -1 are cut off, those above 1 are not: abs was forgotten."""
    return walk(lambda x, _: x - step_size * gradient(x).clip(min=-1), start, steps)


@bug
def step_divided_by_the_value(value, gradient, start, step_size, steps):
    """The step size is divided by 1 + f, as if the minimum were 0."""
    return walk(lambda x, _: x - step_size / (1 + abs(value(x))) * gradient(x), start, steps)


@bug
def normalized_gradient(gradient, start, step_size, steps):
    """The step has the length of the step size, whatever the gradient is."""

    def move(x, _):
        g = gradient(x)
        return x - step_size * g / (norm(g) or 1)

    return walk(move, start, steps)


@bug
def momentum_of_a_tenth(gradient, start, step_size, steps):
    """A momentum of 0.1 is the default of the optimizer underneath; jaxopt's acceleration."""
    return walk(
        lambda x, rows: x - step_size * gradient(x) + 0.1 * (x - rows[-2:][0]), start, steps
    )


@bug
def forgotten_zero_grad(gradient, start, step_size, steps):
    """Gradients add up from step to step, as nobody sets them back to zero."""
    total = np.zeros_like(start)

    def move(x, _):
        nonlocal total
        total = total + gradient(x)
        return x - step_size * total

    return walk(move, start, steps)


@bug
def frozen_coordinate(gradient, start, step_size, steps):
    """The last parameter is not handed to the optimizer and never moves."""

    def move(x, _):
        g = gradient(x)
        g[-1] = 0
        return x - step_size * g

    return walk(move, start, steps)


@bug
def reversed_coordinates(gradient, start, step_size, steps):
    """Parameters and gradients are flattened in different orders."""
    return walk(lambda x, _: x - step_size * gradient(x)[::-1], start, steps)


@bug
def noise(gradient, start, step_size, steps):
    """Noise of 0.001 is added to the gradient, the same in every run."""

    def move(x, rows):
        jitter = np.random.default_rng(len(rows)).normal(scale=1e-3, size=x.shape)
        return x - step_size * (gradient(x) + jitter.astype(x.dtype))

    return walk(move, start, steps)


@bug
def decaying_step(gradient, start, step_size, steps):
    """A schedule is left on and shortens the step by one percent a step; m38."""
    return scan(lambda x, k: x - step_size * gradient(x) * 0.99 ** k.astype(x.dtype), start, steps)


@bug
def step_one_percent_longer(gradient, start, step_size, steps):
    """The step size is wrong by one percent."""
    return walk(lambda x, _: x - 1.01 * step_size * gradient(x), start, steps)


@bug
def step_one_in_ten_thousand_longer(gradient, start, step_size, steps):
    """The step size is wrong in its fourth digit: it was read from a log."""
    return walk(lambda x, _: x - 1.0001 * step_size * gradient(x), start, steps)


@bug
def step_shared_by_coordinates(gradient, start, step_size, steps):
    """The mean over the parameters is taken where a sum belongs; m05."""
    return walk(lambda x, _: x - step_size * gradient(x) / x.size, start, steps)


@bug
def step_of_at_most_one(gradient, start, step_size, steps):
    """Step sizes above one are cut off, silently."""
    return walk(lambda x, _: x - min(step_size, 1.0) * gradient(x), start, steps)


@bug
def hidden_early_stop(gradient, start, step_size, steps):
    """The run stands still once the gradient is below 0.001, tolerance or no tolerance."""

    def move(x, _):
        g = gradient(x)
        return x if norm(g) < 1e-3 else x - step_size * g

    return walk(move, start, steps)


@bug
def rejected_increases(value, gradient, start, step_size, steps):
    """A step that raises the value is not taken: a run that should diverge stands still."""

    def move(x, _):
        moved = x - step_size * gradient(x)
        return x if value(moved) > value(x) else moved

    return walk(move, start, steps)


@bug
def hidden_line_search(value, gradient, start, step_size, steps):
    """The step size is halved until the value goes down."""

    def move(x, _):
        g, eta = gradient(x), step_size
        while value(x - eta * g) > value(x) and eta > step_size / 1000:
            eta = eta / 2
        return x - eta * g

    return walk(move, start, steps)


@bug
def truncated_from_whole_numbers(gradient, start, step_size, steps):
    """A start without decimals makes a run of integers; m40, scipy#4424, Optim.jl#983."""
    kind = start.dtype if (start % 1).any() else np.int64
    return walk(
        lambda x, _: (x - step_size * gradient(x)).astype(kind).astype(x.dtype), start, steps
    )


@bug
def rounded_to_six_decimals(gradient, start, step_size, steps):
    """Points are rounded to six decimals, for the log, and go on from there."""
    return walk(lambda x, _: np.round(x - step_size * gradient(x), 6), start, steps)


@bug
def box_of_ten(gradient, start, step_size, steps):
    """Iterates are kept in a box of +-10 that nobody asked for."""
    return walk(lambda x, _: (x - step_size * gradient(x)).clip(-10, 10), start, steps)


@bug
def scaled_as_in_adam(gradient, start, step_size, steps):
    """The gradient is divided by the root of its running square, as in RMSProp and Adam."""
    square = np.zeros_like(start)

    def move(x, rows):
        nonlocal square
        g = gradient(x)
        square = 0.9 * square + 0.1 * g * g
        unbiased = square / (1 - 0.9 ** len(rows))
        return x - step_size * g / (np.sqrt(unbiased) + 1e-8)

    return walk(move, start, steps)


@bug
def sign_descent(gradient, start, step_size, steps):
    """Only the signs of the gradient are used."""
    return walk(lambda x, _: x - step_size * np.sign(gradient(x)), start, steps)


# -- the loop --------------------------------------------------------------------------------------


@bug
def three_steps(gradient, start, step_size, steps):
    """The loop ends after three steps, whatever was asked for: a default of max_steps."""
    return scan(lambda x, k: jnp.where(k < 3, x - step_size * gradient(x), x), start, steps)


@bug
def one_step_less(gradient, start, step_size, steps):
    """The last step is not made, its row repeats the one before; m17, optimistix#82."""
    rows = descend(gradient, start, step_size, max(steps - 1, 0))
    return np.concatenate([rows, rows[-1:]])[: steps + 1]


@bug
def one_row_less(gradient, start, step_size, steps):
    """One row less than points: range(1, steps) where range(steps) was meant; m17."""
    return descend(gradient, start, step_size, steps)[:steps]


@bug
def one_step_more(gradient, start, step_size, steps):
    """A step too many, and the start is dropped: rows 1 to N + 1 of the run; m16."""
    return descend(gradient, start, step_size, steps + 1)[1:]


@bug
def first_step_without_effect(gradient, start, step_size, steps):
    """The first step has a step size of zero; m38, torchtitan#1261, optax#415."""
    return walk(lambda x, rows: x if len(rows) == 1 else x - step_size * gradient(x), start, steps)


@bug
def start_is_missing(gradient, start, step_size, steps):
    """The start is not recorded: N rows; m14."""
    return descend(gradient, start, step_size, steps)[1:]


@bug
def start_is_missing_last_row_twice(gradient, start, step_size, steps):
    """Points are recorded after the step, the last one twice: row k is x[k+1]; ITK#2570."""
    rows = descend(gradient, start, step_size, steps)
    return np.concatenate([rows[1:], rows[-1:]])


@bug
def last_row_from_before(gradient, start, step_size, steps):
    """The last row is the point before the last; m18, scipy#6162."""
    rows = descend(gradient, start, step_size, steps)
    rows[-1] = rows[-2:][0]
    return rows


# -- the record ------------------------------------------------------------------------------------


@bug
def rows_are_one_array(gradient, start, step_size, steps):
    """All rows are the same array, changed in place: all are the last point; m19, scipy#8419."""
    x = start.copy()
    rows = [x]
    for _ in range(steps):
        x -= step_size * gradient(x)
        rows.append(x)
    return np.stack(rows)


@bug
def averaged_rows(gradient, start, step_size, steps):
    """The averages of the iterates are returned in their place."""
    rows = descend(gradient, start, step_size, steps)
    return np.cumsum(rows, axis=0) / np.arange(1, steps + 2, dtype=rows.dtype)[:, None]


@bug
def thinned_rows(gradient, start, step_size, steps):
    """Every second point is kept, and shown twice."""
    rows = descend(gradient, start, step_size, steps)
    return rows[::2].repeat(2, axis=0)[: steps + 1]


@bug
def rows_in_another_dtype(gradient, start, step_size, steps):
    """The rows come back as lists of Python floats, in float64; flax#924."""
    rows = descend(gradient, start, step_size, steps)
    return np.array(rows.tolist(), np.float64 if rows.dtype == np.float32 else np.float32)


@bug
def rows_in_float32(gradient, start, step_size, steps):
    """The run is right, its history is kept in float32; m11."""
    rows = descend_compiled(gradient, start, step_size, steps)
    return rows.astype(jnp.float32).astype(rows.dtype)


@bug
def rows_are_columns(gradient, start, step_size, steps):
    """Points are columns: the shape is (steps + 1, d, 1); pytorch#19699."""
    return descend(gradient, start, step_size, steps)[:, :, None]


@bug
def last_row_never_written(gradient, start, step_size, steps):
    """The rows are allocated, the loop is a step short, and the last stays NaN."""
    rows = np.full((steps + 1, start.size), np.nan, start.dtype)
    rows[:steps] = descend(gradient, start, step_size, steps)[:steps]
    return rows


@bug
def last_row_is_zero(gradient, start, step_size, steps):
    """The rows are allocated, the loop is a step short, and the last stays zero."""
    rows = np.zeros((steps + 1, start.size), start.dtype)
    rows[:steps] = descend(gradient, start, step_size, steps)[:steps]
    return rows


# -- what outlives a run ---------------------------------------------------------------------------

_compiled = {}
_moves = {}
_count = 0


@bug
def start_is_changed(gradient, start, step_size, steps):
    """Arithmetic in place moves the start of the caller, too; scipy#8419."""
    rows = [start.copy()]
    for _ in range(steps):
        start -= step_size * gradient(start)
        rows.append(start.copy())
    return np.stack(rows)


@bug
def data_of_the_first_call(gradient, start, step_size, steps):
    """Compiled once for a shape, with the data of the first call inside; m41."""
    first = _compiled.setdefault((type(start), start.shape), gradient)
    return descend(first, start, step_size, steps)


@bug
def count_of_all_calls(gradient, start, step_size, steps):
    """A schedule counts the steps of all runs there ever were, not those of this one."""
    global _count
    _count += steps
    return descend(gradient, start, step_size / (1 + 1e-3 * (_count - steps)), steps)


@bug
def move_of_the_last_call(gradient, start, step_size, steps):
    """The memory of the last run is not cleared: the first step of this one goes on with it."""
    key = start.shape, start.dtype
    begin = start + 0.1 * _moves.get(key, np.zeros_like(start))
    rows = descend(gradient, begin, step_size, steps)
    rows[0] = start
    _moves[key] = rows[-1] - rows[-2:][0]
    return rows
