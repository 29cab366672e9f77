"""A function is what it is now; equal programs are compiled once, and freed."""

import dataclasses
import functools
import gc
import types
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import gdpure as gd
from gdpure import programs

START = jnp.zeros(2)
X, Y = np.array([[2.0, 0.0], [0.0, 1.0]], np.float32), np.array([1.0, 2.0], np.float32)
KEY = jax.random.key(0)
# Every public function that asks an objective for anything, and what came of it.
ASKED = {
    "reverse": lambda f: gd.reverse(f)(START),
    "forward": lambda f: gd.forward(f)(START),
    "central": lambda f: gd.central(f)(START),
    "begin": lambda f: gd.begin(f, START, 0.1).value,
    "advance": lambda f: gd.advance(f, gd.begin(gd.landscapes.bowl, START, 0.1), 0.1).point,
    "descend": lambda f: gd.descend(f, START, 0.1, steps=3).history,
    "descend without rows": lambda f: gd.descend(f, START, 0.1, steps=3, record=None).final.point,
    "minimize": lambda f: gd.minimize(f, START, 0.1, max_steps=5).value,
    "sweep": lambda f: gd.sweep(f, START[None], jnp.array([0.1, 0.2]), steps=2).final.point,
    "line search": lambda f: gd.descend(f, START, gd.Backtracking(), steps=2).final.point,
    "exact line search": lambda f: gd.descend(f, START, gd.ExactLineSearch(), steps=2).final.point,
}
asked = pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)


def _squares(x, y):
    return jnp.mean((jnp.array([[2.0, 0.0], [0.0, 1.0]]) @ x - y) ** 2)


def _answers(ask, f):
    return [np.asarray(x).tolist() for x in jax.tree.leaves(ask(f))]


def _like(y):
    """What must come of an objective with these targets: they are data of its own."""
    return gd.Objective(_squares, data=jnp.asarray(y))


# -- the function as it is now ---------------------------------------------------------------------


@asked
def test_targets_that_are_bound_anew_are_seen(ask):
    y = Y

    def loss(x):
        return _squares(x, y)

    before = _answers(ask, loss)
    y = 10 * Y
    assert _answers(ask, loss) == _answers(ask, _like(y)) != before == _answers(ask, _like(Y))


@asked
def test_an_array_that_is_written_to_is_seen(ask):
    y = Y.copy()
    before = _answers(ask, lambda x: _squares(x, y))
    y[:] = 5
    assert _answers(ask, lambda x: _squares(x, y)) == _answers(ask, _like(y)) != before


@asked
def test_attributes_of_a_bound_method_are_seen(ask):
    class Model:
        y = Y

        def loss(self, x):
            return _squares(x, self.y)

    model = Model()
    before = _answers(ask, model.loss)
    model.y = 10 * Y
    assert _answers(ask, model.loss) == _answers(ask, _like(model.y)) != before


def test_a_global_that_is_bound_anew_is_seen():
    cell = {"jnp": jnp, "X": X, "y": Y}
    exec("def loss(x): return jnp.mean((X @ x - y) ** 2)", cell)  # as in a notebook
    before = gd.minimize(cell["loss"], START, 0.4, tolerance=1e-3)
    cell["y"] = 10 * Y
    after = gd.minimize(cell["loss"], START, 0.4, tolerance=1e-3)
    assert before.status == after.status == gd.Status.CONVERGED
    for state, y in ((before, Y), (after, 10 * Y)):  # the Hessian is diag(4, 1)
        np.testing.assert_allclose(state.point, np.linalg.solve(X, y), atol=1e-3)


FINITE_SUMS = {
    "descend": lambda f, theta: gd.descend(f, theta, 0.1, steps=3).history,
    "per_sample": lambda f, theta: gd.per_sample(f)(theta),
    "per_sample in chunks": lambda f, theta: gd.per_sample(f, chunk_size=2)(theta),
    "stochastic_descend": lambda f, theta: (
        gd.stochastic_descend(f, theta, 0.1, batch_size=2, epochs=2, key=KEY).history
    ),
}


@pytest.mark.parametrize("ask", FINITE_SUMS.values(), ids=FINITE_SUMS)
def test_what_the_functions_of_an_objective_read_is_seen(ask):
    examples, weight = jnp.arange(5.0), 1.0

    def loss(theta, example):
        return weight * (theta - example) ** 2

    def answers(f):
        return _answers(lambda f: ask(f, jnp.array(0.0)), f)

    f = gd.empirical_risk(loss, examples)
    before = answers(f)
    weight = 3.0
    wanted = answers(
        gd.empirical_risk(lambda theta, example: 3.0 * (theta - example) ** 2, examples)
    )
    assert answers(f) == wanted != before


def test_what_a_gradient_or_a_record_reads_is_seen():
    factor = jnp.array(1.0)

    def gradient(f):
        return lambda x: (f(x), factor * jax.grad(f)(x))

    def record(state):
        return factor * state.point

    def run():
        return gd.descend(_like(Y), START, 0.1, steps=1, gradient=gradient, record=record)

    before = run()
    factor = jnp.array(2.0)
    after = run()
    assert after.final.gradient.tolist() != before.final.gradient.tolist()
    assert after.history[-1].tolist() == (2 * after.final.point).tolist()
    assert after.final.point.tolist() == (2 * before.final.point).tolist()


def test_a_function_that_another_one_calls_is_seen():
    cell = {"jnp": jnp}
    exec("def penalty(x): return jnp.sum(x**2)\ndef value(x, _): return penalty(x)", cell)
    f = gd.Objective(cell["value"])
    assert gd.descend(f, START + 1, 0.25, steps=1).final.point.tolist() == [0.5, 0.5]
    exec("def penalty(x): return 2 * jnp.sum(x**2)", cell)
    assert gd.descend(f, START + 1, 0.25, steps=1).final.point.tolist() == [0, 0]


def test_an_array_may_be_written_to_as_soon_as_the_call_is_over():
    y = np.ones(1_000_000, np.float32)
    ran = gd.descend(lambda x: jnp.sum((x - y) ** 2), jnp.zeros(y.size), 0.5, steps=20, record=None)
    y[:] = 1000
    assert ran.final.point.max() == 1


def test_what_a_custom_derivative_captures_is_seen():
    def straight_through(a):
        slope = jnp.array([a, a])

        @jax.custom_jvp
        def rounded(x):
            return jnp.round(x)

        rounded.defjvp(lambda primals, tangents: (rounded(primals[0]), slope * tangents[0]))
        return lambda x: jnp.sum((rounded(x) - 2) ** 2)

    def step(a):
        run = gd.descend(straight_through(a), START, gd.ExactLineSearch(), steps=1)
        return run.final.memory.step_size

    assert [step(1.0), step(2.0)] == [1 / 2, 1 / 8]  # the curvature is 2 a^2


def test_the_generator_of_random_numbers_is_that_of_the_call():
    def f(x):
        return jnp.sum((x - jax.random.normal(jax.random.key(0), (4,))) ** 2)

    values = []
    for partitionable in (True, False):
        with jax.threefry_partitionable(partitionable):
            values.append(gd.reverse(f)(jnp.zeros(4))[0])
            np.testing.assert_allclose(values[-1], f(jnp.zeros(4)), rtol=1e-6)
    assert values[0] != values[1]


@pytest.mark.parametrize("run", [gd.descend, gd.stochastic_descend])
def test_a_weak_start_is_that_of_the_loop(run):
    target = jnp.full(2, 1.001953125, jnp.bfloat16)  # beside which a weak number is bfloat16

    def loss(x, _):
        return jnp.sum((x * 1.001 - target) ** 2)

    more = {"steps": 2} if run is gd.descend else {"batch_size": 2, "epochs": 2, "key": KEY}
    weak, strong = jnp.asarray(1.0), jnp.array(1.0, jnp.float32)
    assert weak.weak_type and not strong.weak_type
    with jax.numpy_dtype_promotion("standard"):
        f = gd.empirical_risk(loss, jnp.zeros(3))
        one, other = (run(f, start, 0.1, **more).final for start in (weak, strong))
    assert one.value.dtype == jnp.float32 and one.value == other.value
    assert one.point == other.point


# -- compiled once, traced once --------------------------------------------------------------------


@asked
def test_a_fresh_function_with_new_targets_compiles_nothing(ask, compilations):
    def fresh(y):
        return lambda x: _squares(x, y)

    ask(fresh(jnp.asarray(Y)))
    with compilations() as compiled:
        ask(fresh(jnp.asarray(3 * Y)))
    assert compiled() == 0


def test_custom_derivatives_and_jitted_functions_are_recognised_again(compilations):
    def fresh(y):
        def loss(x):
            hinge = jax.nn.softplus(X @ x) + jax.nn.relu(x)
            return jnp.sum(hinge) + jax.jit(lambda x: jnp.mean((x - y) ** 2))(x)

        return jax.jit(loss)

    gd.descend(fresh(jnp.asarray(Y)), START, 0.1, steps=2)
    with compilations() as compiled:
        gd.descend(fresh(jnp.asarray(2 * Y)), START, 0.1, steps=2)
    assert compiled() == 0


@asked
def test_a_plain_function_is_traced_once_a_call(ask):
    calls = []

    def counted(x):
        calls.append(x)
        return _squares(x, Y)

    ask(counted)
    first = len(calls)
    ask(counted)
    assert 0 < first and len(calls) == 2 * first


def test_an_objective_that_reads_nothing_is_not_traced(monkeypatch):
    def traced(*_, **__):
        raise AssertionError("traced")

    monkeypatch.setattr(gd.programs, "traced", traced)
    f = gd.empirical_risk(lambda theta, x: (theta - x) ** 2, jnp.arange(3.0))
    for g, start in ((_like(Y), START), (gd.least_squares(X, Y), START), (f, jnp.array(0.0))):
        gd.descend(g, start, 0.1, steps=2)
        gd.gradients.default(g)(start)
    gd.per_sample(f)(jnp.array(0.0))


@pytest.mark.parametrize("gradient", [gd.gradients.default, lambda f: jax.value_and_grad(f)])
def test_a_fresh_objective_of_the_same_code_compiles_nothing(gradient, compilations):
    def run(y):
        f = gd.Objective(lambda x, y: jnp.sum((x - y) ** 2), jnp.asarray(y))
        g = gd.empirical_risk(lambda x, y: jnp.sum((x - y) ** 2), jnp.stack([y, 2 * y]))
        gd.descend(f, START, 0.1, steps=2, record=lambda state: state.value, gradient=gradient)
        gd.per_sample(g, gradient=gradient)(START)

    run(Y)
    with compilations() as compiled:
        run(2 * Y)
    assert compiled() <= 1  # the sum of X and y


# -- freed -----------------------------------------------------------------------------------------


def _of_plain_function(data):
    return lambda x: jnp.sum((x - data[0, :2]) ** 2)


def _of_jitted_function(data):
    return jax.jit(_of_plain_function(data))


def _of_objective(data):
    f = _of_plain_function(data)
    return gd.Objective(lambda x, _: f(x), gradient=lambda x, _: 2 * (x - data[0, :2]))


@pytest.mark.parametrize("kind", [_of_plain_function, _of_jitted_function, _of_objective])
def test_fresh_functions_and_their_data_are_freed(kind):
    def fold(k):
        f = kind(jnp.full((1000, 100), float(k)))
        jax.block_until_ready(gd.descend(f, START, 0.1, steps=2))
        jax.block_until_ready(gd.reverse(f)(START))
        return weakref.ref(f)

    gc.collect()
    before = sum(x.nbytes for x in jax.live_arrays())
    kept = [fold(k) for k in range(4)]
    gc.collect()
    assert not any(ref() for ref in kept)
    assert sum(x.nbytes for x in jax.live_arrays()) - before < 400_000  # one fold


def test_programs_are_dropped_when_many_others_were_asked_for(monkeypatch):
    limit = functools.lru_cache(maxsize=3)
    monkeypatch.setattr(programs, "_jitted", limit(programs._jitted.__wrapped__))

    def kept(k):
        call = functools.partial(lambda x: float(k) * x, 1.0)
        run, leaves = programs.jitted(call)
        run(*leaves)
        return weakref.ref(call.func)

    refs = [kept(k) for k in range(5)]
    gc.collect()
    assert [ref() is not None for ref in refs] == [False, False, True, True, True]


# -- equal, and not --------------------------------------------------------------------------------


def test_programs_are_equal_by_what_they_do():
    def code(function):
        return programs.traced(function, START).code

    assert code(lambda x: x + X[0]) is code(lambda z: z + X[1])
    others = [
        lambda x: x - X[0],
        lambda x: x + 1.0,
        lambda x: x + 2.0,
        lambda x: x + jnp.nan,
        lambda x: (x + X[0], x),
        lambda x: {"x": x + X[0]},
        lambda x: x[::-1] + X[0],
        lambda x: x * 0.0,
        lambda x: x * -0.0,
    ]
    codes = [code(f) for f in others]
    assert len({id(c) for c in codes}) == len(others)
    assert all(one is code(f) for one, f in zip(codes, others, strict=True))


def test_callbacks_are_told_apart_by_what_they_call():
    def host(function):
        shape = jax.ShapeDtypeStruct((), jnp.float32)
        return lambda x: jax.pure_callback(function, shape, x) + 0 * jnp.sum(x)

    def ours(function):
        f = host(function)
        return gd.descend(f, START + 1, 0.1, steps=0, gradient=_of_value).final.value

    def scaled(k):
        def host(x, *, k=k):
            return np.float32(k * x[0])

        return host

    assert [ours(scaled(k)) for k in (1.0, 10.0)] == [1, 10]
    exec("def host(x): return x[0]", nameless := {})  # a function of no module
    assert ours(nameless["host"]) == 1
    assert ours(lambda x: np.float32(x[0])) == 1
    assert ours(lambda x: np.float32(x[0] + 5)) == 6


def _of_value(f):
    return lambda x: (f(x), jnp.zeros_like(x))


def test_what_a_callback_writes_to_is_what_it_captured():
    def run(seen):
        def loss(x):
            jax.debug.callback(lambda v: seen.append(float(v)), x[0])
            return jnp.sum(x**2)

        gd.reverse(loss)(START)
        jax.effects_barrier()
        return seen

    assert run([]) == run([]) == [0.0]


def test_a_callback_that_each_trace_makes_anew_compiles_once(compilations):
    seen = []

    def loss(x):
        jax.debug.callback(lambda v: seen.append(float(v)), x[0])
        return jnp.sum(x**2)

    gd.reverse(loss)(START)
    with compilations() as compiled:
        gd.reverse(loss)(START + 1)
    jax.effects_barrier()
    assert compiled() == 0 and seen == [0, 1]


# -- everything stays traceable --------------------------------------------------------------------


def _end(y, rule=0.1):
    return gd.descend(lambda x: _squares(x, y), 0 * y, rule, steps=3, record=None).final.value


RULES = [0.1, gd.Backtracking(), gd.ExactLineSearch(), optax.sgd(0.1, momentum=0.5)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_derivatives_reach_what_a_function_captures(rule):
    def by_data(y):
        return gd.descend(_like(y), START, rule, steps=3, record=None).final.value

    captured = jax.jacfwd(lambda y: _end(y, rule))(jnp.asarray(Y))
    np.testing.assert_array_equal(captured, jax.jacfwd(by_data)(jnp.asarray(Y)))
    assert np.abs(captured).max() > 1e-3


def test_a_function_captures_what_is_traced_outside():
    many = jnp.stack([Y, 2 * Y, 3 * Y])
    one_by_one = [_end(y) for y in many]
    np.testing.assert_allclose(jax.vmap(_end)(many), one_by_one, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(_end)(many[1]), one_by_one[1], rtol=1e-6)
    np.testing.assert_allclose(jax.lax.map(_end, many), one_by_one, rtol=1e-6)
    assert jax.eval_shape(_end, many[0]).shape == ()
    slope, by_hand = jax.grad(_end)(many[0]), jax.grad(jax.checkpoint(_end))(many[0])
    np.testing.assert_allclose(slope, by_hand, rtol=1e-6)


def test_a_function_captures_what_is_mapped_over_a_mesh():
    mesh = jax.make_mesh((2,), ("i",), axis_types=(AxisType.Auto,))
    many = jnp.stack([Y, 2 * Y])
    ends = jax.shard_map(jax.vmap(_end), mesh=mesh, in_specs=P("i"), out_specs=P("i"))(many)
    np.testing.assert_allclose(ends, [_end(y) for y in many], rtol=1e-6)


def test_sweeps_and_epochs_go_through_a_mesh():
    mesh = jax.make_mesh((2,), ("i",), axis_types=(AxisType.Auto,))

    def swept(starts):
        rates = jnp.array([0.1, 0.2])
        return gd.sweep(lambda x: _squares(x, Y), starts, rates, steps=2).final.value

    starts = jnp.stack([START, START + 1])
    mapped = jax.shard_map(swept, mesh=mesh, in_specs=P("i"), out_specs=P(None, "i"))(starts)
    np.testing.assert_allclose(mapped, swept(starts), rtol=1e-6)
    f = gd.least_squares(X, Y)
    with jax.set_mesh(jax.make_mesh((2,), ("i",), axis_types=(AxisType.Explicit,))):
        run = gd.stochastic_descend(f, START, 0.1, batch_size=2, epochs=2, key=KEY)
    assert run.history.value.shape == (3,)


def test_forward_mode_returns_gradients_of_the_form_of_the_parameters():
    _, gradient = gd.forward(lambda x: jnp.sum(x.astype(jnp.float32) ** 2))(
        START.astype(jnp.bfloat16)
    )
    assert gradient.dtype == jnp.bfloat16


def test_numpy_arrays_of_double_precision_are_read_in_the_precision_of_the_run():
    def loss(y):
        return lambda x: jnp.sum((x - jnp.asarray(y)) ** 2)

    value, _ = gd.reverse(loss(np.array([1.0, 2.0])))(START)
    assert value.dtype == jnp.float32 and value == 5
    with jax.enable_x64(True):
        value, _ = gd.reverse(loss(np.array([1.0, 2.0])))(np.zeros(2))
        assert value.dtype == jnp.float64 and value == 5


# -- rules differentiate as they are told ----------------------------------------------------------


@jax.custom_jvp
def _rounded(x):
    return jnp.round(x)


@_rounded.defjvp
def _straight_through(primals, tangents):
    return _rounded(primals[0]), tangents[0]


@jax.custom_vjp
def _clipped(x):
    return x


_clipped.defvjp(lambda x: (x, None), lambda _, g: (jnp.clip(g, -1, 1),))


@pytest.mark.parametrize("custom", [_rounded, _clipped])
def test_a_line_search_sees_custom_derivatives(custom):
    def loss(x):
        return jnp.sum((custom(x) - 2) ** 2)

    _, gradient = gd.reverse(loss)(START)
    np.testing.assert_array_equal(gradient, jax.grad(loss)(START))
    state = gd.begin(loss, START, gd.ExactLineSearch())
    bent = jax.jvp(jax.grad(loss), (START,), (gradient,))[1]
    if custom is _rounded:  # its curvature is that of the square, 2
        step = gd.advance(loss, state, gd.ExactLineSearch()).memory.step_size
        assert step == jnp.dot(gradient, gradient) / jnp.dot(gradient, bent) == 0.5


def test_the_value_that_rules_see_has_the_gradient_that_was_asked_for():
    def doubled(f):
        return lambda x: (f(x), 2 * jax.grad(f)(x))

    def seen(updates, memory, params=None, *, value_fn, **_):
        return jax.tree.map(jnp.negative, jax.grad(value_fn)(params)), memory

    rule = optax.GradientTransformationExtraArgs(lambda params: (), seen)
    f = gd.landscapes.bowl
    assert gd.descend(f, START + 1, rule, steps=1).final.point.tolist() == [-1, -1]
    twice = gd.descend(f, START + 1, rule, steps=1, gradient=doubled)
    assert twice.final.point.tolist() == [-3, -3]


# -- one meaning of advance ------------------------------------------------------------------------


def test_a_step_is_along_the_gradient_of_the_objective_that_is_given():
    one, other = _like(Y), _like(10 * Y)
    state = gd.begin(one, START, 0.1)
    for given in (state, state._replace(point=START + 5)):
        stepped, ran = (
            gd.advance(other, given, 0.1),
            gd.descend(other, given, 0.1, steps=1).final,
        )
        for ours, theirs in zip(stepped, ran, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        gradient = jax.grad(other)(given.point)
        np.testing.assert_allclose(stepped.point, given.point - 0.1 * gradient, rtol=1e-6)


# -- what needs no trace ---------------------------------------------------------------------------


def _power(x, n=2):
    return x**n


def _helped(x):
    return _plain(x)


def _plain(x):
    return jnp.sum(x**2)


def _reads_data(x):
    return jnp.sum(X @ x)


@dataclasses.dataclass(frozen=True)
class _Callable:
    name: str

    def __call__(self, x):
        return _reads_data(x)


class _Settings:
    y = Y


def test_a_closed_function_reads_arguments_and_libraries_alone():
    outer, table = jnp.ones(2), {"y": Y}
    closed = [_plain, lambda x: jnp.sum(np.pi * x), gd.landscapes.bowl.value, gd.loop.history]
    closed += [gd.unpack(lambda a, b: a * b), gd.empirical_risk(lambda t, x: t - x, Y).value]
    assert all(programs.closed(f) is not None for f in closed)
    get, dot, settings = table.get, outer.dot, types.SimpleNamespace(y=Y)
    others = [
        _power,
        _helped,
        _reads_data,
        jax.jit(_plain),
        functools.partial(_plain),
        _Callable("a"),
    ]
    others += [lambda x: x @ outer, lambda x: x @ settings.y, lambda x: x @ _Settings.y]
    others += [lambda x: [x @ y for y in (outer,)], types.MethodType(_power, 3), settings]
    others += [lambda x: x @ get("y"), lambda x: dot(x), gd.unpack(lambda a, b: a * outer[0])]
    assert not any(programs.closed(f) is not None for f in others)


def test_closed_functions_of_equal_code_are_one():
    one, other, third = (eval(code) for code in 2 * ["lambda x: 2 * x"] + ["lambda x: 3 * x"])
    assert programs.closed(one) is programs.closed(other) is not programs.closed(third)
    zero, below = eval("lambda x: x * 0.0"), eval("lambda x: x * -0.0")
    assert programs.closed(zero) is not programs.closed(below)


# -- many arrays -----------------------------------------------------------------------------------


def test_programs_of_many_arrays_grow_with_their_number_not_with_its_square():
    def size(n, record):
        start = {k: jnp.full(3, float(k)) for k in range(n)}

        def end(start):
            f = gd.Objective(lambda p, _: sum(jnp.sum(x**2) for x in p.values()))
            return gd.descend(f, start, 0.1, steps=2, record=record).final

        return len(jax.jit(end).lower(start).compile().as_text())

    for record in (None, gd.loop.history):
        one, two = size(25, record), size(50, record)
        assert two < 2.5 * one
