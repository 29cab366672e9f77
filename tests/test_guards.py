"""Errors are part of the interface: each mistake by its sentence."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.experimental import checkify, sparse

import gdpure as gd

BOWL, START = gd.landscapes.bowl, jnp.array([2.0, 1.0])
X, Y = np.eye(3, 2, dtype=np.float32), np.ones(3, np.float32)
LINEAR = gd.least_squares(X, Y)
KEY = jax.random.key(0)


def descend(f=BOWL, start=START, rule=0.1, steps=1, **more):
    return gd.descend(f, start, rule, steps=steps, **more)


def hand(gradient):
    return gd.Objective(lambda x, _: jnp.sum(x**2), gradient=gradient)


MISTAKES = {
    # the start
    "start of ints": (
        lambda: descend(start=jnp.array([2, 1])),
        TypeError,
        "descend: start must be floating point, got int32[2]; gradient descent moves by fractions: "
        "write 2.0 for 2, or use .astype(float)",
    ),
    "start a Python int": (
        lambda: descend(lambda x: x * x, start=2),
        TypeError,
        "descend: start must be floating point, got int 2",
    ),
    "complex start": (
        lambda: descend(start=jnp.array([2j, 1])),
        TypeError,
        "descend: start must be floating point, got complex64[2]; split it into its real",
    ),
    "int leaf": (
        lambda: descend(start={"w": START, "b": [jnp.arange(3)]}),
        TypeError,
        "descend: start['b'][0] must be floating point, got int32[3]",
    ),
    "function leaf": (
        lambda: descend(start={"w": START, "activation": abs}),
        TypeError,
        "descend: start['activation'] must be an array, got the function abs",
    ),
    "no leaf": (
        lambda: descend(start={}),
        ValueError,
        "descend: start must hold at least one array, got dict {}",
    ),
    "empty leaf": (
        lambda: descend(start=jnp.zeros((0, 2))),
        ValueError,
        "descend: start must not be empty, got float32[0,2]",
    ),
    "start of another length": (
        lambda: descend(LINEAR, start=jnp.zeros(3)),
        ValueError,
        "least_squares: the parameters must be one vector, float32[2] as the data ask, got "
        "float32[3]",
    ),
    "start of length 1 for 2": (
        lambda: descend(LINEAR, start=jnp.zeros(1)),
        ValueError,
        "as the data ask, got float32[1]",
    ),
    "column for a vector": (
        lambda: descend(LINEAR, start=jnp.zeros((2, 1))),
        ValueError,
        "as the data ask, got float32[2,1]",
    ),
    "list for a vector": (
        lambda: descend(LINEAR, start=[0.0, 0.0]),
        TypeError,
        "descend: start must be an array, got list [0.0, 0.0]; a list is a tree of its entries, "
        "jnp.array makes it one array",
    ),
    "list in a tree": (
        lambda: gd.per_sample(LINEAR)({"w": [[0.0, 1.0], [2, np.float64(3)]] * 9}),
        TypeError,
        "per_sample: params['w'] must be an array, got a list of 18; a list is a tree",
    ),
    "list for the vector of an objective": (
        lambda: LINEAR([0.0, 0.0]),
        TypeError,
        "as the data ask, got list [0.0, 0.0]; a list is a tree of its entries, jnp.array makes",
    ),
    "start of another dtype": (
        lambda: descend(LINEAR, start=jnp.zeros(2, jnp.bfloat16)),
        TypeError,
        "as the data ask, got bfloat16[2]",
    ),
    "run for a start": (
        lambda: descend(start=descend()),
        TypeError,
        "descend: start must be a point or a State, got a Descent; pass run.final",
    ),
    "start a State": (
        lambda: gd.begin(BOWL, gd.begin(BOWL, START, 0.1), 0.1),
        TypeError,
        "begin: start must be a point, got a State",
    ),
    # the objective
    "arguments in the wrong order": (
        lambda: gd.descend(START, BOWL, 0.1, steps=1),
        TypeError,
        "descend: the objective must be callable, f(params) -> (), got float32[2]",
    ),
    "vector to differentiate forward": (
        lambda: gd.forward(lambda x: x)(START),
        ValueError,
        "forward: the objective must return one floating-point scalar, got float32[2]",
    ),
    "constant objective": (
        lambda: descend(lambda x: 1.0),
        TypeError,
        "got float 1.0, which is no array and depends on no parameter",
    ),
    "vector objective": (
        lambda: descend(lambda x: x**2),
        ValueError,
        "descend: the objective must return one floating-point scalar, got float32[2]",
    ),
    "objective of shape (1,)": (
        lambda: descend(lambda x: x[:1]),
        ValueError,
        "must return one floating-point scalar, got float32[1]",
    ),
    "int objective": (
        lambda: descend(lambda x: jnp.argmax(x)),
        TypeError,
        "must return one floating-point scalar, got int32[]",
    ),
    "objective with auxiliary output": (
        lambda: descend(lambda x: (x @ x, x)),
        TypeError,
        "must return one scalar, got a tuple of 2; auxiliary outputs are not carried, return the",
    ),
    "objective that holds a function": (
        lambda: descend(jax.tree_util.Partial(lambda g, x: g(x), jnp.sum)),
        TypeError,
        "descend: objective",
    ),
    # the rule
    "negative step": (
        lambda: descend(rule=-0.1),
        ValueError,
        "descend: Constant.step_size must be finite and >= 0, got -0.1",
    ),
    "nan step": (lambda: descend(rule=np.nan), ValueError, "must be finite and >= 0, got nan"),
    "infinite step": (lambda: descend(rule=np.inf), ValueError, "finite and >= 0, got inf"),
    "bool step": (lambda: descend(rule=True), TypeError, "must be a real number, got bool True"),
    "complex step": (lambda: descend(rule=1j), TypeError, "must be a real number, got complex 1j"),
    "no rule": (
        lambda: descend(rule=None),
        TypeError,
        "descend: rule must be a step size, an array (steps,) of step sizes, a gdpure rule or an "
        "optax transformation, got NoneType None",
    ),
    "class for a rule": (
        lambda: descend(rule=gd.Polyak),
        TypeError,
        "descend: rule must be an instance, got the class Polyak",
    ),
    "rule not called": (
        lambda: descend(rule=optax.adam),
        TypeError,
        "got the function adam; call what makes a rule, optax.adam(0.1)",
    ),
    "function for a rule": (
        lambda: descend(rule=optax.cosine_decay_schedule(0.1, 10)),
        TypeError,
        "evaluate a schedule, jax.vmap(schedule)(jnp.arange(steps))",
    ),
    "schedule of another length": (
        lambda: descend(rule=jnp.ones(3), steps=2),
        ValueError,
        "descend: the array of step sizes must have shape (2,), got float32[3]",
    ),
    "step that overflows": (
        lambda: descend(rule=1e39),
        ValueError,
        "Constant.step_size must be finite and >= 0, got 1e+39; as a float32 it is inf",
    ),
    "step of the closed form that overflows": (
        lambda: gd.closed_form(LINEAR, START, 1e39, 3),
        ValueError,
        "closed_form: step_size must be finite and >= 0, got 1e+39; as a float32 it is inf",
    ),
    "shrink that rounds to 1": (
        lambda: descend(rule=gd.Backtracking(shrink=1 - 1e-9)),
        ValueError,
        "Backtracking.shrink must be in (0, 1), got 0.999999999; as a float32 it is 1",
    ),
    "negative step in a schedule": (
        lambda: descend(rule=np.array([0.1, -0.2]), steps=2),
        ValueError,
        "Schedule.step_sizes must be finite and >= 0, got -0.2",
    ),
    "step sizes of two axes": (
        lambda: descend(rule=jnp.ones((2, 2)), steps=2),
        ValueError,
        "descend: step sizes must have shape () or (steps,), got float32[2,2]",
    ),
    "array in a rule": (
        lambda: descend(rule=gd.Constant(jnp.ones(2))),
        ValueError,
        "descend: Constant.step_size must be one number, got float32[2]; gd.sweep tries many",
    ),
    "array in an observed rule": (
        lambda: descend(rule=gd.observe(gd.Constant(jnp.ones(2)), print)),
        ValueError,
        "descend: Constant.step_size must be one number, got float32[2]",
    ),
    "shrink above 1": (
        lambda: descend(rule=gd.Backtracking(shrink=1.5)),
        ValueError,
        "descend: Backtracking.shrink must be in (0, 1), got 1.5",
    ),
    "unknown minimum": (
        lambda: descend(rule=gd.Polyak(gd.facts(abs).minimum)),
        TypeError,
        "Polyak.minimum must be a real number, got NoneType None (None stands for a fact that is",
    ),
    "memory of another rule": (
        lambda: descend(start=gd.begin(BOWL, START, 0.1), rule=gd.Polyak(0.0)),
        ValueError,
        "descend: the state must hold the memory of this rule, StepMemory(step_size=float32[]), "
        "got (); a run goes on with the rule it began with",
    ),
    "memory of another rule, one step": (
        lambda: gd.advance(BOWL, gd.begin(BOWL, START, 0.1), gd.HeavyBall(0.1, 0.5)),
        ValueError,
        "advance: the state must hold the memory of this rule",
    ),
    "many steps in one": (
        lambda: gd.advance(BOWL, gd.begin(BOWL, START, 0.1), jnp.ones(3)),
        TypeError,
        "advance: rule must be one step size for one step, got an array of them",
    ),
    "rule whose update has another shape": (
        lambda: descend(rule=optax.stateless(lambda u, p: u[:1])),
        ValueError,
        "rule.update: updates must have shape (2,), got float32[1]",
    ),
    # counts
    "half a step": (
        lambda: descend(steps=2.5),
        TypeError,
        "descend: steps must be a whole number, at least 0, got float 2.5",
    ),
    "True steps": (lambda: descend(steps=True), TypeError, "at least 0, got bool True"),
    "negative steps": (lambda: descend(steps=-1), ValueError, "at least 0, got -1"),
    "traced steps": (
        lambda: jax.jit(lambda n: descend(steps=n))(3),
        TypeError,
        "known before tracing (it decides shapes), got a traced value",
    ),
    "negative tolerance": (
        lambda: gd.minimize(BOWL, START, 0.1, tolerance=-1.0),
        ValueError,
        "minimize: tolerance must be finite and >= 0, got -1.0",
    ),
    "nan tolerance": (
        lambda: gd.minimize(BOWL, START, 0.1, tolerance=np.nan),
        ValueError,
        "tolerance must be finite and >= 0, got nan",
    ),
    # gradient= and record=
    "jax.grad for gradient": (
        lambda: descend(gradient=jax.grad),
        TypeError,
        "must return (value, gradient), got float32[2]; jax.grad gives the gradient alone",
    ),
    "bound gradient": (
        lambda: descend(gradient=gd.reverse(BOWL)),
        TypeError,
        "gradient= takes a way to differentiate an objective, such as gd.reverse, but what came",
    ),
    "hand-derived gradient for gradient": (
        lambda: descend(gradient=lambda x: 2 * x),
        TypeError,
        "a gradient derived by hand goes into gd.Objective(value, gradient=...)",
    ),
    "name for gradient": (
        lambda: descend(gradient="reverse"),
        TypeError,
        "descend: gradient must be callable, got str 'reverse'",
    ),
    "name for record": (
        lambda: descend(record="value"),
        TypeError,
        "descend: record must be callable, got str 'value'",
    ),
    "no hand-derived gradient": (
        lambda: gd.analytic(lambda x: x @ x),
        TypeError,
        "analytic: the objective brings no hand-derived gradient; give it one",
    ),
    "hand-derived column": (
        lambda: descend(hand(lambda x, _: 2 * x[:, None])),
        ValueError,
        "analytic: the hand-derived gradient must be float32[2] like params, got float32[2,1]",
    ),
    "hand-derived ints": (
        lambda: descend(hand(lambda x, _: jnp.array([1, 2]))),
        TypeError,
        "must be float32[2] like params, got int32[2]",
    ),
    "hand-derived tuple": (
        lambda: descend(hand(lambda x, _: (x[0], x[1]))),
        ValueError,
        "analytic: the hand-derived gradient must have the structure of params",
    ),
    # sweeps
    "one number to sweep": (
        lambda: gd.sweep(BOWL, START[None], 0.1, steps=1),
        ValueError,
        "sweep: step sizes must have shape (rules,) or (rules, steps), got float 0.1",
    ),
    "one rule to sweep": (
        lambda: gd.sweep(BOWL, START[None], gd.Polyak(0.0), steps=1),
        ValueError,
        "sweep: rules must have a leading axis on some field, got one rule",
    ),
    "rules of two lengths": (
        lambda: gd.sweep(BOWL, START[None], gd.HeavyBall(jnp.ones(2), jnp.ones(3)), steps=1),
        ValueError,
        "sweep: rules must have one leading axis in common, got 2 at .step_size, 3 at .momentum",
    ),
    "a list of rules": (
        lambda: gd.sweep(BOWL, START[None], [gd.Constant(0.1)], steps=1),
        TypeError,
        "many rules are one rule with a leading axis on its fields",
    ),
    "optax to sweep": (
        lambda: gd.sweep(BOWL, START[None], optax.adam(0.1), steps=1),
        TypeError,
        "sweep: rules must hold their numbers as arrays, an optax transformation does not",
    ),
    "one scalar start to sweep": (
        lambda: gd.sweep(lambda x: x**2, 2.0, jnp.ones(2), steps=1),
        ValueError,
        "sweep: starts must have a leading axis, got float32[]",
    ),
    "starts of two lengths": (
        lambda: gd.sweep(abs, {"a": jnp.ones(2), "b": jnp.ones(3)}, jnp.ones(2), steps=1),
        ValueError,
        "sweep: starts must have one leading axis in common, got 2 at ['a'], 3 at ['b']",
    ),
    # data
    "targets as a column": (
        lambda: gd.least_squares(X, Y[:, None]),
        ValueError,
        "y must have shape (3,), got float32[3,1]; y.ravel() makes a column one axis",
    ),
    "features as a vector": (
        lambda: gd.least_squares(Y, Y),
        ValueError,
        "least_squares: X must have shape (n, d), got float32[3]; one feature is the column",
    ),
    "no rows": (
        lambda: gd.least_squares(np.zeros((0, 2)), np.zeros(0)),
        ValueError,
        "least_squares: X must not be empty, got float32[0,2]",
    ),
    "ints that float32 does not hold": (
        lambda: gd.least_squares([[2**24 + 1]], [1]),
        ValueError,
        "X holds the integer 16777217, which float32 does not represent exactly",
    ),
    "complex features": (
        lambda: gd.least_squares(X.astype(complex), Y),
        TypeError,
        "least_squares: X must be an array of real numbers, got complex128[3,2]",
    ),
    "nan in the data": (
        lambda: gd.least_squares(np.float32([[1, np.nan]]), [1.0]),
        ValueError,
        "least_squares: X must be finite, got nan at (0, 1)",
    ),
    "nan in the examples": (
        lambda: gd.empirical_risk(abs, {"x": X, "y": np.array([1, np.nan, 2])}),
        ValueError,
        "empirical_risk: examples['y'] must be finite, got nan at (1,)",
    ),
    "features that overflow": (
        lambda: gd.least_squares(np.array([[1e39], [1.0]]), [1, 2]),
        ValueError,
        "least_squares: X must be finite, got 1e+39 at (0, 0); float32 ends at 3.4e+38",
    ),
    "listed targets that overflow": (
        lambda: gd.least_squares(X, [1.0, -1e39, 1.0]),
        ValueError,
        "least_squares: y must be finite, got -1e+39 at (1,); float32 ends at 3.4e+38",
    ),
    "examples that overflow": (
        lambda: gd.empirical_risk(abs, (X, np.array([1.0, 2.0, 1e39]))),
        ValueError,
        "empirical_risk: examples[1] must be finite, got 1e+39 at (2,); float32 ends",
    ),
    "minimum that is none": (
        lambda: gd.quadratic(np.eye(2), Y[:2], np.float64(np.nan)),
        ValueError,
        "quadratic: minimum must be finite, got nan",
    ),
    "columns of objects": (
        lambda: gd.least_squares(X.astype(object), Y),
        TypeError,
        "got object[3,2]; .astype(float) if it holds numbers",
    ),
    "examples of text": (
        lambda: gd.empirical_risk(abs, (X, np.array(["a", "b", "c"]))),
        TypeError,
        "empirical_risk: examples[1] must be an array of numbers, got <U1[3]",
    ),
    "examples in a list": (
        lambda: gd.empirical_risk(abs, [1.0, 2.0]),
        ValueError,
        "a list is a tree of its entries, jnp.array makes it one array",
    ),
    "columns of objects as examples": (
        lambda: gd.empirical_risk(abs, X.astype(object)),
        TypeError,
        "examples must be an array of numbers, got object[3,2]; .astype(float) if it holds",
    ),
    "objects as data": (
        lambda: gd.descend(gd.Objective(lambda x, d: x @ d, Y.astype(object)), Y, 0.1, steps=1),
        TypeError,
        "descend: objective.data must be an array of numbers, got object[3]; .astype(float) if it",
    ),
    "text": (
        lambda: gd.least_squares(X, ["a", "b", "c"]),
        TypeError,
        "least_squares: y must be an array of real numbers, got list ['a', 'b', 'c']",
    ),
    "ragged rows": (
        lambda: gd.least_squares([[1.0, 2.0], [3.0]], [1.0, 2.0]),
        TypeError,
        "least_squares: X must be an array of real numbers",
    ),
    "two precisions": (
        lambda: gd.least_squares(X, jnp.asarray(Y, jnp.bfloat16)),
        TypeError,
        "least_squares: y must be float32 like the rest of the data, got bfloat16[3]",
    ),
    "labels -1 and 1": (
        lambda: gd.logistic(X, [1, -1, 1]),
        ValueError,
        "logistic: labels must be 0 or 1, got -1; (labels + 1) / 2 maps -1 and 1",
    ),
    "negative ridge": (
        lambda: gd.logistic(X, [1, 0, 1], ridge=-1.0),
        ValueError,
        "logistic: ridge must be finite and >= 0, got -1.0",
    ),
    "ridge that overflows": (
        lambda: gd.logistic(X, [1, 0, 1], ridge=1e39),
        ValueError,
        "logistic: ridge must be finite, got 1e+39; float32 ends at 3.4e+38",
    ),
    "hessian of another size": (
        lambda: gd.quadratic(jnp.eye(3), jnp.zeros(2)),
        ValueError,
        "quadratic: hessian must have shape (2, 2), got float32[3,3]",
    ),
    "examples of two lengths": (
        lambda: gd.empirical_risk(abs, (jnp.ones(3), jnp.ones(2))),
        ValueError,
        "empirical_risk: the examples must have one leading axis in common, got 3 at [0], 2 at [1]",
    ),
    "axis that is not there": (
        lambda: gd.per_sample(gd.Objective(abs, (X, Y), axes=(0, 1))),
        ValueError,
        "per_sample: the data[1] must have an axis 1, got float32[3]",
    ),
    "half an axis": (
        lambda: gd.per_sample(gd.Objective(abs, {"x": X}, axes={"x": 0.5})),
        TypeError,
        "per_sample: axes['x'] must be a whole number or None, as in jax.vmap(in_axes=axes), got",
    ),
    "axes of other data": (
        lambda: gd.per_sample(gd.Objective(abs, X, axes=(0, 1))),
        ValueError,
        "per_sample: axes must be a tree that the data begin with, as in jax.vmap(in_axes=axes)",
    ),
    "rows of a sparse matrix": (
        lambda: gd.per_sample(gd.Objective(abs, (sparse.BCOO.fromdense(jnp.eye(3)), Y), axes=0)),
        TypeError,
        "per_sample: the data[0] must be an array to take examples from, got "
        "jax.experimental.sparse.bcoo.BCOO float32[3,3]; .todense() makes it one",
    ),
    "sparse features": (
        lambda: gd.least_squares(sparse.BCOO.fromdense(jnp.eye(3)), Y),
        TypeError,
        "X must be an array of real numbers, got jax.experimental.sparse.bcoo.BCOO float32[3,3]; "
        ".todense() makes it one",
    ),
    "loss of a vector": (
        lambda: gd.empirical_risk(lambda p, e: p * e, jnp.ones(3))(START),
        ValueError,
        "empirical_risk: loss(params, example) must return one scalar, shape (), got shape (2,)",
    ),
    "no finite sum": (
        lambda: gd.per_sample(BOWL),
        TypeError,
        "per_sample: the objective must be a finite sum",
    ),
    "chunks of nothing": (
        lambda: gd.per_sample(LINEAR, chunk_size=0),
        ValueError,
        "per_sample: chunk_size must be a whole number, at least 1, got 0",
    ),
    "batch of nothing": (
        lambda: gd.stochastic_descend(LINEAR, START, 0.1, batch_size=0, key=KEY),
        ValueError,
        "stochastic_descend: batch_size must be a whole number, at least 1, got 0",
    ),
    "seed for a key": (
        lambda: gd.stochastic_descend(LINEAR, START, 0.1, batch_size=2, key=0),
        TypeError,
        "stochastic_descend: key must be one jax.random.key(seed), got int 0",
    ),
    "key of another shape": (
        lambda: gd.stochastic_descend(LINEAR, START, 0.1, batch_size=2, key=jnp.zeros(3, "uint32")),
        TypeError,
        "key must be one jax.random.key(seed), got uint32[3]",
    ),
    "curvatures in the wrong order": (
        lambda: gd.schedules.chebyshev(3, 3.0, 1.0),
        ValueError,
        "schedules.chebyshev: mu must be at most L, got 3.0 and 1.0",
    ),
    "closed form of a logistic": (
        lambda: gd.closed_form(gd.logistic(X, [0, 1, 1]), START, 0.1, 3),
        TypeError,
        "closed_form: the objective must be gd.least_squares or gd.quadratic",
    ),
    "facts of another kind": (
        lambda: gd.facts(gd.Objective(abs, facts={"L": 3})),
        TypeError,
        "facts: facts= of an Objective must be gd.Facts or a function of its data, got dict",
    ),
    "not a quadratic": (
        lambda: gd.as_quadratic(gd.logistic(X, [0, 1, 1])),
        TypeError,
        "as_quadratic: the objective must be gd.least_squares or gd.quadratic",
    ),
    "too few parameters to unpack": (
        lambda: gd.unpack(lambda a, b: a)(jnp.ones(3)),
        TypeError,
        "unpack: the function must take 3 arguments, the coordinates and the data, got <lambda>",
    ),
    "tree to unpack": (
        lambda: gd.unpack(lambda a, b: a)((1.0, 2.0)),
        TypeError,
        "unpack: the parameters must be one vector, shape (d,), got tuple (1.0, 2.0)",
    ),
    "three coordinates for two": (
        lambda: gd.landscapes.himmelblau(jnp.zeros(3)),
        ValueError,
        "landscapes.himmelblau: the parameters must be one vector, shape (2,), got float32[3]",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_with_its_sentence(mistake):
    attempt, error, sentence = MISTAKES[mistake]
    with pytest.raises(error) as answer:
        attempt()
    assert sentence in str(answer.value)
    assert "[Chex]" not in str(answer.value)


@pytest.mark.parametrize(
    "mistake",
    [
        "targets as a column",  # shapes, of data
        "start of another length",  # and of parameters,
        "loss of a vector",  # ranks,
        "int objective",  # dtypes,
        "hand-derived column",  # and whole trees
    ],
)
def test_guards_stand_where_the_assertions_of_chex_are_switched_off(mistake):
    chex.disable_asserts()
    try:
        test_a_mistake_is_answered_with_its_sentence(mistake)
    finally:
        chex.enable_asserts()


def test_arrays_on_different_devices_are_named():
    here, there = jax.devices("cpu")[:2]
    data = jax.device_put((X, Y), there)
    with pytest.raises(
        ValueError, match=r"descend: all arrays .* objective on \['.*1'\], start on"
    ):
        descend(gd.least_squares(*data), start=jax.device_put(START, here))


def test_guards_are_silent_where_they_should_be():
    descend(start=np.array([2.0, 1.0]))
    descend(lambda x: x**2, start=2.0)
    descend(lambda p: p["a"] ** 2, start={"a": 1.0, "b": None})
    gd.least_squares([[1], [2]], [True, False])
    gd.logistic(X, np.array([True, False, True]))
    gd.stochastic_descend(LINEAR, START, 0.1, batch_size=3, key=jax.random.PRNGKey(0))


@pytest.mark.parametrize(
    "rule",
    [{"step_size": 0.0}, {"decrease": 0.0}, {"decrease": 1.0}, {"shrink": 0.0}, {"shrink": 1.0}],
    ids=str,
)
def test_open_ranges_do_not_hold_their_ends(rule):
    with pytest.raises(ValueError, match="Backtracking"):
        gd.descend(BOWL, START, gd.Backtracking(**rule), steps=1)


@pytest.mark.parametrize("place", [np.asarray, jnp.asarray], ids=["NumPy", "JAX"])
def test_integers_are_taken_where_the_dtype_holds_them_exactly(place):
    held = np.array([[0, 1, 2**24], [2**24 + 2, -(2**31), 20_000_000]], np.int32)
    data = gd.least_squares(place(held), [1, 1]).data[0]
    assert np.array_equal(np.asarray(data, np.float64), held)
    for integer in (2**24 + 1, -(2**24) - 1, 2**31 - 1):
        with pytest.raises(ValueError, match=f"the integer {integer}, which float32 does not"):
            gd.least_squares(place(np.array([[2**24, integer]], np.int32)), [1])


def test_integers_of_64_bits_are_looked_at_to_the_last():
    kept = gd.least_squares(np.array([[2**63, 3]], np.uint64), [1]).data[0]
    assert kept.tolist() == [[2.0**63, 3.0]]
    assert gd.least_squares(np.array([[-(2**63)]]), [1]).data[0] == -(2.0**63)
    with pytest.raises(ValueError, match="-9223372036854775807, which float32"):
        gd.least_squares(np.array([[1 - 2**63]]), [1])


def test_integers_beyond_the_range_of_a_dtype_are_refused_whatever_their_digits(demand_of_xla):
    demand_of_xla(jnp.float16)
    half = jnp.ones((1, 1), jnp.float16)
    assert gd.least_squares(half, [2**15]).data[1] == 2**15
    with pytest.raises(ValueError, match="65536, which float16 does not"):  # of one digit, and inf
        gd.least_squares(half, [2**16])


def test_a_memory_of_another_precision_is_refused():
    state = gd.begin(BOWL, START, gd.HeavyBall(0.1, 0.5))
    memory = gd.rules.MomentumMemory(state.memory.move.astype(jnp.bfloat16))
    with pytest.raises(ValueError, match="the state must hold the memory of this rule"):
        gd.descend(BOWL, state._replace(memory=memory), gd.HeavyBall(0.1, 0.5), steps=1)


def test_one_bad_step_of_a_traced_schedule_is_told_by_checkify():
    def end(steps):
        return gd.descend(BOWL, START, steps, steps=2).final.value

    error, _ = checkify.checkify(jax.jit(end))(jnp.array([0.1, -0.1]))
    assert "Schedule.step_sizes must be finite and >= 0" in error.get()


def test_the_devices_of_rules_and_keys_are_looked_at_too():
    here, there = jax.devices("cpu")[:2]
    start = jax.device_put(START, here)
    with pytest.raises(ValueError, match="rule on"):
        descend(start=start, rule=jax.device_put(jnp.float32(0.1), there))
    data, key = jax.device_put((X, Y), here), jax.device_put(KEY, there)
    with pytest.raises(ValueError, match="key on"):
        gd.stochastic_descend(gd.least_squares(*data), START, 0.1, batch_size=3, key=key)
