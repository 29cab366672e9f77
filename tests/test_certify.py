"""Certificates: sentences on runs that deserve them, silence on correct ones."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gdpure as gd
from gdpure.specs.gradient import autodiff
from gdpure.specs.report import Verdict
from gdpure.specs.run.certify import certify

RANDOM = np.random.default_rng(7)
X = RANDOM.normal(size=(12, 3))
Y = X @ np.array([1.0, -2.0, 0.5]) + RANDOM.normal(size=12)
START = np.array([3.0, -1.0, 2.0])
BOWL = gd.landscapes.bowl


def least_squares(dtype=np.float32):
    return gd.least_squares(X.astype(dtype), Y.astype(dtype))


def smoothness(f):
    return float(gd.facts(f).smoothness)


def gradient(x):
    return 2 / len(Y) * X.T @ (X @ x - Y)


def value(x):
    return np.mean((X @ x - Y) ** 2)


ETA = 0.3


def loop(update, steps=12, start=START):
    """Return what a notebook records: points, values and gradients in float64."""
    points, memory = [start], {}
    for _ in range(steps):
        points.append(points[-1] + update(points[-1], memory))
    x = np.array(points)
    return x, np.array([value(p) for p in x]), np.array([gradient(p) for p in x])


def plain(x, _):
    return -ETA * gradient(x)


@pytest.fixture(scope="module")
def wide():
    """Least squares in float64, as the notebook has it."""
    with jax.enable_x64(True):
        return least_squares(np.float64)


def violated(certificate):
    return [f.law for f in certificate.findings if f.verdict is Verdict.VIOLATED]


def shown(certificate):
    text = str(certificate)
    assert max(map(len, text.splitlines())) <= 100
    assert json.loads(certificate.to_json())["holds"] == bool(certificate)
    return text.replace("\n  ", " ")


# -- the sentences of the issue --------------------------------------------------------------------


def test_a_schedule_that_exceeds_two_over_l_is_explained_and_not_accused():
    f = gd.quadratic(np.diag([5.4, 1.0]).astype(np.float32), np.zeros(2, np.float32))
    sizes = np.array([0.1, 0.1, 0.1, *[0.9] * 6], np.float32)
    run = gd.descend(f, jnp.array([2.0, 1.0]), sizes, steps=9)
    for step_size in (sizes, None):
        found = certify(f, run, step_size=step_size)
        headline = "diverged: step 0.9 exceeds 2/L = 0.37 from iteration 3 on"
        assert found and found.story[0] == headline
        assert shown(found).startswith(headline)


def test_the_floor_of_float32_is_found():
    f = gd.least_squares(X.astype(np.float32) @ np.diag([1.0, 0.3, 0.1]).astype(np.float32), Y)
    step_size = 1 / smoothness(f)
    run = gd.descend(f, START.astype(np.float32), step_size, steps=1500)
    found = certify(f, run, step_size=step_size)
    assert found and found.story[0].startswith("float32 floor reached at k = ")
    k = int(found.story[0].split("k = ")[1].split(":")[0])
    values = np.asarray(run.history.value, np.float64)
    # Before it f still falls, from it on nothing is won that float32 can show in a step.
    assert 100 < k < 1400 and values[k // 2] > values[k]
    assert abs(np.diff(values[k:])).max() <= 16 * np.spacing(np.float32(values[k]))


def test_a_gradient_that_does_not_belong_to_the_values(wide):
    x, v, g = loop(plain)
    g[2:6] *= 2
    facts = gd.Facts(smoothness=smoothness(wide), strong_convexity=0.0)
    found = certify(None, (x, v, g), facts=facts)
    assert violated(found)[0] == "interpolation" and found["interpolation"].first == 2
    headline = (
        "the gradient does not belong to the values: interpolation violated between rows 2 and 5"
    )
    assert found.story[0] == headline
    with_f = certify(wide, (x, v, g))
    headline = "the gradient does not belong to the values: in rows 2 to 5 the gradient is 2 times"
    assert with_f.story[0].startswith(headline)
    # The steps followed the gradient of f, and nobody says otherwise.
    assert with_f["step"].verdict is Verdict.HOLDS


def _of(row, factor):
    def wrong(x, v, g):
        g[row] = factor * g[row]

    return wrong


def _another(x, v, g):
    v[:] = (x**4).sum(axis=1)


def _value(x, v, g):
    v[5] += 0.1


MISMATCHED = {
    "one gradient": (_of(5, 2.0), "between row 5 and 10 others"),
    "one of the wrong sign": (_of(5, -1.0), "between row 5 and 11 others"),
    "one value": (_value, "between row 5 and 12 others"),
    "from a row on": (_of(slice(4, None), 2.0), "between rows 2 and 4"),
    "another function": (_another, "between rows 0 and 1"),
}


@pytest.mark.parametrize("name", MISMATCHED)
def test_the_rows_that_disagree_are_named(name, wide):
    wrong, where = MISMATCHED[name]
    x, v, g = loop(plain)
    wrong(x, v, g)
    facts = gd.Facts(smoothness=smoothness(wide), strong_convexity=0.0)
    found = certify(None, (x, v, g), facts=facts)
    told = f"the gradient does not belong to the values: interpolation violated {where}"
    assert not found and found["interpolation"].where == where
    assert found.story[:2] == (told, "no L explains it, as long as f is convex")


def test_an_L_that_may_be_to_blame_is_named(wide):
    facts = gd.Facts(smoothness=smoothness(wide) / 2, strong_convexity=0.0)
    found = certify(None, loop(plain), facts=facts)
    assert violated(found)[0] == "interpolation"
    assert found.story[1] == "this rests on L = 1.495: a larger one would explain these rows"


# -- correct runs ----------------------------------------------------------------------------------


def objectives(dtype):
    labels = (Y > 0).astype(int)
    hessian = np.diag([2.0, 1.0, 0.125]).astype(dtype)
    return {
        "least squares": least_squares(dtype),
        "quadratic": gd.quadratic(hessian, np.array([1.0, 0.0, -2.0], dtype)),
        "logistic": gd.logistic(X.astype(dtype), labels, 0.1),
        "rosenbrock": gd.landscapes.rosenbrock,
        "himmelblau": gd.landscapes.himmelblau,
        "plain": lambda x: jnp.sum(jnp.cosh(x)),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", list(objectives(np.float32)))
def test_correct_runs_are_not_accused(name, dtype):
    with jax.enable_x64(dtype is np.float64):
        f = objectives(dtype)[name]
        known = gd.facts(f).smoothness
        of_two = name in ("rosenbrock", "himmelblau")
        start = jnp.asarray([-1.0, 0.7] if of_two else START, dtype)
        sizes = [1e-3] if of_two or known is None else [0.1 / float(known), 1.9 / float(known)]
        for step_size in sizes:
            run = gd.descend(f, start, step_size, steps=40)
            for given in (step_size, None):
                found = certify(f, run, step_size=given)
                assert found, shown(found)
                assert shown(found)
            # Without the function, less is known, and nothing is wrong either.
            found = certify(None, run, facts=gd.facts(f))
            assert found, shown(found)


def test_where_a_law_is_attained_digits_are_counted():
    # On L/2 x^2 with a large target f is a difference: the truth needs more digits than float64.
    with jax.enable_x64(True):
        for slope, target in RANDOM.normal(size=(12, 2)) + np.array([0.0, 1000.0]):
            f = gd.least_squares(np.array([[slope]]), np.array([target]))
            step_size = 0.5 / smoothness(f)
            run = gd.descend(f, jnp.array([target / slope + 1.0]), step_size, steps=40)
            assert (found := certify(f, run, step_size=step_size)), shown(found)


def test_other_ways_to_descend():
    f = least_squares()
    start = jnp.asarray(START, jnp.float32)
    assert certify(f, gd.descend(f, start, optax.sgd(0.1), steps=20), step_size=0.1)
    runs = gd.sweep(f, jnp.stack([start, 2 * start]), jnp.array([0.1, 0.2]), steps=20)
    with pytest.raises(ValueError, match="a run of a sweep"):
        certify(f, runs)
    row = jax.tree.map(lambda leaf: leaf[1, 0], runs)
    assert certify(f, row, step_size=0.2)["step"].verdict is Verdict.HOLDS
    assert certify(f, gd.descend(f, start, gd.ExactLineSearch(), steps=20))
    assert certify(f, gd.descend(f, start, gd.Backtracking(1.0), steps=20))
    half = gd.quadratic(jnp.eye(2, dtype=jnp.bfloat16), jnp.zeros(2, jnp.bfloat16))
    run = gd.descend(half, jnp.array([3.0, 1.0], jnp.bfloat16), 0.25, steps=20)
    assert (found := certify(half, run, step_size=0.25)) and "bfloat16" in found.subject
    tree = {"w": jnp.array([1.0, 2.0]), "b": jnp.array(0.5)}
    of_tree = gd.descend(lambda p: jnp.sum(p["w"] ** 4) + p["b"] ** 2, tree, 0.01, steps=20)
    assert certify(lambda p: jnp.sum(p["w"] ** 4) + p["b"] ** 2, of_tree, step_size=0.01)


def test_the_list_of_a_notebook():
    points = [(2.0, 1.0)]
    for _ in range(10):
        a, b = points[-1]
        points.append((a - 0.1 * 2 * a, b - 0.1 * 2 * b))
    f = gd.landscapes.bowl
    found = certify(f, points, step_size=0.1)
    assert found and "float64" in found.subject and found["value"].verdict is Verdict.NOT_APPLICABLE
    assert certify(gd.unpack(lambda a, b: a**2 + b**2), [list(p) for p in points])
    column = [2.0 * 0.8**k for k in range(9)]
    assert certify(lambda t: t**2, column, values=[t**2 for t in column])
    assert certify(lambda t: t[0] ** 2, column)
    # A function of NumPy has no gradient that anybody could ask for.
    numpy = certify(lambda t: float(np.exp(t[0])), np.array([[0.0], [-0.1]]), values=[1.0, 0.905])
    assert numpy["value"].verdict is Verdict.HOLDS
    assert numpy["step"].verdict is Verdict.NOT_APPLICABLE and "NumPy" in str(numpy)


def test_gradients_of_float32_in_a_loop_of_python():
    f = least_squares()
    x, points = START.copy(), []
    for _ in range(15):
        points.append(x)
        x = x - ETA * np.asarray(jax.grad(f)(jnp.asarray(x, jnp.float32)), np.float64)
    assert certify(f, points, step_size=ETA)
    found = certify(gd.quadratic(np.eye(3, dtype=np.float32), np.zeros(3, np.float32)), points)
    assert violated(found) == ["step"]


def noisy(p):
    """A function with a fixed key inside, which in float64 draws other numbers."""
    noise = jax.random.normal(jax.random.key(1), (16,))
    return jnp.mean((p[0] + jnp.exp(p[1]) * noise - 2) ** 2) - p[1]


WEIGHTS = jnp.asarray(RANDOM.normal(size=(5, 2)), jnp.bfloat16)


def coarse_inside(p):
    """A function of float32 that computes in bfloat16, as with mixed precision."""
    return jnp.mean(jnp.tanh(WEIGHTS @ p.astype(jnp.bfloat16)).astype(jnp.float32) ** 2)


@pytest.mark.parametrize("f", [noisy, coarse_inside])
def test_a_function_is_what_it_computes_in_its_own_dtypes(f):
    run = gd.descend(f, jnp.array([0.5, 0.25]), 0.05, steps=5)
    assert certify(f, run)
    rows = run.history
    assert violated(certify(f, rows._replace(value=2 * rows.value))) == ["value"]
    assert "gradient" in violated(certify(f, rows._replace(gradient=2 * rows.gradient)))


def test_rows_are_evaluated_many_at_once(compilations, monkeypatch):
    def f(p):
        return jnp.sum((p - 1) ** 4)

    def run(steps):
        return gd.descend(f, jnp.array([0.5, 0.25]), 0.05, steps=steps)

    calls, measured = [], autodiff._measured
    monkeypatch.setattr(autodiff, "_measured", lambda *args: calls.append(1) or measured(*args))
    short, long = run(5), run(1500)
    certify(f, short)
    with compilations() as compiled:
        calls.clear()
        assert certify(f, long)
        assert compiled() == 0 and len(calls) <= 2


def test_where_jax_traces_nothing_a_function_is_what_it_computes():
    def f(p):
        noise = jax.random.normal(jax.random.key(1), (16,))
        return float(jnp.mean((p[0] + noise - 2) ** 2))

    x = np.linspace(0, 1, 4, dtype=np.float32)[:, None]
    found = certify(f, (x, np.array([f(row) for row in x], np.float32)))
    assert found["value"].verdict is Verdict.HOLDS


# -- planted bugs ----------------------------------------------------------------------------------


def _momentum(x, memory):
    memory["m"] = 0.1 * memory.get("m", 0) - ETA * gradient(x)
    return memory["m"]


def _nesterov(x, memory):
    memory["v"] = 0.5 * memory.get("v", 0) + gradient(x)
    return -ETA / 3 * (gradient(x) + 0.5 * memory["v"])


def _adam(x, memory):
    k = memory["k"] = memory.get("k", 0) + 1
    g = gradient(x)
    m = memory["m"] = 0.9 * memory.get("m", 0) + 0.1 * g
    v = memory["v"] = 0.999 * memory.get("v", 0) + 0.001 * g**2
    return -0.1 * (m / (1 - 0.9**k)) / (np.sqrt(v / (1 - 0.999**k)) + 1e-12)


def _stale(x, memory):
    g = memory.get("g", gradient(x))
    memory["g"] = gradient(x)
    return -ETA * g


def _clipped(x, _):
    g = gradient(x)
    return -ETA * g * min(1, 2 / np.linalg.norm(g))


_noise = np.random.default_rng(3)


def _in_turn(x, _):
    after = x.copy()
    for i in range(x.size):
        after[i] -= ETA * gradient(after)[i]
    return after - x


# A bug, the first row that it shows in, its cause, and the step size that it goes with.
PLANTED = {
    "momentum": (_momentum, 2, "there is a momentum of 0.1 (heavy ball)", ETA),
    "nesterov": (_nesterov, 1, "there is a momentum of 0.5 (Nesterov's)", 0.1),
    "adam": (_adam, 1, "the gradient is scaled as in Adam: by means of g and g^2", 0.1),
    "signs": (lambda x, _: -0.1 * np.sign(gradient(x)), 1, "entries are cut to +-1/3", ETA),
    "decay": (
        lambda x, _: -ETA * gradient(x) - 0.01 * x,
        1,
        "there is a decoupled weight decay of 0.01: every move is -eta g - 0.01 x",
        ETA,
    ),
    "stale": (_stale, 2, "the gradient is stale: every move is -eta g at the row before", ETA),
    "in turn": (_in_turn, 1, "updated one after the other: coordinate 1 saw the new", ETA),
    "two steps": (
        lambda x, _: -ETA * (gradient(x) + gradient(x - ETA * gradient(x))),
        1,
        "two steps are made for one",
        ETA,
    ),
    "one coordinate": (
        lambda x, _: -ETA * gradient(x) * [0, 1, 1],
        1,
        "coordinate 0 never moves",
        ETA,
    ),
    "one percent": (
        lambda x, _: -1.01 * ETA * gradient(x),
        1,
        "the step is 1.01 times as long as it should be (eta 0.303, not 0.3)",
        ETA,
    ),
    "clipped": (_clipped, 1, "the gradient is clipped: its length is cut to 2", ETA),
    "noise": (lambda x, _: -ETA * gradient(x) + 1e-3 * _noise.normal(size=3), 1, "off by", ETA),
}
# Of these any positive multiple of the gradient makes as much.
ALONG_THE_GRADIENT = ("one percent", "clipped")


@pytest.mark.parametrize("name", PLANTED)
def test_what_was_done_instead_is_named(name, wide):
    update, first, cause, own = PLANTED[name]
    x, v, g = loop(update)
    found = certify(wide, (x, v, g), step_size=ETA)
    assert violated(found) == ["step"]
    assert found["step"].first == first
    assert cause in found.story[0] and found.story[0].startswith("not gradient descent ")
    assert found.story[0].endswith(f", where eta is {own}, not 0.3") == (own != ETA)
    assert shown(found)
    blind = certify(wide, x)
    assert violated(blind) == ([] if name in ALONG_THE_GRADIENT else ["step"])


NAMED_BLIND = {
    **{name: PLANTED[name][2:] for name in ("momentum", "nesterov", "adam", "decay", "stale")},
    "signs": ("only the signs of the gradient are used", 0.1),
    "noise": ("off by", None),
}


@pytest.mark.parametrize("name", NAMED_BLIND)
def test_what_was_done_instead_is_named_with_a_step_size_that_nobody_gave(name, wide):
    cause, own = NAMED_BLIND[name]
    x, v, g = loop(PLANTED[name][0])
    for f, run in ((wide, x), (None, (x, v, g))):
        [told, *_] = certify(f, run).story
        assert cause in told and ("where eta is" in told) == (own is not None)
        assert own is None or told.endswith(f"where eta is {own}")


def test_a_record_may_begin_in_the_middle(wide):
    """What led to its first row is not known, and so nothing is said of the first step."""
    for name in ("momentum", "stale"):
        x, *_ = loop(PLANTED[name][0])
        [told, *_] = certify(wide, x[3:], step_size=ETA).story
        assert PLANTED[name][2] in told and told.endswith("but for the first step")


def test_a_cause_that_needs_f_elsewhere_is_not_named_without_f(wide):
    run = loop(_in_turn)
    assert certify(wide, run, step_size=ETA)["step"].cause.startswith("coordinates are updated")
    blind = certify(None, run, step_size=ETA)["step"]
    assert blind.verdict is Verdict.VIOLATED and not blind.cause


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_few_rows_at_random_have_no_cause(steps, wide):
    """A bug that predicts no more numbers than nobody could have predicted is no explanation."""
    for k in range(3):
        x = np.random.default_rng(k).normal(size=(steps + 1, 3))
        for step_size in (ETA, None):
            found = certify(wide, x, step_size=step_size)
            assert found["step"].verdict is Verdict.VIOLATED and not found["step"].cause


def test_rows_in_reverse_order_are_named(wide):
    x, *_ = loop(plain, steps=5)
    assert "the rows are in reverse order" in certify(wide, x[::-1], step_size=ETA).story[0]


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("rule", [gd.Backtracking(), gd.Polyak(0.0)], ids=["search", "polyak"])
def test_what_finds_no_step_any_more_is_not_accused(rule, width):
    x = X.astype(np.float32)[:, :width]
    f = gd.logistic(x, (Y > 0).astype(np.float32), ridge=0.1)
    if isinstance(rule, gd.Polyak):
        f = gd.quadratic(2 * np.eye(width, dtype=np.float32), np.zeros(width, np.float32))
    run = gd.descend(f, jnp.ones(width), rule, steps=80)
    assert (run.history.point[-1] == run.history.point[-2]).all()
    for found in (certify(f, run), certify(None, run)):
        assert not violated(found) and not found["step"].cause


def test_a_run_that_stands_still_is_accused_by_a_step_size_that_was_given(wide):
    x, *_ = loop(plain)
    x[6:] = x[6]
    told = certify(wide, x, step_size=ETA)["step"]
    assert told.first == 7 and told.cause.startswith("the run stands still after 6 steps")
    found = certify(wide, x)
    assert found["step"].verdict is Verdict.HOLDS
    assert "the point stands still from k = 6 on" in found.story
    # What stands still on its way is no line search.
    assert violated(certify(wide, np.insert(loop(plain)[0], 5, x[5], axis=0))) == ["step"]


def test_a_schedule_of_step_sizes_is_told_apart_from_what_was_done_instead(wide):
    sizes = np.array([0.3, 0.2, 0.1] * 4)
    k = iter(range(12))
    x, *_ = loop(lambda x, _: -1.01 * sizes[next(k)] * gradient(x))
    [told, *_] = certify(wide, x, step_size=sizes).story
    assert "the step is 1.01 times as long as it should be: every move" in told
    k = iter(range(12))

    def momentum(x, memory):
        memory["m"] = 0.1 * memory.get("m", 0) - 2 * sizes[next(k)] * gradient(x)
        return memory["m"]

    [told, *_] = certify(wide, loop(momentum)[0], step_size=sizes).story
    assert "a momentum of 0.1 (heavy ball)" in told
    assert told.endswith("where eta is 2 times what it was to be")


def test_rows_that_are_not_what_they_should_be(wide):
    x, v, g = loop(plain)
    late = np.append(v[0], v[:-1])
    found = certify(wide, (x, late, g))
    assert violated(found)[0] == "value" and found["value"].first == 1
    assert "the value is recorded one row late" in found.story[0]

    keep = np.delete(np.arange(len(x)), 5)
    found = certify(wide, (x[keep], v[keep], g[keep]), step_size=ETA)
    assert violated(found) == ["step"] and found["step"].first == 5
    told = "rows are missing: between rows 4 and 5 there are two steps"
    assert found.story[0].endswith(told)
    assert certify(wide, x[keep]).story[0].endswith(told)
    keep = np.delete(np.arange(len(x)), [5, 8])
    assert f"{told}, and so in 1 more place" in certify(wide, x[keep]).story[0]

    twice = np.append(np.arange(len(x)), len(x) - 1)
    found = certify(wide, (x[twice], v[twice], g[twice]), step_size=ETA)
    assert violated(found) == ["step"] and found["step"].first == len(x)
    assert "the last step is missing: the last row repeats the one before" in found.story[0]
    twice = np.sort(np.append(np.arange(len(x)), [5, 7]))
    found = certify(wide, x[twice], step_size=ETA)
    assert "rows are there twice: row 6 repeats row 5, and so in 1 more place" in found.story[0]

    found = certify(wide, (x, 2 * v, g))
    assert "in every row the value is 2 times f" in found.story[0]
    found = certify(wide, (x, v + 1, g))
    assert "in every row the value is f plus 1" in found.story[0]
    found = certify(wide, (x, v, -g))
    assert "in every row the gradient is -1 times that of f" in found.story[0]
    found = certify(wide, (x, v, np.roll(g, -1, axis=0)))
    assert "the gradient is recorded one row early" in found.story[0]


def test_facts_that_are_wrong_are_not_blamed_on_the_run(wide):
    rows = loop(plain)
    found = certify(wide, rows, facts=gd.Facts(smoothness=smoothness(wide) / 2))
    headline = "f is not what the facts say: L is 2.99 at least, not 1.495"
    assert not found and found.story[0] == headline
    wrong = gd.facts(wide)
    wrong = gd.Facts(float(wrong.smoothness), float(wrong.strong_convexity) * 2)
    found = certify(wide, loop(plain, steps=60), facts=wrong)
    assert not found and found.story[0].startswith("f is not what the facts say")


# -- divergence, and what is not known -------------------------------------------------------------


def test_a_smoothness_of_zero_is_known():
    known = gd.Facts(smoothness=0.0, strong_convexity=0.0, minimizer=np.zeros(3), minimum=0.0)
    x = START - 0.5 * np.arange(4)[:, None] * np.array([1.0, -2.0, 0.5])
    found = certify(lambda x: x[0] - 2 * x[1] + 0.5 * x[2], x, facts=known, step_size=0.5)
    assert found["interpolation"].verdict is found["descent lemma"].verdict is Verdict.HOLDS
    constant = certify(lambda x: 0 * x[0] + 3, np.ones((3, 3)), facts=known, step_size=0.5)
    assert constant["value rate"].sentence == "f is linear, for L is 0"
    found = certify(lambda x: x @ x, START * 0.5 ** np.arange(4)[:, None], facts=known)
    assert not found and found.story[0] == "f is not what the facts say: L is 2 at least, not 0"


def test_an_unknown_smoothness_is_estimated_and_named_so():
    def f(x):
        return 2.7 * x[0] ** 2 + 0.5 * x[1] ** 2

    run = gd.descend(f, jnp.array([2.0, 1.0]), 0.9, steps=8)
    found = certify(f, run, step_size=0.9)
    assert found.story[0] == "diverged: step 0.9 exceeds 2/L, which is at most 0.37"
    assert found and "estimated   L >= 5.4 (from the gradients of these rows)" in str(found)
    assert found["descent lemma"].verdict is Verdict.NOT_APPLICABLE


def test_a_run_that_overflows_is_cut():
    f = least_squares()
    run = gd.descend(f, jnp.asarray(START, jnp.float32), 50.0, steps=40)
    assert run.final.status == gd.Status.DIVERGED
    found = certify(f, run, step_size=50.0)
    count = int(run.final.count)
    assert found and "diverged: step 50 exceeds 2/L" in found.story[0]
    assert f"row {count + 1} is not finite: what follows is not judged" in found.story
    rows = np.array(run.history.point)
    rows[4:] = np.nan
    assert "row 4 is not finite: what follows is not judged" in certify(f, rows).story


def test_what_cannot_be_known_is_not_judged():
    found = certify(None, [2.0, 1.0, 0.5])
    assert not found and "nothing could be tested" in str(found)
    # Of one parameter any move is a multiple of the gradient.
    found = certify(lambda t: t**2, [1.0, 0.9, 0.5, 0.45, 0.1])
    assert found["step"].verdict is Verdict.VACUOUS and not found
    found = certify(lambda t: t**2, [3.0, 3.0, 3.0])
    assert found["step"].sentence == "the points stand still" and not found
    assert found.story[0] == "the point stands still from k = 0 on" and "floor" not in str(found)
    landed = certify(BOWL, gd.descend(BOWL, jnp.array([2.0, 1.0]), 0.5, steps=5), step_size=0.5)
    assert landed.story[0] == "the point stands still from k = 1 on: the gradient is 0 there"
    # At 2/L nothing falls and nothing rises: neither a floor nor a divergence.
    around = certify(BOWL, gd.descend(BOWL, jnp.array([2.0, 1.0]), 1.0, steps=5), step_size=1.0)
    assert around.story[0] == "gradient descent with step 1: f went from 5 to 5 in 5 steps"


# -- numbers out of a text -------------------------------------------------------------------------


def text(numbers, form):
    """Return numbers as a file has them that somebody printed them to."""
    return np.vectorize(lambda x: float(format(x, form)))(numbers)


@pytest.mark.parametrize("form", [".6g", ".4f", ".3e", ".12g"])
def test_losses_that_were_printed_are_held_to_their_digits(form, wide):
    x, v, _ = loop(plain, steps=30)
    found = certify(wide, (x, text(v, form)), step_size=ETA)
    assert found and found["value"].verdict is Verdict.HOLDS, shown(found)
    assert "digits, and are held to no more; else value would be violated" in found.story[-1]
    both = certify(wide, (text(x, form), text(v, form)), step_size=ETA)
    assert both and both["step"].verdict is Verdict.HOLDS, shown(both)
    assert "floor" not in str(both)


def test_losses_that_were_printed_and_read_into_float32():
    f, (x, v, _) = least_squares(), loop(plain)
    rows = jnp.asarray(text(x, ".4f"), jnp.float32), jnp.asarray(text(v, ".5g"), jnp.float32)
    found = certify(f, rows, step_size=ETA)
    assert found and "the points have 5 and the values have 5 digits" in found.story[-1]


@pytest.mark.parametrize("form", [".6g", ".4f"])
def test_digits_that_are_few_hide_no_bug(form, wide):
    x, v, _ = loop(plain)
    found = certify(wide, (text(x, form), text(2 * v, form)), step_size=ETA)
    assert "in every row the value is 2 times f" in found.story[0]
    assert found["step"].verdict is Verdict.HOLDS
    v[5] += 0.01
    found = certify(wide, (text(x, form), text(v, form)), step_size=ETA)
    assert found["value"].where == "in row 5"
    x, v, _ = loop(_momentum)
    found = certify(wide, (text(x, form), text(v, form)), step_size=ETA)
    assert violated(found) == ["step"] and "a momentum of 0.1" in found.story[0]


def test_points_of_few_digits_say_nothing_where_no_L_is_known(wide):
    x, v, _ = loop(plain)
    found = certify(lambda theta: jnp.mean((X @ theta - Y) ** 2), (text(x, ".6g"), text(v, ".6g")))
    assert not violated(found) and not found
    assert found["value"].sentence == "the points have few digits, and nobody knows L"


def test_what_few_digits_leave_open_is_no_acquittal():
    rows = np.array([[4.0], [3.2], [2.56], [2.048]]), np.array([16.0, 10.24, 6.5536, 9.9])
    found = certify(lambda x: x[0] ** 2, rows, step_size=0.1)
    assert not found and found["value"].verdict is Verdict.BLOCKED
    known = certify(lambda x: x[0] ** 2, rows, step_size=0.1, facts=gd.Facts(smoothness=2.0))
    assert violated(known)[0] == "value"


def test_data_of_float32_beside_a_notebook_of_float64():
    x, v, g = loop(plain)
    found = certify(least_squares(), (x, v, g), step_size=ETA)
    assert found and "f or its gradient may be float32" in found.story[-1], shown(found)


def test_an_objective_that_takes_no_float32_is_not_asked_for_it(wide):
    x, *_ = loop(PLANTED["noise"][0])
    with jax.enable_x64(True):
        assert violated(certify(wide, x, step_size=ETA)) == ["step"]


def test_what_grows_without_values_has_diverged():
    x = 1.23456789 * (-1.3) ** np.arange(6)
    facts = gd.Facts(smoothness=2.3)
    found = certify(None, x, gradients=2.3 * x, step_size=1.0, facts=facts)
    assert found.story == ("diverged: step 1 exceeds 2/L = 0.87",)


def test_values_that_overflow_are_said_so_and_not_warned_of():
    x = np.array([2.0, 1.0]) * (-2.0) ** np.arange(1020)[:, None]  # f'' = 6, eta = 1/2
    found = certify(lambda p: 3 * jnp.sum(p**2), x, step_size=0.5)
    assert "f went from 15 beyond all numbers" in found.story, found.story


def test_a_step_that_is_too_short_to_be_seen():
    run = gd.descend(BOWL, jnp.array([2.0, 1.0]), 1e-9, steps=5)
    found = certify(BOWL, run, step_size=1e-9)
    lost = "a step there is shorter than half a unit in the last place"
    assert found.story[0] == f"the point stands still from k = 0 on: {lost}"


# -- bad input -------------------------------------------------------------------------------------

BAD = [
    ((BOWL, []), {}, ValueError, "the points must not be empty"),
    ((BOWL, np.zeros((0, 2))), {}, ValueError, "the points must not be empty"),
    ((BOWL, [[1.0, 2.0]]), {}, ValueError, "must be at least two rows"),
    ((BOWL, [[1.0, 2.0], [1.0]]), {}, ValueError, "must be rows of one shape"),
    ((BOWL, np.ones((3, 2), int)), {}, TypeError, "real floating-point numbers"),
    ((BOWL, np.ones((3, 2), complex)), {}, TypeError, "real floating-point numbers"),
    ((BOWL, "path.csv"), {}, TypeError, "real floating-point numbers"),
    ((BOWL, None), {}, ValueError, "the points must"),
    ((BOWL, 1.0), {}, ValueError, "one leading axis"),
    ((BOWL, np.ones((3, 3))), {}, ValueError, "must have 2 parameters, as the minimizer has"),
    ((lambda x: x @ jnp.ones(2), np.ones((3, 1))), {}, ValueError, "must take row 0 of the points"),
    ((lambda x: x, np.ones((3, 2))), {}, ValueError, "not one number"),
    ((3.0, np.ones((3, 2))), {}, TypeError, "the objective"),
    ((BOWL, np.full((3, 2), np.nan)), {}, ValueError, "row 0 is not finite"),
    ((BOWL, np.ones((3, 2))), {"values": np.ones(2)}, ValueError, "values must have shape (3,)"),
    ((BOWL, np.ones((3, 2))), {"values": np.ones((3, 1))}, ValueError, "must have shape (3,)"),
    ((BOWL, np.ones((3, 2))), {"gradients": np.ones(3)}, ValueError, "the gradients must have"),
    ((BOWL, np.ones((3, 2))), {"step_size": np.ones(3)}, ValueError, "step_size must have shape"),
    ((BOWL, np.ones((3, 2))), {"step_size": -0.1}, ValueError, "step_size"),
    ((BOWL, np.ones((3, 2))), {"step_size": np.nan}, ValueError, "step_size"),
    ((BOWL, np.ones((3, 2))), {"step_size": "0.1"}, TypeError, "step_size"),
    ((BOWL, np.ones((3, 2))), {"facts": {"L": 2}}, TypeError, "facts must be gd.Facts"),
    ((BOWL, (np.ones((3, 2)), np.ones(3))), {"values": np.ones(3)}, TypeError, "values came twice"),
    ((BOWL, (1.0, 2.0, 3.0, 4.0)), {}, TypeError, "a tuple must be (points, values)"),
]


@pytest.mark.parametrize(("arguments", "named", "kind", "sentence"), BAD)
def test_bad_input_is_refused_in_a_sentence(arguments, named, kind, sentence):
    with pytest.raises(kind) as raised:
        certify(*arguments, **named)
    assert str(raised.value).startswith("certify: ") and sentence in str(raised.value)


def test_runs_without_rows_are_refused():
    start = jnp.array([2.0, 1.0])
    with pytest.raises(TypeError, match="got a State"):
        certify(BOWL, gd.begin(BOWL, start, 0.1))
    with pytest.raises(TypeError, match="history of the run"):
        certify(BOWL, gd.descend(BOWL, start, 0.1, steps=3, record=None))
