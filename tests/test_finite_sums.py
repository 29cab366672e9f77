"""Finite sums: their rows, their means, and trees of parameters and examples."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from oracles import check_evaluation, exact, logistic_rounding
from strategies import problems
from ways import WAYS, evaluate, ways

import gdpure as gd
from gdpure import blocks
from gdpure.objectives import restrict
from gdpure.specs import rounding

FLOAT32 = np.dtype(np.float32)


def check_rows(rows, X, y, theta):
    """Row i is the objective on example i alone; the mean of the rows is the whole."""
    values, gradients = (np.asarray(row) for row in rows)
    assert values.shape == y.shape and gradients.shape == X.shape
    for i in range(len(y)):
        alone = rounding.least_squares(X[i : i + 1], y[i : i + 1], theta, FLOAT32)
        check_evaluation((values[i], gradients[i]), alone)
    mean = exact(values).mean(), exact(gradients).mean(axis=0)
    check_evaluation(mean, rounding.least_squares(X, y, theta, FLOAT32))


def squared_error(params, example):
    x, y = example["x"], example["y"]
    return (jnp.sum(params["w"] * x) - y) ** 2


@given(problem=problems())
def test_the_rows_of_a_finite_sum_are_its_examples_one_by_one(problem):
    X, y, theta = problem
    check_rows(evaluate(gd.per_sample, gd.least_squares(X, y), theta), X, y, theta)


@given(problem=problems(shapes=((3, 3),)))
def test_rows_are_rows_where_there_are_as_many_examples_as_parameters(problem):
    X, y, theta = problem
    risk = gd.empirical_risk(squared_error, {"x": X, "y": y})
    values, gradients = evaluate(gd.per_sample, risk, {"w": theta})
    check_rows((values, gradients["w"]), X, y, theta)
    check_rows(evaluate(gd.per_sample, gd.least_squares(X, y), theta), X, y, theta)


ROWS = (np.float32([[1, 2], [3, 1], [1, 4]]), np.float32([5, -1, 2]), np.float32([0.5, 0.25]))


@pytest.mark.parametrize(
    "bug",
    [
        lambda v, g: (v, jnp.broadcast_to(g.mean(0), g.shape)),
        lambda v, g: (jnp.broadcast_to(v.mean(), v.shape), g),
        lambda v, g: (v / 3, g / 3),
        lambda v, g: (v, g[::-1]),
        lambda v, g: (v[:, None], g),
    ],
    ids=["mean of gradients", "mean of values", "divided by n", "other order", "column"],
)
def test_the_check_of_rows_sees_wrong_ones(bug):
    rows = gd.per_sample(gd.least_squares(*ROWS[:2]))(ROWS[2])
    check_rows(rows, *ROWS)
    with pytest.raises(AssertionError):
        check_rows(bug(*rows), *ROWS)


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 7, 8])
def test_rows_do_not_depend_on_how_many_are_computed_at_a_time(chunk_size):
    rng = np.random.default_rng(0)
    X, y, theta = (rng.normal(size=shape).astype(np.float32) for shape in [(7, 3), 7, 3])
    check_rows(gd.per_sample(gd.least_squares(X, y), chunk_size=chunk_size)(theta), X, y, theta)


@pytest.mark.parametrize("gradient", WAYS)
def test_rows_of_logistic_carry_the_whole_ridge(gradient):
    X, targets, theta = ROWS[0], np.float32([1, 0, 1]), ROWS[2]
    rows = gd.per_sample(gd.logistic(X, targets, 0.5), gradient=gradient)(theta)
    for i, row in enumerate(zip(*rows, strict=True)):
        data = X[i : i + 1], targets[i : i + 1], 0.5
        check_evaluation(row, logistic_rounding(*data, theta, FLOAT32))


@ways
@given(problem=problems(shapes=((7, 3),)), order=st.permutations(range(7)))
def test_neither_order_nor_duplication_of_the_examples_changes_the_mean(way, problem, order):
    X, y, theta = problem
    # The bound at n examples, computed for each arrangement, is around one and the same number.
    original = rounding.least_squares(X, y, theta, FLOAT32)
    for rows in (order, [*order, *order]):
        allowed = rounding.least_squares(X[rows], y[rows], theta, FLOAT32)
        found = evaluate(way, gd.least_squares(X[rows], y[rows]), theta)
        check_evaluation(found, allowed._replace(value=original.value, gradient=original.gradient))


def test_an_empirical_risk_takes_trees_of_parameters_and_of_examples():
    X, y, theta = ROWS
    risk = gd.empirical_risk(squared_error, {"x": X, "y": y})
    value, gradient = gd.reverse(risk)({"w": theta})
    check_evaluation((value, gradient["w"]), rounding.least_squares(X, y, theta, FLOAT32))


AXES = {  # the examples of ROWS as they may lie; what they share; and how to read them
    "side by side": (lambda X, y: (X.T, y), (1, 0), lambda data: data),
    "counted from the end": (lambda X, y: (X.T, y), (-1, -1), lambda data: data),
    "in a dictionary": (
        lambda X, y: {"X": X.T, "y": y, "shared": np.ones(2, np.float32)},
        {"X": 1, "y": 0, "shared": None},
        lambda data: (data["X"] * data["shared"][:, None], data["y"]),
    ),
    "in a list": (
        lambda X, y: [X.T[None], y],
        [2, 0],
        lambda data: (data[0][0], data[1]),
    ),
}


@pytest.mark.parametrize("name", AXES)
def test_axes_say_where_the_examples_lie_as_they_do_for_vmap(name):
    place, axes, read = AXES[name]

    def value(theta, data):
        X, y = read(data)
        return jnp.mean((theta @ X - y) ** 2)

    X, y, theta = ROWS
    f = gd.Objective(value, place(X, y), axes=axes)
    check_rows(gd.per_sample(f)(theta), X, y, theta)
    check_rows(gd.per_sample(f, chunk_size=2)(theta), X, y, theta)
    some = restrict(f, np.array([2, 0]))
    assert some(theta) == gd.least_squares(X[[2, 0]], y[[2, 0]])(theta)
    end = gd.stochastic_descend(f, theta, 0.01, batch_size=3, epochs=1, key=jax.random.key(0))
    assert end.final.value < f(theta)
    # Equal axes are one structure, so that new data compile nothing.
    again = gd.Objective(value, place(X, y), axes=copy.deepcopy(axes))
    assert jax.tree.structure(f) == jax.tree.structure(again)


def test_facts_that_were_given_are_not_those_of_some_of_the_examples():
    f = gd.Objective(
        lambda x, e: jnp.mean((x - e) ** 2), jnp.arange(4.0), facts=gd.Facts(minimizer=1.5), axes=0
    )
    assert gd.facts(restrict(f, jnp.array([0, 1]))).minimizer is None


def test_examples_may_hold_random_keys():
    keys = jax.random.split(jax.random.key(0), 3)
    f = gd.empirical_risk(lambda x, key: x * jax.random.uniform(key), keys)
    values, _ = gd.per_sample(f)(jnp.float32(2))
    np.testing.assert_array_equal(values, 2 * jax.vmap(jax.random.uniform)(keys))


def test_rows_are_differentiated_as_asked():
    wrong = gd.Objective(
        lambda x, e: jnp.mean((x - e) ** 2), jnp.zeros(4), lambda x, e: 0 * x, axes=0
    )
    assert gd.per_sample(wrong, gradient=gd.reverse)(jnp.float32(1))[1].tolist() == [2] * 4


# -- in blocks -------------------------------------------------------------------------------------


@pytest.fixture
def small_cache(monkeypatch):
    """Blocks of 14 rows of 9 numbers: sixteen times their gradient."""
    monkeypatch.setattr(blocks, "_CACHE", 400)
    monkeypatch.setattr(blocks, "_BLOCK", 320)


def rows_of(n, dtype=np.float32):
    """Data for blocks, in each test of another length, lest it meets a program without blocks."""
    rng = np.random.default_rng(n)
    return tuple(rng.normal(size=shape).astype(dtype) for shape in [(n, 8), n, 8])


def apart(X, y):
    """The squared errors of data that lie side by side, with a number that all share."""

    def value(theta, data):
        X, y, shared = data
        return jnp.mean((theta @ X - y) ** 2) * shared

    return gd.Objective(value, (X.T, y, np.ones((), X.dtype)), axes=(1, 0, None))


SUMS = {
    "least squares": gd.least_squares,
    "risk": lambda X, y: gd.empirical_risk(lambda t, e: (e[0] @ t - e[1]) ** 2, (X, y)),
    "axes": apart,
}


@pytest.mark.parametrize("n", [131, 132])  # prime, and one that four devices share
@pytest.mark.parametrize("make", SUMS)
def test_what_exceeds_the_cache_is_the_same_sum_in_blocks(small_cache, make, n):
    X, y, theta = rows_of(n)
    allowed = rounding.least_squares(X, y, theta, FLOAT32)
    check_evaluation(gd.descent.gradients.default(SUMS[make](X, y))(theta), allowed)


@pytest.mark.parametrize("gradient", WAYS)
def test_blocks_of_logistic_carry_the_whole_ridge(small_cache, gradient):
    X, y, theta = rows_of(127)
    found = gradient(gd.logistic(X, y > 0, 0.5))(theta)
    check_evaluation(found, logistic_rounding(X, y > 0, 0.5, theta, FLOAT32))


def test_blocks_add_up_in_float32_at_least(small_cache):
    """Ones of bfloat16 would stop adding up at 256; blocks of ones, with ones for slopes."""
    f = gd.empirical_risk(lambda x, e: jnp.sum(x * e), jnp.ones((8192, 16), jnp.bfloat16))
    value, gradient = gd.reverse(f)(jnp.ones(16, jnp.bfloat16))
    assert value == 16 and gradient.tolist() == [1] * 16 and value.dtype == gradient.dtype


def test_derivatives_of_a_run_in_blocks_are_those_of_the_whole(small_cache, monkeypatch):
    with jax.enable_x64(True):
        X, y, start = rows_of(137, np.float64)

        def end(X, start, step_size):
            run = gd.descend(gd.least_squares(X, y), start, step_size, steps=2, record=None)
            return run.final.value

        def slopes():
            return jax.jit(jax.grad(end, (0, 1, 2)))(X, start, 0.1)

        found = slopes()
        monkeypatch.setattr(blocks, "_CACHE", 2**25)
        # A few hundred roundings, each of numbers below 100.
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=3e4 * 2**-53), found, slopes()
        )


MEMORY = {  # how many numbers an example; a run keeps one copy of the data, however long it is
    "evaluation": (1, lambda f, x: gd.reverse(f)(x)),
    "derivative": (1, lambda f, x: jax.grad(lambda x: gd.reverse(f)(x)[0])(x)),
    "curvature": (1, lambda f, x: jax.jvp(lambda x: gd.analytic(f)(x)[1], (x,), (x,))[1]),
    "run": (10, lambda f, x: jax.grad(lambda x: gd.descend(f, x, 0.1, steps=30).final.value)(x)),
}


@pytest.mark.parametrize("name", MEMORY)
def test_blocks_leave_nothing_of_the_length_of_the_data(small_cache, name):
    most, what = MEMORY[name]
    X, y, theta = rows_of(4099)
    program = jax.jit(lambda X, y, theta: what(gd.least_squares(X, y), theta))
    memory = program.lower(X, y, theta).compile().memory_analysis()
    assert memory.temp_size_in_bytes < most * y.nbytes


def test_rows_of_many_devices_are_summed_by_each_and_exchanged_once(small_cache):
    mesh = jax.make_mesh((4,), ("rows",), axis_types=(AxisType.Auto,), devices=jax.devices("cpu"))
    X, y, theta = rows_of(4 * 139)
    data = jax.device_put((X, y), NamedSharding(mesh, PartitionSpec("rows")))
    program = jax.jit(lambda X, y: gd.reverse(gd.least_squares(X, y))(theta)).lower(*data).compile()
    text = program.as_text()
    assert text.count(" all-reduce(") == 1 and "all-gather" not in text and " while(" in text
    check_evaluation(program(*data), rounding.least_squares(X, y, theta, FLOAT32))
