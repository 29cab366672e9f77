"""The loop at its edges: where a run ends, how it goes on, and that every argument is used."""

import jax
import jax.experimental
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend.core import jaxprs_in_params

import gdpure as gd

BOWL, START = gd.landscapes.bowl, jnp.array([2.0, 1.0])
KEY = jax.random.key(0)
BOTH = pytest.mark.parametrize("record", [gd.loop.history, None], ids=["rows", "no rows"])


def _cliff(x):
    return jnp.where(x < 1, -x, jnp.nan)


@BOTH
def test_a_gradient_that_is_not_finite_ends_a_run_though_its_value_is(record):
    final = gd.descend(jnp.sqrt, 0.25, 0.25, steps=1, record=record).final
    assert final.status == gd.Status.DIVERGED and final.count == 0 and final.point == 0.25


@BOTH
def test_a_point_that_is_not_finite_ends_a_run_though_its_value_is(record):
    # exp(-x) falls to 0 at infinity, where value and gradient are 0.
    final = gd.descend(lambda x: jnp.exp(-x), -80.0, 1e5, steps=1, record=record).final
    assert final.status == gd.Status.DIVERGED and final.count == 0 and final.point == -80


def _gap(low, high):
    """Falls to the left with slope 1, has no value between two numbers."""
    return gd.Objective(
        lambda x, _: jnp.where((x > low) & (x < high), jnp.nan, x),
        gradient=lambda x, _: jnp.ones_like(x),
    )


def test_a_run_that_left_the_domain_does_not_come_back():
    run = gd.descend(_gap(1, 2), 2.5, 0.5, steps=5)
    assert run.history.point.tolist() == [2.5, 2, 2, 2, 2, 2]
    assert run.final.status == gd.Status.DIVERGED and run.final.count == 1


@BOTH
def test_a_start_outside_the_domain_is_the_end(record):
    final = gd.descend(_gap(1, 2), 1.5, 0.5, steps=3, record=record).final
    assert final.status == gd.Status.DIVERGED and final.count == 0 and final.point == 1.5


@BOTH
def test_a_diverged_run_keeps_the_memory_of_its_last_finite_state(record):
    rule = gd.HeavyBall(0.25, 0.5)
    final = gd.descend(_cliff, 0.0, rule, steps=9, record=record).final  # 0, 1/4, 5/8, 17/16
    assert final.count == 2 and final.point == 0.625 and final.memory.move == 0.375
    after = gd.advance(_cliff, final, rule)
    assert after.memory.move == 0.375 and after.count == 2


def test_differentiating_does_not_change_a_diverged_run():
    def end(start):
        final = gd.descend(_cliff, start, 0.3, steps=10, record=None).final
        return final.point, final

    (point, final), _ = jax.value_and_grad(end, has_aux=True)(0.0)
    assert np.isclose(point, 0.9) and final.count == 3 and final.status == gd.Status.DIVERGED


@BOTH
def test_a_resumed_schedule_that_diverges_counts_its_own_steps(record):
    state = gd.descend(_cliff, 0.0, 0.3, steps=2).final
    onward = jnp.array([0.25, 0.0, 0.5, 0.0])
    final = gd.descend(_cliff, state, onward, steps=4, record=record).final
    assert final.count == 4 and np.isclose(final.point, 0.85)


def test_a_run_without_rows_goes_on_as_one_with_rows():
    state = gd.descend(BOWL, START, 0.125, steps=3).final
    onward = gd.descend(BOWL, state, 0.125, steps=4, record=None).final
    assert onward.count == 7 and onward.status == gd.Status.RUNNING
    np.testing.assert_allclose(onward.point, START * 0.75**7)
    edge = gd.descend(_cliff, 0.0, 0.3, steps=2).final
    assert gd.descend(_cliff, edge, 0.3, steps=5, record=None).final.count == 3


def test_a_flat_nan_is_not_converged():
    assert gd.minimize(lambda x: 0 * x + jnp.nan, 1.0, 0.1).status == gd.Status.DIVERGED


def test_minimize_waits_for_every_leaf():
    start = {"a": jnp.zeros(2), "b": jnp.ones(2)}
    final = gd.minimize(lambda p: jnp.sum(p["a"] ** 2) + jnp.sum(p["b"] ** 2), start, 0.25)
    assert final.status == gd.Status.CONVERGED and abs(final.gradient["b"]).max() <= 1e-6


def test_a_resumed_minimize_has_all_its_steps_and_its_own_schedule():
    early = gd.minimize(BOWL, START, 0.125, max_steps=2)
    assert gd.minimize(BOWL, early, 0.125, max_steps=2).count == 4
    late = gd.minimize(BOWL, early, jnp.array([0.25, 0.0]), max_steps=2)
    np.testing.assert_array_equal(late.point, early.point / 2)


WRONG = gd.Objective(lambda x, e: jnp.mean((x - e) ** 2), jnp.zeros(4), lambda x, e: 0 * x, axes=0)


@pytest.mark.parametrize(
    "end",
    [
        lambda way: gd.advance(WRONG, gd.begin(WRONG, 1.0, 0.25, gradient=way), 0.25, gradient=way),
        lambda way: gd.descend(WRONG, 1.0, 0.25, steps=1, gradient=way).final,
        lambda way: gd.descend(WRONG, 1.0, 0.25, steps=1, gradient=way, record=None).final,
        lambda way: gd.minimize(WRONG, 1.0, 0.25, max_steps=1, gradient=way),
        lambda way: jax.tree.map(
            lambda x: x[0, 0],
            gd.sweep(WRONG, jnp.ones(1), jnp.full(1, 0.25), steps=1, gradient=way).final,
        ),
        lambda way: (
            gd.stochastic_descend(
                WRONG, 1.0, 0.25, batch_size=4, epochs=1, key=KEY, gradient=way
            ).final
        ),
    ],
    ids=["advance", "descend", "lean", "minimize", "sweep", "stochastic"],
)
def test_gradient_is_used_at_every_point(end):
    final = end(gd.reverse)
    assert final.point == 0.5 and final.gradient == 1


def test_a_sweep_records_what_is_asked_for():
    etas = jnp.array([0.25, 0.5])
    assert gd.sweep(BOWL, START[None], etas, steps=1, record=None).history is None
    runs = gd.sweep(BOWL, START[None], etas, steps=1, record=lambda s: s.value)
    assert runs.history.tolist() == [[[5, 1.25]], [[5, 0]]]


@pytest.mark.parametrize("status", gd.Status)
def test_a_status_says_what_to_do(status):
    words = {
        "RUNNING": "ran out",
        "CONVERGED": "tolerance",
        "DIVERGED": "not finite",
        "STALLED": "raise the tolerance, use float64, or take another rule",
    }
    assert words[status.name] in status.message


# -- runs without rows -----------------------------------------------------------------------------

STEPS = 103  # no multiple of what lies between two states that are judged


def _pair(p):
    return p[0] ** 2 + p[1] ** 2


def _counted(seen):
    def gradient(x, _):
        return jax.pure_callback(
            lambda x: (seen.append(1), 2 * x)[1], x, x, vmap_method="sequential"
        )

    return gd.Objective(lambda x, _: jnp.sum(x**2), gradient=gradient)


FUNCTIONS = {  # the largest number on the way to the value is so many |x|^2; the gradient is b x
    "arithmetic": (_pair, tuple, 1, 2),
    "slices": (_pair, lambda x: x, 1, 2),
    "products": (gd.least_squares(2 * jnp.eye(2), jnp.zeros(2)), lambda x: x, 4, 4),
}


def _ends(start, factor, most, slope):
    """The last point that is finite with its value and gradient, and after how many steps."""
    points = [x * float(factor) ** np.arange(STEPS + 1) for x in start]
    values = np.float32(most * (points[0] ** 2 + points[1] ** 2))
    slopes = np.float32(slope * np.abs(points).max(0))
    count = int((np.isfinite(values) & np.isfinite(slopes)).cumprod().sum()) - 1
    return [x[count] for x in points], count


@pytest.mark.parametrize("unroll", [None, 1, 4])
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_sweep_of_which_half_diverges_ends_as_exact_arithmetic_does(name, unroll):
    f, form, most, slope = FUNCTIONS[name]
    factors = np.float32([0.5, -2, 0, -4, 0.5] + 32 * [-2])  # of each step
    etas = jnp.asarray((1 - factors) / slope)
    starts = np.float32([[2, 1], [1, 3], [1, 1], [2**-9, 5], [8, 8]])
    late = 2.0 ** -np.arange(
        32, dtype=np.float32
    )  # to end at any place between two that are judged
    starts = np.concatenate([starts, np.stack([late, late / 2], 1)])

    def end(start, eta):
        return gd.descend(f, form(start), eta, steps=STEPS, record=None, unroll=unroll).final

    ends = jax.vmap(end)(starts, etas)
    for k, (start, factor) in enumerate(zip(starts, factors, strict=True)):
        point, count = _ends(start, factor, most, slope)
        lane = jax.tree.map(lambda x, k=k: x[k], ends)
        assert lane.count == count, k
        assert np.ravel(lane.point).tolist() == point
        wanted = gd.Status.RUNNING if count == STEPS else gd.Status.DIVERGED
        assert lane.status == wanted


@pytest.mark.parametrize("f", [BOWL, gd.least_squares(jnp.eye(2), jnp.zeros(2))])
def test_a_run_that_a_schedule_throws_out_does_not_go_on_with_later_steps(f):
    etas = jnp.full(STEPS, 2.0**-9).at[40].set(1e38)
    final = gd.descend(f, 16 * START, etas, steps=STEPS, record=None).final
    rows = gd.descend(f, 16 * START, etas, steps=STEPS).final
    assert final.status == rows.status == gd.Status.DIVERGED and final.count == rows.count == 40


@pytest.mark.parametrize("eta", [0.25, 1.5])
def test_few_steps_are_made_twice_where_a_run_diverges(eta):
    seen, steps = [], 400
    start = START * 2.0**-100  # with steps of 3/2 it ends near the 160th
    final = gd.descend(_counted(seen), start, eta, steps=steps, record=None).final
    jax.effects_barrier()
    assert (final.status == gd.Status.DIVERGED) == (eta > 1)
    # One look at the start and one a step; the steps of one stride are made twice.
    assert len(seen) <= steps + 1 + (gd.runs._STRIDE if eta > 1 else 0)


@pytest.mark.parametrize("width", [1, 40])
def test_what_is_not_finite_for_a_while_is_seen_if_it_is_so_where_it_is_judged(width):
    gap = _gap(97.0 - width, 98.0)  # x falls by 1 a step, from 100; 97 has no value
    final = gd.descend(gap, 100.0, 1.0, steps=100, record=None).final
    if width == 1:
        assert final.status == gd.Status.RUNNING and final.point == 0 and final.count == 100
    else:
        assert final.status == gd.Status.DIVERGED and final.point == 98 and final.count == 2


@pytest.mark.parametrize(
    ("f", "start", "rule", "wanted"),
    [
        (_pair, (2.0, 1.0), 0.1, (8, 8)),
        (BOWL, START, gd.HeavyBall(0.1, 0.5), (4, 8)),  # two numbers need each other
        (_pair, START, 0.1, (8, 8)),  # slices
        (lambda p: jnp.exp(p[0] - p[1]), START, 0.1, (1, 8)),  # more than arithmetic
        (lambda p: (p[0] + p[1] * p[2]) ** 2, (1.0, 1.0, 1.0), 0.1, (2, 8)),  # all need all
        (gd.quadratic(jnp.eye(9), jnp.ones(9)), jnp.zeros(9), 0.1, (1, 8)),  # a product
        (BOWL, START, gd.Backtracking(), (1, 1)),  # a loop
        (_counted([]), START, 0.1, (1, 1)),  # a callback
        (lambda p: sum(x**2 for x in p), (1.0,) * 200, 0.1, (1, 1)),  # a program of thousands
    ],
    ids=[
        "arithmetic",
        "memory",
        "slices",
        "functions",
        "coupled",
        "product",
        "loop",
        "callback",
        "large",
    ],
)
def test_steps_are_unrolled_by_what_they_do(monkeypatch, f, start, rule, wanted):
    for platform, many in zip(("cpu", "gpu"), wanted, strict=True):
        monkeypatch.setattr(gd.loop, "unrolled", lambda *_, name=platform: name)
        monkeypatch.setattr(gd.calls, "_known", {})  # to which both are calls of one form
        run = jax.make_jaxpr(lambda: gd.descend(f, start, rule, steps=121, record=None).final)()
        assert max(_unrolled(run.jaxpr)) == many


def _unrolled(jaxpr):
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            yield equation.params["unroll"]
        for sub in jaxprs_in_params(equation.params):
            yield from _unrolled(sub)


@pytest.mark.parametrize("wrong", [0, 2.5, "4"])
def test_unroll_is_a_number_of_steps(wrong):
    with pytest.raises((TypeError, ValueError), match="descend: unroll must be"):
        gd.descend(BOWL, START, 0.1, steps=3, unroll=wrong)


# -- derivatives of what is returned ---------------------------------------------------------------

H, X0 = 8.0, 4.0


def _lost(h, x, record):
    """Steps on the root of x: from 4 to 4 - h/4, and then out of the domain."""
    return gd.descend(jnp.sqrt, x, h, steps=4, record=record)


@pytest.mark.parametrize(
    "derivative",
    [
        jax.grad,
        jax.jacfwd,
        lambda f, at: lambda *x: jax.vmap(jax.grad(f, at))(*(jnp.stack([a, a]) for a in x))[0],
        lambda f, at: (
            lambda *x: jax.grad(lambda *x: jax.vmap(f)(*x)[1] + jax.vmap(f)(*x)[0] * 0, at)(
                *(jnp.stack([a / 2, a]) for a in x)
            )[1]
        ),
    ],
    ids=["reverse", "forward", "vmap of reverse", "reverse of vmap"],
)
@BOTH
def test_the_derivative_of_a_run_that_diverges_is_that_of_its_last_finite_state(record, derivative):
    def value(h, x):
        run = _lost(h, x, record)
        return run.final.value if record is None else run.history.value.sum()

    h, x = jnp.float32(H), jnp.float32(X0)
    assert _lost(h, x, record).final.status == gd.Status.DIVERGED
    # x1 = x - h / (2 sqrt x), of which all later rows repeat the value; row 0 is sqrt x.
    x1, rows = X0 - H / (2 * X0**0.5), 1 if record is None else 4
    by_x1 = rows / (2 * x1**0.5)
    by_h, by_x = -by_x1 / (2 * X0**0.5), by_x1 * (1 + H / (4 * X0**1.5))
    by_x += 0 if record is None else 1 / (2 * X0**0.5)
    np.testing.assert_allclose(derivative(value, 0)(h, x), by_h, rtol=1e-5)
    np.testing.assert_allclose(derivative(value, 1)(h, x), by_x, rtol=1e-5)


@BOTH
def test_a_step_that_was_not_taken_has_no_derivative(record):
    def value(h, data):
        f = gd.empirical_risk(lambda x, e: e * (x - jnp.log(x)), data)
        step = gd.descend(f, 2.0, h, steps=3, record=record).final
        epochs = gd.stochastic_descend(
            f, 2.0, h, batch_size=2, epochs=2, key=KEY, record=record
        ).final
        return step.point + epochs.point

    slopes = jax.grad(value, (0, 1))(5.0, jnp.array([1.0, 2.0, 3.0]))
    assert slopes[0] == 0 and slopes[1].tolist() == [0, 0, 0]


@BOTH
def test_derivatives_reach_what_a_foreign_rule_has_in_its_closures(record):
    def ours(h):
        return gd.descend(BOWL, START, optax.adam(h), steps=3, record=record).final.value

    def theirs(h):
        rule, x = optax.adam(h), START
        memory = rule.init(x)
        for _ in range(3):
            updates, memory = rule.update(jax.grad(BOWL)(x), memory)
            x = optax.apply_updates(x, updates)
        return BOWL(x)

    with jax.numpy_dtype_promotion("standard"):
        wanted = jax.grad(theirs)(0.1)
        # Three steps of the same operations in another order: some hundred roundings.
        for found in (jax.grad(ours)(0.1), jax.jit(jax.grad(ours))(0.1)):
            np.testing.assert_allclose(found, wanted, rtol=100 * 2**-23)


@BOTH
def test_second_derivatives_are_those_of_the_closed_form(record):
    def end(eta):
        return gd.descend(BOWL, START, eta, steps=3, record=record).final.value

    # 5 (1 - 2 eta)^6
    for second in (jax.grad(jax.grad(end)), jax.jacfwd(jax.grad(end))):
        np.testing.assert_allclose(second(0.1), 5 * 30 * 4 * 0.8**4, rtol=1e-5)


def test_an_observed_run_can_be_differentiated_and_reports_once():
    seen = []
    rule = gd.observe(0.25, lambda count, value: seen.append(int(count)), every=2)
    slope = jax.grad(lambda x: gd.descend(BOWL, x, rule, steps=3, record=None).final.value)(START)
    jax.effects_barrier()
    assert seen == [0, 2] and np.allclose(slope, 2 * START / 64)


# -- surroundings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule",
    [
        0.1,
        gd.HeavyBall(0.1, 0.5),
        gd.ExactLineSearch(),
        gd.Backtracking(),
        gd.BarzilaiBorwein(0.1),
        gd.Polyak(0.0),
        optax.adam(0.1),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_every_rule_runs_in_a_shard_of_a_mesh(rule):
    devices = np.array(jax.devices("cpu")[:2])
    mesh, spec = jax.sharding.Mesh(devices, ("d",)), jax.sharding.PartitionSpec("d")
    starts = np.array([[2.0, 1.0], [1.0, 3.0]], np.float32)

    def ends(x):
        rows = gd.descend(BOWL, x[0], rule, steps=3).final.value
        lean = gd.descend(BOWL, x[0], rule, steps=3, record=None).final.value
        flat = gd.minimize(BOWL, x[0], rule, max_steps=3).value
        return jnp.stack([rows, lean, flat])[None]

    with jax.numpy_dtype_promotion("standard"):
        over = jax.shard_map(ends, mesh=mesh, in_specs=spec, out_specs=spec)(starts)
        for row, start in zip(over, starts, strict=True):
            np.testing.assert_allclose(row, ends(start[None])[0], atol=10 * 2**-23)


@pytest.mark.parametrize(
    "make",
    [
        lambda X, y: gd.least_squares(X, y),
        lambda X, y: gd.logistic(X, y > 0, ridge=0.5),
        lambda X, y: lambda p: jnp.mean((X @ p - y) ** 2),
    ],
    ids=["least squares", "logistic", "function"],
)
def test_a_rule_may_try_points_in_a_precision_of_its_own(make):
    """With x64 on, the line search of optax evaluates float32 objectives at float64 points."""
    rng = np.random.default_rng(0)
    X, y = (rng.standard_normal(shape).astype(np.float32) for shape in ((20, 3), 20))
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        final = gd.descend(make(X, y), np.zeros(3, np.float32), optax.lbfgs(), steps=5).final
    assert final.point.dtype == final.value.dtype == np.float32
    assert final.status == gd.Status.RUNNING and abs(final.gradient).max() < 0.1


def test_what_records_by_a_callback_still_does():
    seen = []

    def record(state):
        jax.experimental.io_callback(lambda value: seen.append(float(value)), None, state.value)
        return state.value

    run = gd.descend(BOWL, START, 0.25, steps=2, record=record)
    jax.effects_barrier()
    assert set(seen) == set(run.history.tolist()) == {5, 1.25, 0.3125}
