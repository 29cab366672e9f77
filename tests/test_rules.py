"""Rules: each against its own recurrence in float64, against optax, and against its theorem."""

from dataclasses import dataclass, make_dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.experimental import checkify
from jax.extend.core import jaxprs_in_params

import gdpure as gd

HESSIAN, MINIMIZER = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([1.0, -1.0])
CURVED = gd.quadratic(HESSIAN, MINIMIZER)
START = jnp.array([3.0, 2.0])
BOWL = gd.landscapes.bowl
STEPS = 8


def _gap(x):
    r = x - MINIMIZER
    return r @ HESSIAN @ r / 2


def _gradient(x):
    return HESSIAN @ (x - MINIMIZER)


# -- recurrences -----------------------------------------------------------------------------------


def _exact_line_search(points):
    g = _gradient(points[-1])
    return points[-1] - (g @ g / (g @ HESSIAN @ g) * g if g.any() else 0)


def _backtracking(points):
    x, g, eta = points[-1], _gradient(points[-1]), 1.0
    while _gap(x - eta * g) > _gap(x) - 1e-4 * eta * g @ g:
        eta /= 2
    return x - eta * g


def _barzilai_borwein(quotient):
    def following(points):
        x, g = points[-1], _gradient(points[-1])
        if len(points) == 1:
            return x - 0.1 * g
        s, y = x - points[-2], g - _gradient(points[-2])
        return x - (quotient(s, y) if s.any() else 0.1) * g

    return following


def _polyak(points):
    g = _gradient(points[-1])
    return points[-1] - (_gap(points[-1]) / (g @ g) * g if g.any() else 0)


def _heavy_ball(points):
    last = points[-2] if len(points) > 1 else points[-1]
    return points[-1] - 0.3 * _gradient(points[-1]) + 0.5 * (points[-1] - last)


def _nesterov(points):
    """From the y alone: x_k = y_{k-1} - eta g(y_{k-1}), and x_0 = y_0."""
    ahead = points[-1] - 0.3 * _gradient(points[-1])
    x = points[-2] - 0.3 * _gradient(points[-2]) if len(points) > 1 else points[-1]
    return ahead + 0.5 * (ahead - x)


RECURRENCES = {
    "Constant": (gd.Constant(0.3), lambda points: points[-1] - 0.3 * _gradient(points[-1])),
    "ExactLineSearch": (gd.ExactLineSearch(), _exact_line_search),
    "Backtracking": (gd.Backtracking(), _backtracking),
    "BarzilaiBorwein long": (
        gd.BarzilaiBorwein(0.1),
        _barzilai_borwein(lambda s, y: s @ s / (s @ y)),
    ),
    "BarzilaiBorwein short": (
        gd.BarzilaiBorwein(0.1, gd.rules.short_step),
        _barzilai_borwein(lambda s, y: s @ y / (y @ y)),
    ),
    "Polyak": (gd.Polyak(0.0), _polyak),
    "HeavyBall": (gd.HeavyBall(0.3, 0.5), _heavy_ball),
    "Nesterov": (gd.Nesterov(0.3, 0.5), _nesterov),
}


def _farthest(points, following):
    """The largest distance of a row from where the recurrence leads from the rows before it."""
    points = np.asarray(points, float)
    return max(np.abs(points[k] - following(list(points[:k]))).max() for k in range(1, len(points)))


@pytest.mark.parametrize("name", RECURRENCES)
def test_every_row_follows_the_recurrence(device, name):
    rule, following = RECURRENCES[name]
    with jax.enable_x64(True):
        f = gd.quadratic(HESSIAN, MINIMIZER)
        points = gd.descend(f, np.array([3.0, 2.0]), rule, steps=STEPS).history.point
    # A step takes fewer than 100 roundings of numbers below 4; differences are divided by moves
    # down to 1e-4, which keeps 1e-16 * 100 * 4 / 1e-4.
    assert _farthest(points, following) <= 1e-9


@pytest.mark.parametrize("name", RECURRENCES)
def test_the_recurrence_tells_the_rules_apart(name):
    """Every other rule is a planted bug: its rows must not pass for this one's."""
    _, following = RECURRENCES[name]
    for other, (rule, _) in RECURRENCES.items():
        if other != name:
            points = gd.descend(CURVED, START, rule, steps=STEPS).history.point
            assert _farthest(points, following) > 1e-4, other


# -- beside optax ----------------------------------------------------------------------------------

SAME = {
    "Constant": (gd.Constant(0.3), optax.sgd(0.3)),
    "HeavyBall": (gd.HeavyBall(0.3, 0.5), optax.sgd(0.3, momentum=0.5)),
    "Nesterov": (gd.Nesterov(0.3, 0.5), optax.sgd(0.3, momentum=0.5, nesterov=True)),
    "Polyak": (gd.Polyak(0.0), optax.polyak_sgd(max_learning_rate=1e6, eps=0.0)),
}


@pytest.mark.parametrize("name", SAME)
def test_ours_is_optax_where_both_exist(name):
    with jax.numpy_dtype_promotion("standard"):
        ours, theirs = (gd.descend(CURVED, START, rule, steps=STEPS) for rule in SAME[name])
    # The same recurrence in another order of products: a few roundings of numbers below 8 a step.
    np.testing.assert_allclose(ours.history.point, theirs.history.point, atol=STEPS * 8 * 2**-22)


@pytest.mark.parametrize("name", RECURRENCES)
def test_our_rules_step_inside_optax(name):
    rule, _ = RECURRENCES[name]
    inside = optax.chain(
        optax.identity(), optax.GradientTransformationExtraArgs(rule.init, rule.update)
    )
    alone = gd.descend(CURVED, START, rule, steps=3).history.point
    params, memory = START, inside.init(START)
    for row in alone:
        np.testing.assert_allclose(params, row, atol=1e-5)
        value, grad = jax.value_and_grad(CURVED)(params)
        updates, memory = inside.update(
            grad, memory, params, value=value, grad=grad, value_fn=CURVED
        )
        params = optax.apply_updates(params, updates)


def test_a_constant_rule_chains_as_it_is():
    clipped = optax.chain(optax.clip(1.0), gd.Constant(0.5))
    run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 0.25]), clipped, steps=1)
    assert run.final.point.tolist() == [1.5, 0]


# -- theorems of single rules ----------------------------------------------------------------------


def test_exact_line_search_attains_its_worst_case():
    """On (mu a^2 + L b^2)/2 from (1/mu, 1/L) every step is the worst: ((L - mu)/(L + mu))^2."""
    with jax.enable_x64(True):
        f = gd.quadratic(np.diag([1.0, 4.0]), np.zeros(2))
        run = gd.descend(f, np.array([1.0, 0.25]), gd.ExactLineSearch(), steps=STEPS).history
        gradients, values = np.asarray(run.gradient), np.asarray(run.value)
    np.testing.assert_allclose(values[1:] / values[:-1], (3 / 5) ** 2, rtol=1e-12)
    assert np.abs(np.sum(gradients[1:] * gradients[:-1], axis=1)).max() < 1e-15


def test_exact_line_search_says_that_a_line_has_no_lowest_point():
    final = gd.descend(gd.landscapes.saddle, jnp.array([0.0, 1.0]), gd.ExactLineSearch(), steps=5)
    assert final.final.status == gd.Status.DIVERGED and final.final.count == 0


SMOOTHNESS = st.integers(-6, 10).map(lambda k: 2.0**k)


@jax.jit
def _armijo(smoothness, x, rule):
    f = gd.quadratic(smoothness[None, None], jnp.zeros(1))
    return gd.descend(f, x[None], rule, steps=1)


def _breaks_armijo(run, smoothness, rule):
    """Whether a step breaks its contract: enough descent, and no shorter than it has to be."""
    x, x_next = (float(row[0]) for row in run.history.point)
    memory = jax.tree.map(float, run.final.memory)
    eta, slope = memory.step_size, (smoothness * x) ** 2
    decrease = smoothness / 2 * (x**2 - x_next**2)
    # Powers of two throughout: f, g and the trials are exact, the promise is rounded twice.
    too_little = decrease < rule.decrease * eta * slope * (1 - 2**-22)
    least = min(rule.step_size, 2 * rule.shrink * (1 - rule.decrease) / smoothness)
    return memory.accepted and (too_little or eta < least * (1 - 2**-20))


@given(SMOOTHNESS, st.sampled_from([-4.0, 0.5, 1.0]), st.sampled_from([1e-4, 0.25, 0.5]))
def test_armijo_descends_enough_and_shrinks_no_more_than_it_must(smoothness, x, decrease):
    rule = gd.Backtracking(decrease=decrease)
    run = _armijo(jnp.float32(smoothness), jnp.float32(x), rule)
    assert run.final.memory.accepted and not _breaks_armijo(run, smoothness, rule)


def test_the_armijo_contract_sees_a_step_that_was_never_tested():
    memory = gd.rules.BacktrackingMemory(1.0, 0, True)
    run = gd.descend(gd.landscapes.bowl, jnp.array([1.0, 0.0]), 1.0, steps=1)
    run = run._replace(final=run.final._replace(memory=memory))
    assert _breaks_armijo(run, 2.0, gd.Backtracking())


def test_an_exhausted_budget_is_reported_and_no_step_is_taken():
    steep = gd.quadratic(jnp.array([[2.0**20]]), jnp.zeros(1))
    run = gd.descend(steep, jnp.ones(1), gd.Backtracking(max_backtracks=3), steps=2)
    assert not run.final.memory.accepted and run.final.memory.step_size == 0
    assert run.history.point.tolist() == [[1], [1], [1]] and run.final.memory.backtracks == 3


def test_barzilai_borwein_steps_lie_between_1_over_L_and_1_over_mu():
    with jax.enable_x64(True):
        f = gd.quadratic(np.diag([1.0, 3.0, 10.0]), np.zeros(3))
        long, short = (
            gd.descend(f, np.ones(3), gd.BarzilaiBorwein(0.05, q), steps=12, record=_step_size)
            for q in (gd.rules.long_step, gd.rules.short_step)
        )
    for run in (long, short):
        steps = np.asarray(run.history)[2:]
        assert np.all((steps >= 0.1 * (1 - 1e-12)) & (steps <= 1 + 1e-12))
    assert long.history[2] >= short.history[2]


def _step_size(state):
    return state.memory.step_size


@pytest.mark.parametrize("size", [1e-18, 1e-9, 1e9, 1e18])
@pytest.mark.parametrize(
    "rule", [gd.ExactLineSearch(), gd.BarzilaiBorwein(0.125), gd.Polyak(0.0), gd.Backtracking(0.25)]
)
def test_rules_do_not_lose_their_step_where_squares_leave_the_range(rule, size):
    """f = |x|^2 with x and g of extreme size; steps are the same at every scale."""
    start = jnp.float32(size) * jnp.array([1.0, 0.5])
    wanted = gd.descend(gd.landscapes.bowl, jnp.array([1.0, 0.5]), rule, steps=1).final
    scaled = gd.descend(gd.landscapes.bowl, start, rule, steps=1).final
    np.testing.assert_allclose(scaled.point / size, wanted.point, atol=1e-5)


@pytest.mark.parametrize("curvature", [1e30, 1e20, 1e-19, 1e-30])
@pytest.mark.parametrize("rule", [gd.ExactLineSearch(), gd.BarzilaiBorwein(1.0), gd.Polyak(0.0)])
def test_rules_do_not_lose_their_step_where_the_curvature_is_extreme(rule, curvature):
    """f = c |x|^2 / 2: value, gradient and 1/c are in range, the squares of g are not."""
    if isinstance(rule, gd.BarzilaiBorwein):
        rule = gd.BarzilaiBorwein(0.5 / curvature)
    near = jnp.array([1.0, 2.0])
    final = gd.descend(lambda x: curvature * jnp.sum(x**2) / 2, near, rule, steps=2).final
    # Exact line search and the quotient end after a step or two, Polyak's step halves the point.
    left = 0.25 if isinstance(rule, gd.Polyak) else 0.0
    np.testing.assert_allclose(final.point, left * near, atol=4 * 2**-23)


def test_a_line_search_that_finds_no_other_point_says_so():
    uphill = gd.Objective(lambda x, _: jnp.sum(x**2), gradient=lambda x, _: -2 * x)
    final = gd.descend(uphill, jnp.ones(2), gd.Backtracking(), steps=3).final
    assert not final.memory.accepted and final.memory.step_size == 0
    assert final.point.tolist() == [1, 1] and final.status == gd.Status.STALLED
    assert "line search" in gd.Status(final.status).message


@pytest.mark.parametrize("momentum", [gd.HeavyBall, gd.Nesterov])
def test_without_momentum_they_are_gradient_descent(momentum):
    with_zero = gd.descend(CURVED, START, momentum(0.3, 0.0), steps=STEPS).history.point
    plain = gd.descend(CURVED, START, 0.3, steps=STEPS).history.point
    # A fused multiply-add may spare one rounding of numbers below 4 in each step.
    np.testing.assert_allclose(with_zero, plain, atol=STEPS * 4 * 2**-24)


# -- schedules -------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 3, 7])
def test_silver_steps_attain_their_exact_rate_on_the_huber_function(k):
    r, n = 1 + np.sqrt(2), 2**k - 1
    with jax.enable_x64(True):
        steps = gd.schedules.silver(n)
        threshold = 1 / (2 * r**k - 1)

        def huber(x):
            bent = jnp.minimum(jnp.abs(x), threshold)
            return bent * (jnp.abs(x) - bent / 2)

        final = gd.descend(huber, 1.0, steps, steps=n, record=None).final
        assert np.allclose(steps, steps[::-1]) and np.isclose(steps.sum(), r**k - 1)
        np.testing.assert_allclose(final.value, 1 / (4 * r**k - 2), rtol=1e-12)


def test_the_order_of_chebyshev_steps_is_that_of_leja():
    n, mu, L = 1000, 1.0, 3.0
    with jax.enable_x64(True):
        nodes = np.asarray(2 - 1 / gd.schedules.chebyshev(n, mu, L))
    assert len(set(nodes)) == n
    with np.errstate(divide="ignore"):
        logs = np.log(np.abs(nodes[:, None] - nodes))  # column k: distances to node k
    spread = np.cumsum(np.hstack([np.log(np.abs(nodes))[:, None], logs]), axis=1)
    for k in range(n):
        # n factors, each known to a few roundings over the least distance of about 1e-6.
        assert spread[k, k] >= spread[k:, k].max() - 1e-6


@pytest.mark.parametrize("n", [1, 2, 5, 16])
def test_chebyshev_steps_attain_their_rate_at_both_ends(n):
    mu, L = 1.0, 20.0
    rate = 1 / np.cosh(n * np.arccosh((L + mu) / (L - mu)))
    with jax.enable_x64(True):
        steps = gd.schedules.chebyshev(n, mu, L)
        for curvature in (mu, L, 7.3):
            f = gd.quadratic(np.array([[curvature]]), np.zeros(1))
            final = gd.descend(f, np.ones(1), steps, steps=n, record=None).final
            reached = abs(float(final.point[0]))
            assert reached <= rate * (1 + 1e-9)
            assert curvature == 7.3 or np.isclose(reached, rate, rtol=1e-9)


def test_the_order_of_chebyshev_steps_keeps_rounding_errors_small():
    n, kappa = 128, 1e3
    f = gd.quadratic(jnp.diag(jnp.geomspace(1 / kappa, 1, 8)), jnp.ones(8))
    rate = 1 / np.cosh(n * np.arccosh((kappa + 1) / (kappa - 1)))
    steps = gd.schedules.chebyshev(n, 1 / kappa, 1.0)

    def distance(steps):
        final = gd.descend(f, jnp.zeros(8), steps, steps=n, record=None).final
        return np.linalg.norm(np.asarray(final.point, float) - 1)

    # Rounding of points near 1 adds n u; each u may be stretched by the few steps that follow it.
    assert distance(steps) <= rate * np.sqrt(8) + n * 2**-24 * 8
    assert distance(jnp.sort(steps)[::-1]) > 1e6  # the longest first


# -- observing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [0.3, gd.HeavyBall(0.3, 0.5), optax.adam(0.1)])
def test_observing_reports_rows_and_changes_nothing(rule):
    seen = {}
    watched = gd.observe(
        rule, lambda count, value: seen.update({int(count): float(value)}), every=3
    )
    with jax.numpy_dtype_promotion("standard"):
        run = gd.descend(CURVED, START, watched, steps=7)
        plain = gd.descend(CURVED, START, rule, steps=7)
    jax.effects_barrier()
    assert seen == {k: float(plain.history.value[k]) for k in (0, 3, 6)}
    jax.tree.map(np.testing.assert_array_equal, run.history, plain.history)


def test_observing_goes_on_counting_when_a_run_does():
    seen = []
    watched = gd.observe(0.3, lambda count, value: seen.append(int(count)), every=2)
    early = gd.descend(CURVED, START, watched, steps=3)
    gd.descend(CURVED, early.final, watched, steps=3)
    jax.effects_barrier()
    assert seen == [0, 2, 4, 6]


def test_a_run_that_is_replayed_reports_each_step_once():
    seen = []
    rule = gd.observe(1.5, lambda count, value: seen.append(int(count)), every=50)
    final = gd.descend(BOWL, START, rule, steps=200, record=None).final
    jax.effects_barrier()
    assert final.status == gd.Status.DIVERGED and seen == [0, 50]


def test_many_runs_report_one_by_one_each_until_it_ends():
    seen = []
    rule = gd.observe(0.1, lambda count, value: seen.append((int(count), float(value))), every=5)
    starts = jnp.array([[2.0, 1.0], [100.0, 1.0], [0.0, 0.0]])
    ends = jax.vmap(lambda start: gd.minimize(BOWL, start, rule, tolerance=1e-3))(starts)
    jax.effects_barrier()
    assert sorted(k for k, _ in seen) == sorted(k for n in ends.count for k in range(0, int(n), 5))
    seen.clear()
    runs = jax.vmap(lambda start: gd.descend(BOWL, start, rule, steps=7))(starts)
    jax.effects_barrier()
    assert sorted(seen) == sorted((k, float(v[k])) for v in runs.history.value for k in (0, 5))


def test_a_run_goes_on_observed_or_not():
    plain = gd.descend(CURVED, START, gd.HeavyBall(0.1, 0.5), steps=5).final
    seen = []
    rule = gd.HeavyBall(0.1, 0.5)
    watched = gd.observe(rule, lambda count, value: seen.append(int(count)), every=4)
    early = gd.descend(CURVED, START, watched, steps=2, record=None).final
    late = gd.descend(CURVED, gd.advance(CURVED, early, watched), rule, steps=2).final
    jax.tree.map(np.testing.assert_array_equal, late.memory, plain.memory)
    gd.descend(CURVED, late, watched, steps=4, record=None)
    jax.effects_barrier()
    assert seen == [0, 8]


def test_an_observed_rule_reports_in_the_loop_of_somebody_else():
    seen = []
    rule = gd.observe(0.25, lambda count, value: seen.append(int(count)), every=2)
    inside = optax.chain(optax.GradientTransformationExtraArgs(rule.init, rule.update))
    final = gd.descend(BOWL, START, inside, steps=4, record=None).final
    jax.effects_barrier()
    # The step after the last is tried, too: would it change anything?
    assert seen == [0, 2, 4] and final.point.tolist() == (START / 16).tolist()


def _around(jaxpr, name, within=()):
    """The primitives around each equation of a name."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == name:
            yield within
        for sub in jaxprs_in_params(equation.params):
            yield from _around(sub, name, (*within, equation.primitive.name))


@pytest.mark.parametrize(
    "run",
    [
        lambda rule: gd.descend(BOWL, START, rule, steps=9).final,
        lambda rule: gd.descend(BOWL, START, rule, steps=9, record=None).final,
        lambda rule: gd.minimize(BOWL, START, rule, max_steps=9),
    ],
    ids=["rows", "no rows", "minimize"],
)
def test_no_step_between_two_reports_waits_for_one(run):
    """A callback is called from the loop over reports, never from the loop over steps in it."""
    rule = gd.observe(0.1, lambda count, value: None, every=3)
    jaxpr = jax.make_jaxpr(lambda: run(rule))().jaxpr
    loops = [
        [p for p in around if p in ("while", "scan")] for around in _around(jaxpr, "debug_callback")
    ]
    assert loops == [["while"]]
    assert any("while" in names for names in _around(jaxpr, "while"))


def test_a_rule_is_observed_once():
    with pytest.raises(TypeError, match="observe: rule is observed already"):
        gd.observe(gd.observe(0.1, print), print)


# -- rules of one's own ----------------------------------------------------------------------------


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SignDescent:
    step_size: float

    def init(self, params):
        return ()

    def update(self, updates, state, params=None, **_):
        return jax.tree.map(lambda g: -self.step_size * jnp.sign(g), updates), state


def test_a_rule_of_ones_own_steps_and_sweeps_without_compiling(compilations):
    run = gd.descend(gd.landscapes.bowl, START, SignDescent(0.5), steps=2)
    assert run.final.point.tolist() == [2, 1]
    with compilations() as compiled:
        gd.descend(gd.landscapes.bowl, START, SignDescent(0.25), steps=2)
    assert compiled() == 0
    runs = gd.sweep(gd.landscapes.bowl, START[None], SignDescent(jnp.array([0.5, 1.0])), steps=1)
    assert runs.final.point[:, 0].tolist() == [[2.5, 1.5], [2, 1]]


def test_a_traced_step_size_out_of_range_is_told_by_checkify():
    def end(step_size):
        return gd.descend(CURVED, START, step_size, steps=3).final.value

    error, _ = checkify.checkify(jax.jit(end))(-0.1)
    assert "Constant.step_size must be finite and >= 0, got -0.1" in error.get()
    error, _ = checkify.checkify(jax.jit(end))(0.1)
    assert error.get() is None


@pytest.mark.parametrize(
    ("rule", "step"), [(gd.ExactLineSearch(), 1 / 6), (gd.Backtracking(decrease=0.5), 1 / 8)]
)
def test_line_searches_see_the_gradient_behind_what_an_optax_chain_made_of_it(rule, step):
    ours = optax.GradientTransformationExtraArgs(rule.init, rule.update)
    final = gd.descend(BOWL, jnp.array([1.0, 0.0]), optax.chain(optax.scale(3.0), ours), steps=1)
    np.testing.assert_allclose(final.final.point[0], 1 - step * 6, atol=1e-6)


@pytest.mark.parametrize("rule", [rule for rule, _ in RECURRENCES.values()])
def test_rules_stand_still_at_a_minimizer(rule):
    final = gd.descend(BOWL, jnp.zeros(2), rule, steps=2).final
    assert final.status == gd.Status.RUNNING and final.point.tolist() == [0, 0]


def test_polyak_relaxes_and_stands_still_below_its_minimum():
    near = jnp.array([2.0, 1.0])
    run = gd.descend(BOWL, near, gd.Polyak(0.0, relaxation=0.5), steps=1)
    assert run.final.point.tolist() == [1.5, 0.75] and run.final.memory.step_size == 0.125
    assert gd.descend(BOWL, near, gd.Polyak(6.0), steps=1).final.point.tolist() == [2, 1]
    assert gd.descend(BOWL, near, gd.Polyak(2.5), steps=1).final.memory.step_size == 0.125


def test_exact_line_search_remembers_its_step():
    near = jnp.array([2.0, 1.0])
    assert gd.descend(BOWL, near, gd.ExactLineSearch(), steps=1).final.memory.step_size == 0.5


@pytest.mark.parametrize(
    "method", [gd.BarzilaiBorwein(0.1), gd.BarzilaiBorwein(0.1, gd.rules.short_step)]
)
def test_barzilai_borwein_keeps_its_step_where_the_curvature_is_not_positive(method):
    f = gd.Objective(
        lambda x, _: jnp.where(x > 1, x**2, 4 * x - x**2 - 2),
        gradient=lambda x, _: jnp.where(x > 1, 2 * x, 4 - 2 * x),
    )
    run = gd.descend(f, 8.0, method, steps=2, record=lambda s: s.memory.step_size)
    assert np.allclose(run.history, [0, 0.1, 0.5])
    state = gd.begin(f, 0.0, method)
    state = state._replace(
        memory=gd.rules.BarzilaiBorweinMemory(jnp.float32(0.25), jnp.float32(0.5), jnp.float32(3.0))
    )
    after = gd.advance(f, state, method)
    assert after.memory.step_size == 0.25


@pytest.mark.parametrize("rule", [rule for rule, _ in RECURRENCES.values()])
def test_rules_step_on_a_tree_as_on_one_vector(rule):
    def split(p):
        return p["a"] ** 2 + 2 * jnp.sum(p["b"] ** 2)

    def joined(x):
        return x[0] ** 2 + 2 * jnp.sum(x[1:] ** 2)

    for first in (0.0, 1.0):
        tree = {"a": jnp.float32(first), "b": jnp.array([2.0, -3.0])}
        run = gd.descend(split, tree, rule, steps=4).history
        wanted = gd.descend(joined, jnp.array([first, 2.0, -3.0]), rule, steps=4).history
        np.testing.assert_allclose(run.point["a"], wanted.point[:, 0], atol=1e-5)
        np.testing.assert_allclose(run.point["b"], wanted.point[:, 1:], atol=1e-5)


def test_bfloat16_steps_are_rounded_once():
    g = jnp.linspace(1, 2, 129).astype(jnp.bfloat16)
    updates, _ = gd.Constant(0.1).update(g, ())
    wanted = (-np.float32(0.1) * np.asarray(g, np.float32)).astype(jnp.bfloat16)
    np.testing.assert_array_equal(updates, wanted)


def test_barzilai_borwein_begins_anew_after_a_move_of_zero():
    rule, here = gd.BarzilaiBorwein(0.25), jnp.array([1.0, 0.0])
    state = gd.begin(gd.landscapes.bowl, here, rule)
    memory = gd.rules.BarzilaiBorweinMemory(jnp.float32(1e-30), here, state.gradient)
    assert gd.advance(gd.landscapes.bowl, state._replace(memory=memory), rule).point[0] == 0.5


def test_rules_with_like_fields_are_not_taken_for_one_another():
    """JAX compares registered dataclasses by their fields alone: 0.10 mixed up one in five."""
    ours = [gd.HeavyBall(0.1, 0.5), gd.Nesterov(0.1, 0.5)]
    assert jax.tree.structure(ours[0]) != jax.tree.structure(ours[1])
    state = gd.begin(BOWL, jnp.array([1.0, 0.0]), SignDescent(1.0))
    for k in range(40):
        steps_so = {"update": lambda self, g, m, p=None, k=k, **_: (-k * self.step_size * g, m)}
        made = make_dataclass(
            f"Rule{k}", ["step_size"], bases=(SignDescent,), namespace=steps_so, frozen=True
        )
        rule = jax.tree_util.register_dataclass(made)(0.25)
        assert gd.advance(BOWL, state, rule).point[0] == 1 - k / 2, k
