"""Descent: what a run records, how runs compose, where they stop, and the theorems they obey."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import Problem, fractions, problems

import gdpure as gd
from gdpure.specs import bounds, rounding

STEPS = 30
BOWL, START = gd.landscapes.bowl, jnp.array([2.0, 1.0])


@jax.jit
def _run(X, y, start, step_size):
    f = gd.least_squares(X, y)
    return gd.descend(f, start, step_size, steps=STEPS), gd.facts(f)


def _step_size(problem, fraction):
    """A step size that is `fraction` of 1/L, and L of the exact data, from float64."""
    smoothness = 2 * np.linalg.norm(problem.X.astype(float), 2) ** 2 / len(problem.y)
    return np.float32(fraction / smoothness), smoothness


def _evaluations(problem, history):
    rows = np.asarray(history.point)
    return [rounding.least_squares(problem.X, problem.y, row, np.float32) for row in rows]


# -- the record ------------------------------------------------------------------------------------


def test_the_lesson_comes_out_to_the_last_digit():
    run = gd.descend(BOWL, START, 0.1, steps=10)
    assert run.history.value[0] == 5 and run.history.gradient[0].tolist() == [4, 2]
    np.testing.assert_array_almost_equal_nulp(
        np.asarray(run.history.point[1]), np.float32([1.6, 0.8]), nulp=1
    )
    np.testing.assert_allclose(run.final.point, [0.21474834, 0.10737417], rtol=1e-7)
    np.testing.assert_allclose(run.final.value, 0.0576461, rtol=1e-6)
    # Three roundings a row: the step, its subtraction, the squares.
    np.testing.assert_allclose(run.history.value[1:] / run.history.value[:-1], 0.64, rtol=6e-7)


@given(problems(), fractions(), st.sampled_from([0, 1, 7]))
def test_rows_hold_the_start_every_point_and_the_final_state(problem, fraction, steps):
    f = gd.least_squares(problem.X, problem.y)
    step_size, _ = _step_size(problem, fraction)
    run = gd.descend(f, problem.start, step_size, steps=steps)
    assert run.history.point.shape == (steps + 1, problem.start.size)
    assert run.history.value.shape == (steps + 1,)
    np.testing.assert_array_equal(run.history.point[0], problem.start)
    for row, state in zip(run.history, run.final[:3], strict=True):
        np.testing.assert_array_equal(row[-1], state)
    assert run.final.count == steps and run.final.status == gd.Status.RUNNING


@given(problems(), fractions())
def test_value_and_gradient_of_a_row_belong_to_its_point(device, problem, fraction):
    run, _ = _run(*problem, _step_size(problem, fraction)[0])
    for k, exact in enumerate(_evaluations(problem, run.history)):
        assert abs(np.longdouble(run.history.value[k]) - exact.value) <= exact.value_error
        off = abs(np.asarray(run.history.gradient[k], np.longdouble) - exact.gradient)
        assert np.all(off <= exact.gradient_error)


def _worst_step(problem, step_size, points):
    """The largest ratio of a step's error to what rounding explains; above 1 is a wrong step."""
    worst = 0
    for x, x_next in zip(points[:-1], points[1:], strict=True):
        exact = rounding.least_squares(problem.X, problem.y, x, np.float32)
        wanted = x.astype(np.longdouble) - np.longdouble(step_size) * exact.gradient
        allowed = rounding.step(exact, x, step_size, np.float32)
        worst = max(worst, np.max(abs(x_next.astype(np.longdouble) - wanted) / allowed))
    return worst


@given(problems(), fractions())
def test_every_step_is_the_step_of_gradient_descent(device, problem, fraction):
    step_size, _ = _step_size(problem, fraction)
    run, _ = _run(*problem, step_size)
    assert _worst_step(problem, step_size, np.asarray(run.history.point)) <= 1


@pytest.mark.parametrize("bug", ["step 1 % too long", "stale gradient", "coordinates in turn"])
def test_the_step_identity_sees_planted_bugs(bug):
    X, y = np.float32([[1, 1], [1, 2], [1, 3]]), np.float32([1, 2.2, 2.8])
    f, step_size, x, last = gd.least_squares(X, y), np.float32(0.1), np.float32([2, 2]), None
    points = [x]
    for _ in range(3):
        gradient = np.asarray(gd.reverse(f)(x)[1])
        if bug == "coordinates in turn":
            x = x - step_size * gradient * np.float32([1, 0])
            x = x - step_size * np.asarray(gd.reverse(f)(x)[1]) * np.float32([0, 1])
        elif bug == "stale gradient":
            x, last = x - step_size * (gradient if last is None else last), gradient
        else:
            x = x - np.float32(1.01) * step_size * gradient
        points.append(x)
    assert _worst_step(Problem(X, y, points[0]), step_size, points) > 1


# -- theorems --------------------------------------------------------------------------------------


def _check_descent(problem, step_size, smoothness, history):
    """The descent lemma at every step, of exact values and of recorded ones."""
    h = float(step_size) * smoothness
    rows, points = _evaluations(problem, history), np.asarray(history.point)
    values = np.asarray(history.value, np.longdouble)
    for k, (now, after) in enumerate(zip(rows[:-1], rows[1:], strict=True)):
        error = rounding.step(now, points[k], step_size, np.float32)
        promised = h * (2 - h) / (2 * smoothness) * np.sum(now.gradient**2)
        far, slope = np.linalg.norm(error.astype(float)), np.linalg.norm(now.gradient.astype(float))
        floor = abs(1 - h) * slope * far + smoothness * far**2 / 2
        assert after.value <= now.value - promised + floor
        recorded = now.value_error + after.value_error
        assert values[k + 1] <= values[k] - promised + floor + recorded


def _check_rate(problem, step_size, smoothness, history):
    """The proven rate of the gap after 1, 10 and all steps, up to the drift of rounded steps."""
    X, y, start = (np.asarray(a, float) for a in problem)
    nearest = start - np.linalg.pinv(X) @ (X @ start - y)
    errors = [
        np.linalg.norm(rounding.step(exact, x, step_size, np.float32).astype(float))
        for exact, x in zip(_evaluations(problem, history), history.point, strict=True)
    ]
    minimum = rounding.least_squares(X, y, nearest, np.float32).value
    # Extended precision rounds too: both values, by up to a hundred of its units.
    blur = np.sqrt(100 * np.finfo(np.longdouble).eps * minimum)
    for steps in (1, 10, STEPS):
        rate = bounds.value_rate(smoothness, 0.0, float(step_size), steps)
        drift = float(rounding.drift(1.0, errors[:steps])[-1])
        allowed = np.sqrt(rate) * np.linalg.norm(start - nearest) + np.sqrt(smoothness / 2) * drift
        exact = rounding.least_squares(X, y, history.point[steps], np.float32).value
        assert np.sqrt(max(exact - minimum, 0)) <= allowed + blur


@given(problems(), fractions())
def test_values_descend_for_steps_below_2_over_L(device, problem, fraction):
    step_size, smoothness = _step_size(problem, fraction)
    assume(float(step_size) * smoothness < 2)
    _check_descent(problem, step_size, smoothness, _run(*problem, step_size)[0].history)


@given(problems(), fractions())
def test_runs_converge_at_the_proven_rate(device, problem, fraction):
    step_size, smoothness = _step_size(problem, fraction)
    assume(float(step_size) * smoothness < 2)
    _check_rate(problem, step_size, smoothness, _run(*problem, step_size)[0].history)


@pytest.mark.parametrize(("check", "taken"), [(_check_descent, 1.2), (_check_rate, 0.0)])
def test_descent_and_rate_see_steps_of_another_size(check, taken):
    """A fifth too long descends less than promised; no step at all does not converge."""
    X, y = np.float32([[1, 1], [1, 2], [1, 3]]), np.float32([1, 2.2, 2.8])
    problem = Problem(X, y, np.float32([2, 2]))
    step_size, smoothness = _step_size(problem, 1.0)
    check(problem, step_size, smoothness, _run(*problem, step_size)[0].history)
    with pytest.raises(AssertionError):
        check(problem, step_size, smoothness, _run(*problem, taken * step_size)[0].history)


@given(problems([(1, 1), (7, 3)]), st.integers(41, 64).map(lambda k: k / 16))
def test_steps_beyond_2_over_L_are_reported_as_divergence(problem, fraction):
    step_size, _ = _step_size(problem, fraction)
    f = gd.least_squares(problem.X, problem.y)
    top = np.linalg.svd(problem.X.astype(float))[2][0].astype(np.float32)
    final = gd.descend(f, gd.facts(f).minimizer + top, step_size, steps=1000, record=None).final
    assert final.status == gd.Status.DIVERGED
    assert all(np.isfinite(leaf).all() for leaf in final[:3]) and final.count < 1000


# -- composition -----------------------------------------------------------------------------------

SCHEDULE = jnp.linspace(0.01, 0.2, 10)
RULES = {
    "number": 0.1,
    "array": SCHEDULE,
    "ExactLineSearch": gd.ExactLineSearch(),
    "Backtracking": gd.Backtracking(),
    "BarzilaiBorwein": gd.BarzilaiBorwein(0.01),
    "BarzilaiBorwein short": gd.BarzilaiBorwein(0.01, gd.rules.short_step),
    "Polyak": gd.Polyak(0.0),
    "HeavyBall": gd.HeavyBall(0.05, 0.5),
    "Nesterov": gd.Nesterov(0.05, 0.5),
    "adam": optax.adam(0.1),
    "sgd with momentum": optax.sgd(0.05, momentum=0.9, nesterov=True),
    "lbfgs": optax.lbfgs(),
    "optax polyak": optax.polyak_sgd(),
    "optax backtracking": optax.chain(
        optax.sgd(1.0), optax.scale_by_backtracking_linesearch(max_backtracking_steps=15)
    ),
    "optax schedule": optax.sgd(optax.cosine_decay_schedule(0.1, 20)),
    "optax without extra arguments": optax.scale(-0.1),
    "optax injected": optax.inject_hyperparams(optax.adam)(0.1),
    "optax with a random key": optax.noisy_sgd(0.05, key=jax.random.key(0)),
    "optax multistep": optax.MultiSteps(optax.adam(0.1), 2),
}
CURVED = gd.quadratic(jnp.array([[2.0, 0.5], [0.5, 1.0]]), jnp.array([1.0, -1.0]))


@pytest.fixture(params=RULES)
def rule(request):
    """Every rule; optax mixes counts and numbers, which strict promotion forbids it."""
    rule = RULES[request.param]
    foreign = type(rule).__module__.startswith("optax")
    with jax.numpy_dtype_promotion("standard" if foreign else "strict"):
        yield rule


def _part(rule, begin, end):
    return rule[begin:end] if rule is SCHEDULE else rule


def _numbers(tree):
    """A tree with the bits of random keys for the keys."""

    def numbers(x):
        return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x

    return jax.tree.map(numbers, tree)


def test_m_steps_then_n_are_m_plus_n_bitwise(rule):
    whole = gd.descend(CURVED, START, rule, steps=10)
    early = gd.descend(CURVED, START, _part(rule, 0, 4), steps=4)
    late = gd.descend(CURVED, early.final, _part(rule, 4, 10), steps=6)
    rows = jax.tree.map(lambda a, b: jnp.concatenate([a, b[1:]]), early.history, late.history)
    jax.tree.map(np.testing.assert_array_equal, whole.history, rows)
    jax.tree.map(np.testing.assert_array_equal, _numbers(whole.final), _numbers(late.final))


def test_without_rows_the_end_is_the_same(rule):
    with_rows = gd.descend(CURVED, START, rule, steps=10).final
    without = gd.descend(CURVED, START, rule, steps=10, record=None)
    assert without.history is None
    # Two programs: XLA may fuse them differently. The value is of the size of 1, its minimum 0.
    np.testing.assert_allclose(with_rows.value, without.final.value, atol=1e-6)
    assert without.final.count == 10 and without.final.status == gd.Status.RUNNING


def test_descend_is_advance_repeated(rule):
    if rule is SCHEDULE:
        rules = list(SCHEDULE[:4])
    else:
        rules = [rule] * 4
    run = gd.descend(CURVED, START, _part(rule, 0, 4), steps=4)
    state = gd.begin(CURVED, START, rules[0])
    for row, step in enumerate(rules):
        # One step and a scan of steps are two programs; they differ by roundings of a step.
        np.testing.assert_allclose(state.point, run.history.point[row], atol=1e-5)
        assert state.count == row
        state = gd.advance(CURVED, state, step)


def test_a_resumed_run_looks_at_the_objective_it_is_given():
    other = gd.quadratic(jnp.eye(2), jnp.zeros(2))
    onward = gd.descend(other, gd.descend(CURVED, START, 0.1, steps=3).final, 0.1, steps=1)
    x = np.asarray(onward.history.point[0], float)
    np.testing.assert_allclose(onward.history.value[0], x @ x / 2, rtol=1e-6)


def test_zero_steps_are_none_for_an_observed_rule_and_for_a_schedule_too():
    counts = []
    rule = gd.observe(0.1, lambda count, _: counts.append(int(count)))
    assert gd.descend(BOWL, START, rule, steps=0, record=None).final.value == 5
    assert gd.minimize(BOWL, START, rule, max_steps=0).value == 5
    assert gd.minimize(BOWL, START, jnp.zeros(0), max_steps=0).value == 5
    jax.effects_barrier()
    assert counts == []


def test_zero_steps_and_a_step_of_zero_stand_still():
    assert gd.descend(BOWL, START, 0.1, steps=0).history.value.tolist() == [5]
    assert gd.descend(BOWL, START, 0.1, steps=0, record=None).final.value == 5
    assert gd.descend(BOWL, START, jnp.zeros(0), steps=0, record=None).final.value == 5
    assert gd.descend(BOWL, START, 0.0, steps=3).history.value.tolist() == [5, 5, 5, 5]


def test_a_record_keeps_what_is_asked_for():
    run = gd.descend(BOWL, START, gd.Backtracking(), steps=3, record=lambda s: s.memory.step_size)
    assert run.history.tolist() == [0, 0.5, 1, 1]  # at the minimizer the first trial is accepted


# -- the end ---------------------------------------------------------------------------------------


def _cliff(x):
    """Falls along x until 1, is not finite beyond."""
    return jnp.where(x < 1, -x, jnp.nan)


@pytest.mark.parametrize("record", [gd.loop.history, None])
def test_a_diverged_run_keeps_the_last_finite_state_and_says_where(record):
    run = gd.descend(_cliff, 0.0, 0.3, steps=10, record=record)
    assert run.final.status == gd.Status.DIVERGED and run.final.count == 3
    assert run.final.value == -run.final.point and np.isclose(run.final.point, 0.9)
    if record:
        assert np.isfinite(run.history.value).all()
        assert (run.history.point[3:] == run.final.point).all()


def test_a_diverged_state_diverges_again_and_a_smaller_step_goes_on():
    state = gd.descend(_cliff, 0.0, 0.3, steps=10).final
    again = gd.descend(_cliff, state, 0.3, steps=5).final
    assert again.status == gd.Status.DIVERGED and again.count == 3
    assert gd.advance(_cliff, state, 0.3).status == gd.Status.DIVERGED
    assert gd.advance(_cliff, state, 0.01).status == gd.Status.RUNNING


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_a_bad_start_is_row_0_as_given(bad):
    for final in (
        gd.descend(BOWL, START * bad, 0.1, steps=3).final,
        gd.descend(BOWL, START * bad, 0.1, steps=3, record=None).final,
        gd.minimize(BOWL, START * bad, 0.1),
        gd.begin(BOWL, START * bad, 0.1),
    ):
        assert final.status == gd.Status.DIVERGED and final.count == 0


def test_one_bad_lane_does_not_touch_the_others():
    starts = jnp.array([[2.0, 1.0], [jnp.nan, 0.0], [1.0, 1.0]])
    for record in (gd.loop.history, None):
        runs = gd.sweep(BOWL, starts, jnp.array([0.1, 3.0]), steps=200, record=record)
        assert (runs.final.status == jnp.array([[0, 2, 0], [2, 2, 2]])).all()
        alone = gd.descend(BOWL, starts[0], 0.1, steps=200, record=record)
        np.testing.assert_array_equal(runs.final.value[0, 0], alone.final.value)


def test_minimize_stops_at_the_tolerance_and_not_before():
    state = gd.minimize(CURVED, START, 0.1, tolerance=1e-3)
    assert state.status == gd.Status.CONVERGED and abs(state.gradient).max() <= 1e-3
    before = gd.descend(CURVED, START, 0.1, steps=int(state.count) - 1).final
    assert abs(before.gradient).max() > 1e-3


def test_minimize_says_when_the_steps_ran_out_and_goes_on_when_asked():
    early = gd.minimize(CURVED, START, 0.1, max_steps=5)
    assert early.status == gd.Status.RUNNING and early.count == 5
    late = gd.minimize(CURVED, early, 0.1, tolerance=1e-3)
    assert late.count == gd.minimize(CURVED, START, 0.1, tolerance=1e-3).count


def test_minimize_takes_no_step_from_a_minimizer_and_no_nan_for_convergence():
    assert gd.minimize(BOWL, jnp.zeros(2), 0.1, tolerance=0.0).count == 0
    flat_then_nan = gd.minimize(lambda x: jnp.where(x > 0, x**2, jnp.nan), 1.0, 0.6)
    assert flat_then_nan.status == gd.Status.DIVERGED and flat_then_nan.count == 0


def test_minimize_scans_a_schedule():
    steps = jnp.array([0.1, 0.2, 0.3])
    state = gd.minimize(BOWL, START, steps, max_steps=3)
    np.testing.assert_allclose(state.point, gd.descend(BOWL, START, steps, steps=3).final.point)


def test_a_status_is_a_number_a_name_and_a_sentence():
    final = gd.minimize(BOWL, START, 0.25)
    assert gd.Status(int(final.status)).name == "CONVERGED"
    assert all(status.message.endswith(".") for status in gd.Status)


# -- sweeps ----------------------------------------------------------------------------------------


def test_a_sweep_is_every_rule_from_every_start():
    starts, etas = jnp.array([[2.0, 1.0], [0.0, 1.0], [1.0, 1.0]]), jnp.array([0.1, 0.25])
    runs = gd.sweep(CURVED, starts, etas, steps=4)
    assert runs.history.point.shape == (2, 3, 5, 2)
    for r, eta in enumerate(etas):
        for s, start in enumerate(starts):
            alone = gd.descend(CURVED, start, eta, steps=4).history.point
            np.testing.assert_allclose(runs.history.point[r, s], alone, atol=1e-6)


@pytest.mark.parametrize(
    "rules",
    [
        np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]]),
        gd.HeavyBall(jnp.array([0.1, 0.2]), momentum=0.5),
        gd.Backtracking(shrink=np.array([0.5, 0.25])),
        [0.1, 0.2],
    ],
)
def test_sweeps_take_schedules_and_rules_with_a_leading_axis(rules):
    assert gd.sweep(CURVED, START[None], rules, steps=3).final.value.shape == (2, 1)


def test_a_row_of_a_batch_does_not_see_the_others():
    starts = jnp.array([[2.0, 1.0], [0.5, 0.5]])
    spoiled = starts.at[1].set(jnp.nan)
    a, b = (gd.sweep(CURVED, s, jnp.array([0.1]), steps=5).history.point for s in (starts, spoiled))
    np.testing.assert_array_equal(a[0, 0], b[0, 0])


# -- transformations of JAX ------------------------------------------------------------------------


def test_new_numbers_compile_nothing(compilations):
    X, y, start = np.eye(3, 2, dtype=np.float32), np.ones(3, np.float32), np.zeros(2, np.float32)
    numbers = [0.2, np.float32(0.3), np.float64(0.1), jnp.asarray(0.1), jnp.float32(0.4), 0]

    def calls(scale):
        f = gd.least_squares(scale * X, scale * y)
        for number in numbers:
            gd.descend(f, start + scale, number, steps=3)
            gd.minimize(f, start + scale, number, max_steps=3)
            gd.advance(f, gd.begin(f, start, number), number)
        gd.sweep(f, jnp.asarray([start, start + scale]), scale * jnp.array([0.1, 0.2]), steps=3)

    calls(np.float32(1))
    with compilations() as compiled:
        calls(np.float32(2))
    assert compiled() == 0


def test_runs_can_be_jitted_vmapped_checkpointed_and_evaluated_abstractly():
    def final_value(start):
        return gd.descend(CURVED, start, 0.1, steps=5, record=None).final.value

    wanted = final_value(START)
    np.testing.assert_allclose(jax.jit(final_value)(START), wanted, rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(final_value)(START[None])[0], wanted, rtol=1e-6)
    np.testing.assert_allclose(jax.checkpoint(final_value)(START), wanted, rtol=1e-6)
    assert jax.eval_shape(final_value, jax.ShapeDtypeStruct((2,), jnp.float32)).shape == ()


@pytest.mark.parametrize("record", [gd.loop.history, None])
@pytest.mark.parametrize("mode", [jax.jacrev, jax.jacfwd])
def test_derivatives_through_a_run_are_those_of_its_closed_form(mode, record):
    eta, steps = 0.1, 6

    def end(start, eta):
        return gd.descend(CURVED, start, eta, steps=steps, record=record).final.point

    hessian, minimizer, _ = (np.asarray(x, float) for x in CURVED.data)
    step = np.eye(2) - eta * hessian
    wanted = np.linalg.matrix_power(step, steps)
    np.testing.assert_allclose(mode(end)(START, eta), wanted, atol=1e-6)
    error = np.asarray(START) - minimizer
    by_eta = -steps * hessian @ np.linalg.matrix_power(step, steps - 1) @ error
    np.testing.assert_allclose(mode(end, argnums=1)(START, eta), by_eta, atol=1e-5)


def test_derivatives_through_data_and_under_vmap():
    def end(y):
        return gd.descend(gd.least_squares(jnp.eye(2), y), START, 0.5, steps=1).final.point

    assert jax.jacrev(end)(jnp.ones(2)).tolist() == [[0.5, 0], [0, 0.5]]
    assert jax.vmap(jax.jacrev(end))(jnp.ones((3, 2))).shape == (3, 2, 2)


def test_parameters_may_be_any_tree():
    def f(p):
        return jnp.sum(p["w"] ** 2) + p["b"][0] ** 2

    start = {"w": jnp.ones((2, 2)), "b": (jnp.array(3.0), None)}
    run = gd.descend(f, start, 0.25, steps=2)
    assert run.history.point["w"].shape == (3, 2, 2)
    assert run.final.point["b"][0] == 0.75 and run.final.point["b"][1] is None


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
@pytest.mark.parametrize("name", [n for n in RULES if n in dir(gd) or n in ("number", "array")])
def test_dtypes_are_kept_even_under_x64(name, dtype, demand_of_xla):
    with jax.enable_x64(True):
        demand_of_xla(dtype)
        start = jnp.array([2, 1], dtype)
        final = gd.descend(BOWL, start, RULES[name], steps=10).final
        assert final.point.dtype == final.value.dtype == final.gradient.dtype == start.dtype
        assert final.value < 5
        minimized = jax.eval_shape(lambda x: gd.minimize(BOWL, x, RULES[name], max_steps=10), start)
        assert minimized.point.dtype == start.dtype


def test_a_run_is_pure():
    rows = [gd.descend(CURVED, START, 0.1, steps=20).history for _ in range(2)]
    jax.tree.map(np.testing.assert_array_equal, *rows)
    assert START.tolist() == [2, 1]
