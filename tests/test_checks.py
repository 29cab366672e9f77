"""The checks: no false alarms, negative controls, every verdict, one sentence for bad input."""

import itertools
import re
import shlex
import sys
import time
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from hypothesis import settings
from planted import descents, honest, stopping

import gdpure as gd
from gdpure import specs
from gdpure.__main__ import main
from gdpure.specs import instances
from gdpure.specs.optimizer import check as checks
from gdpure.specs.optimizer import search
from gdpure.specs.report import Verdict
from gdpure.specs.subjects import as_subject
from gdpure.specs.theorem import ASSUMPTIONS, NEEDS, Judgment

SMALL = 192
SHRINKING = checks._SHRINKING  # what users get
THOROUGH = settings.get_current_profile_name() == "thorough"
# The planted bug that shows itself least does in 8 of 192; what users get is 6,144.
MANY = None if THOROUGH else 960


pytestmark = pytest.mark.usefixtures("unshrunk")


def verdicts(report):
    """The verdicts of each theorem, over all dtypes."""
    found = {}
    for row in report.rows:
        found.setdefault(row.theorem, set()).add(row.verdict)
    return found


def violated(report):
    return {row.theorem for row in report.rows if row.verdict is Verdict.VIOLATED}


def step(point, gradient, step_size):
    return point - step_size * gradient(point)


# -- no false alarms -------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", [gd.Constant, optax.sgd], ids=["gd.Constant", "optax.sgd"])
def test_gradient_descent_is_accused_of_nothing(subject):
    report = specs.check_optimizer(subject, instances=MANY)
    assert report and not violated(report)
    for dtype in ("float32", "float64"):
        identity = [r for r in report.rows if r.theorem == "step-identity" and r.dtype == dtype]
        assert identity[0].instances >= (MANY or 6_000)
        assert identity[0].informative >= 0.8 * (MANY or 6_000)
    # Everything that applies says something: nothing is vacuous.
    assert {Verdict.HOLDS} == set.union(*verdicts(report).values()) - {Verdict.NOT_APPLICABLE}


def test_a_numpy_loop_is_accused_of_nothing():
    assert not as_subject(honest.in_place).compiled  # JAX cannot trace it
    report = specs.check_optimizer(honest.in_place, instances=1024 if THOROUGH else SMALL)
    assert report and not violated(report)


def test_a_torch_loop_is_accused_of_nothing():
    pytest.importorskip("torch", reason="torch comes with the extra 'peers': not run")
    report = specs.check_optimizer(honest.sgd_of_torch, instances=1024 if THOROUGH else SMALL)
    assert report and not violated(report)


@pytest.mark.parametrize("mode", [gd.reverse, gd.per_sample], ids=lambda m: m.__name__)
def test_every_mode_of_differentiation_is_accused_of_nothing(mode):
    report = specs.check_optimizer(mode, instances=3 * 2048)
    assert report and not violated(report)
    assert report.method == "gradient"


@pytest.mark.parametrize(("subject", "programs"), [(step, 1), (optax.sgd, 2)], ids=["step", "sgd"])
def test_a_subject_is_compiled_once_a_shape_and_once_to_stop(
    subject, programs, compilations, in_float32
):
    with compilations() as compiled:
        report = specs.check_optimizer(
            subject, instances=SMALL, only=["fejer", "direct-sum", "stops-first"]
        )
    assert report and compiled() <= programs * len(instances.SHAPES)


# -- negative controls -----------------------------------------------------------------------------


@pytest.mark.parametrize("control", honest.OTHERS, ids=lambda c: c.__name__)
def test_what_is_not_gradient_descent_is_told_which_theorem_says_so(control, in_float32, on_a_line):
    report = specs.check_optimizer(
        control, method="gradient descent", instances=32, only=["step-identity", "repeats"]
    )
    assert not report and "step-identity" in violated(report)
    assert "step-identity" in str(report)


# -- verdicts --------------------------------------------------------------------------------------


def twice(point, gradient, step_size):
    return point - 2 * step_size * gradient(point)


def test_an_expected_failure_has_its_reason_and_is_not_shrunk():
    reason = "a factor 2, known"
    report = specs.check_optimizer(
        twice, instances=SMALL, only=["step-identity"], expected_failures={"step-identity": reason}
    )
    [row, _] = report.rows
    assert row.verdict is Verdict.EXPECTED_FAILURE and row.reason == reason
    assert row.counterexample is None
    assert not report  # nothing held: nothing was really tested


def test_only_takes_theorems_and_families():
    report = specs.check_optimizer(step, instances=SMALL, only=["convergence", "fejer"])
    families = {row.family for row in report.rows if row.theorem != "fejer"}
    assert families == {"convergence"} and "fejer" in verdicts(report)


@pytest.mark.parametrize("argument", ["only", "expected_failures"])
def test_an_unknown_name_is_refused_and_its_neighbours_named(argument):
    names = {"only": ["step-identiy"], "expected_failures": {"step-identiy": "no"}}
    with pytest.raises(ValueError, match=f"{argument}.*'step-identiy'.*step-identity"):
        specs.check_optimizer(step, **{argument: names[argument]})


def test_what_does_not_apply_says_why():
    def blind(gradient, start, steps):
        rows = [start]
        for _ in range(steps):
            rows.append(rows[-1] - 0.1 * gradient(rows[-1]))
        return rows

    report = specs.check_optimizer(blind, instances=SMALL, only=["step-identity", "value", "ends"])
    reasons = {row.theorem: row.reason for row in report.rows}
    assert "step size must be known" in reasons["step-identity"]
    assert "records no values" in reasons["value"] and "no final state" in reasons["ends"]
    assert not report


@pytest.mark.parametrize(
    ("returned", "verdict", "words"),
    [
        (lambda steps, d: np.zeros((steps + 1, d)), Verdict.VIOLATED, "float32 and returned float"),
        (lambda steps, d: np.zeros((steps, d), np.float32), Verdict.VIOLATED, "0 rows"),
        (lambda steps, d: [][0], Verdict.ERROR, "IndexError: list index out of range"),
    ],
)
def test_what_is_no_run_is_said_whatever_was_asked_for(returned, verdict, words, in_float32):
    def loop(gradient, start, steps):  # nothing that is asked for applies: no step size is known
        return returned(steps, start.size)

    report = specs.check_optimizer(loop, instances=SMALL, only=["step-identity"])
    [asked, form] = report.rows
    assert not report and asked.verdict is Verdict.NOT_APPLICABLE
    assert form.theorem == "form" and form.verdict is verdict and words in form.reason


class Stateful:
    """A step that keeps its velocity itself."""

    v = 0.0

    def __call__(self, point, gradient, step_size):
        self.v = 0.9 * self.v - step_size * gradient(point)
        return point + self.v


def test_a_step_that_keeps_state_is_told_what_to_do(in_float32):
    report = specs.check_optimizer(Stateful(), method="any", instances=SMALL, only=["repeats"])
    [row] = report.rows
    assert row.verdict is Verdict.ERROR
    assert "state" in row.reason and "function of gradient, start, step_size, steps" in row.reason


def test_what_only_the_compiler_rounds_apart_is_not_held_against_a_subject(in_float32, monkeypatch):
    def check(subject):
        return specs.check_optimizer(subject, instances=SMALL, only=["step-identity"])

    assert check(honest.rows_compiled_apart)
    # It is excused because it shows there alone, and only as far as rounding explains it.
    monkeypatch.setattr(search, "_alike", lambda trace, lanes, other: np.zeros(len(lanes), bool))
    assert violated(check(honest.rows_compiled_apart)) == {"step-identity"}


@pytest.fixture
def apart(monkeypatch):
    """How many instances were run operation by operation, each time."""
    sizes, run = [], search.run

    def seen(subject, batch, *args, compiled=True, **kwargs):
        sizes.extend([] if compiled else [batch.start.shape[-1]])
        return run(subject, batch, *args, compiled=compiled, **kwargs)

    monkeypatch.setattr(search, "run", seen)
    return sizes


def test_few_of_what_is_violated_run_operation_by_operation(apart, monkeypatch):
    monkeypatch.setattr(search, "AGAIN", 2)
    subject, shape = as_subject(honest.rows_compiled_apart), instances.SHAPES[1]
    theorems = [theorem for theorem in specs.THEOREMS if theorem.name == "step-identity"]
    batch = search.draw(subject, np.random.default_rng(0), SMALL, shape, np.float32)
    [[found], _] = search._tried(subject, shape, np.float32, False, theorems, batch)
    assert found.violated.sum() > search.AGAIN and not apart  # of the compiled program
    [found] = search.judge(subject, theorems, batch, shape, np.float32)
    assert apart == [search.AGAIN] and not found.violated.any()


def test_what_is_known_runs_operation_by_operation_where_it_is_shown(apart, in_float32):
    assert violated(specs.check_optimizer(twice, instances=SMALL, only=["step-identity"]))
    assert apart == [search.AGAIN, 1]  # in the first shape, and the case that is shown


def test_less_than_what_is_excused_is_excused_with_it():
    excess = np.array([9.0, 5.0, 4.0, 3.0, 5.5])
    found = Judgment(*[excess > 0] * 2, excess, *[excess] * 6)
    lanes, right = np.array([0, 1, 2]), np.array([False, True, False])
    other = Judgment(*[lanes < 0] * 2, 0 * excess[lanes], *[excess[lanes]] * 6)
    excused = search._excused(found, lanes, right, other)
    assert excused.violated.tolist() == [True, False, True, False, True]
    assert excused.excess.tolist() == [9, 0, 4, 1, 5.5]


def test_what_a_compiled_program_does_otherwise_is_held_against_it(in_float32):
    def stale(gradient, start, step_size, steps):
        factor = 1 if jax.config.jax_disable_jit else 1.01
        return honest.list_of_rows(gradient, start, factor * step_size, steps)

    report = specs.check_optimizer(stale, instances=SMALL, only=["step-identity"])
    assert violated(report) == {"step-identity"}


def test_a_method_that_only_stops_is_held_to_how_it_stops(in_float32):
    report = specs.check_optimizer(stopping.minimize, instances=SMALL)
    held = {row.theorem for row in report.rows if row.verdict is Verdict.HOLDS}
    assert report and held == {"form", "stops-flat", "stops-when-flat", "stops-first"}
    assert {row.verdict for row in report.rows} == {Verdict.HOLDS, Verdict.NOT_APPLICABLE}
    assert violated(specs.check_optimizer(stopping.tolerance_twice, instances=SMALL))


[QUADRATIC] = (theorem for theorem in specs.THEOREMS if theorem.name == "divergence")


def test_a_theorem_without_instances_or_claims_is_vacuous():
    for tally, why in (
        (search.Tally(QUADRATIC), "no instance met what it assumes: f quadratic"),
        (search.Tally(QUADRATIC, instances=9), "in every instance rounding drowns"),
    ):
        row = checks._verdict(tally, np.float32, {}, None)
        assert row.verdict is Verdict.VACUOUS and why in row.reason


def test_a_method_is_held_to_what_it_claims():
    def rule(step_size):
        return gd.HeavyBall(step_size, 0.9)

    report = specs.check_optimizer(
        honest.heavy_ball_of_optax, method=rule, instances=768, only=["recurrence"]
    )
    assert report and not violated(report)


def test_any_method_may_be_asked_for_its_books_only(in_float32, on_a_line):
    report = specs.check_optimizer(
        honest.heavy_ball_of_optax, method="any", instances=64, only=["step-identity", "repeats"]
    )
    assert report and verdicts(report)["step-identity"] == {Verdict.NOT_APPLICABLE}


def test_the_step_size_of_a_transformation_is_inferred_and_said(in_float32, on_a_line):
    report = specs.check_optimizer(optax.sgd(0.1), instances=64, only=["step-identity"])
    assert report and "step size 0.1, inferred" in report.notes[0]


def test_the_seed_decides_everything(in_float32, on_a_line):
    def excesses(seed):
        report = specs.check_optimizer(step, instances=SMALL, only=["closed-form"], seed=seed)
        return [row.excess for row in report.rows]

    assert excesses(1) == excesses(1) != excesses(2)


def test_settings_fill_their_ranges_and_meet_the_ends():
    drawn, other = (instances.draw_settings(np.random.default_rng(seed), 256) for seed in (0, 1))
    assert len(drawn.family) == 256 and (drawn.scale != other.scale).any()
    assert set(drawn.family) == set(range(len(instances.FAMILIES)))
    for numbers, (low, high) in zip(drawn, instances.RANGES, strict=True):
        assert numbers.min() == low and numbers.max() == high and 0 in numbers


def backwards(gradient, start, step_size, steps):
    """A NumPy loop that returns its rows the wrong way round."""
    return honest.in_place(gradient, start, step_size, steps)[::-1]


def test_a_report_does_not_depend_on_the_clock(monkeypatch):
    monkeypatch.setattr(checks, "_SHRINKING", SHRINKING)
    monkeypatch.setattr(checks, "_ONE_BY_ONE", SMALL)
    options = {"only": ["step-identity", "closed-form"], "seed": 5}
    quick = specs.check_optimizer(backwards, **options)
    hours = itertools.count(step=3600.0)
    for clock in ("time", "monotonic", "perf_counter", "process_time"):
        monkeypatch.setattr(time, clock, lambda: next(hours))
    slow = specs.check_optimizer(backwards, **options)
    monkeypatch.undo()
    assert violated(quick) == {"step-identity", "closed-form"}
    assert quick.to_json() == slow.to_json() and str(quick) == str(slow)


def test_no_theorem_and_no_check_reads_a_clock():
    clock = re.compile(r"^\s*(?:import|from) (?:time|datetime|timeit)\b", re.MULTILINE)
    read = {path: path.read_text() for path in Path(specs.__file__).parent.rglob("*.py")}
    assert len(read) >= 40 and not [path for path, text in read.items() if clock.search(text)]


# -- the command -----------------------------------------------------------------------------------


def test_the_readme_shows_what_a_check_prints(tmp_path, monkeypatch, capsys):
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    blocks = re.findall(r"```(\w+)\n(.*?)```\n", readme, re.DOTALL)
    [shown] = [body for _, body in blocks if body.startswith("$ gdpure check")]
    command, _, printed = shown.removeprefix("$ gdpure ").partition("\n")
    [code] = [body for _, body in blocks if "def my_descent" in body]
    (tmp_path / "homework.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(checks, "_SHRINKING", SHRINKING)
    try:
        assert main(shlex.split(command)) == 1
    finally:
        sys.modules.pop("homework", None)
    assert shown_in(capsys.readouterr().out) == shown_in(printed)


def shown_in(text):
    """What does not depend on versions: how many theorems are violated, where, and why."""
    counts = re.findall(r"^  (?:\w+ )+ +\d.* VIOLATED", text, re.MULTILINE)
    return counts, re.findall(r"^(?:smallest case|likely cause):.*", text, re.MULTILINE)


# -- bad input -------------------------------------------------------------------------------------


def broken(change):
    """Gradient descent whose rows are changed."""

    def subject(gradient, start, step_size, steps):
        rows = [start.copy()]
        for _ in range(steps):
            rows.append(rows[-1] - step_size * gradient(rows[-1]))
        return change(np.stack(rows), start)

    return subject


def first_row_is_overwritten(rows, start):
    start[:] = 7
    return rows


@pytest.mark.parametrize(
    "change, theorem, sentence",
    [
        (lambda rows, start: rows[1:], "form", "returned 0 rows for 0 steps"),
        (lambda rows, start: rows[:, :1], "form", r"shape \(1, 2\)"),
        (lambda rows, start: rows[..., None], "form", r"shape \(1, 2\)"),
        (lambda rows, start: rows.astype(np.float16), "form", "changes the dtype"),
        (lambda rows, start: None, "form", "NoneType"),
        (first_row_is_overwritten, "form", "changes its input"),
        (lambda rows, start: rows * np.nan, "finite", ""),
        (lambda rows, start: rows + np.random.rand(), "repeats", ""),
    ],
    ids=["rows", "columns", "rank", "dtype", "none", "mutates", "nan", "random"],
)
def test_a_subject_that_returns_no_run_gets_one_sentence(change, theorem, sentence):
    report = specs.check_optimizer(
        broken(change), instances=SMALL, only=["form", "finite", "repeats"]
    )
    assert not report and theorem in violated(report)
    [row] = [r for r in report.rows if r.theorem == theorem and r.dtype == "float32"]
    if theorem == "form":
        pytest.raises(ValueError, _raise, row.reason).match(sentence)
        blocked = [r for r in report.rows if r.verdict is Verdict.BLOCKED]
        assert blocked and "rests on form" in blocked[0].reason


def _raise(text):
    raise ValueError(text)


def test_a_subject_that_raises_is_an_error_and_no_violation():
    def subject(gradient, start, step_size, steps):
        raise ZeroDivisionError("one over nothing")

    report = specs.check_optimizer(subject, instances=SMALL, only="bookkeeping")
    assert not report and not violated(report)
    [row] = [r for r in report.rows if r.verdict is Verdict.ERROR and r.dtype == "float32"]
    assert "ZeroDivisionError: one over nothing" in row.reason


@pytest.mark.parametrize(
    "subject, sentence",
    [
        ("sgd", "must be a rule"),
        (None, "must be a rule"),
        (gd.HeavyBall, "raised TypeError"),
        (lambda learning_rate: 3, "must return a rule"),
        (lambda gradient, start, lr: start, "has a parameter 'lr'"),
        (np.zeros(3), "must be a rule"),
    ],
    ids=["text", "none", "class", "factory", "parameter", "array"],
)
def test_what_cannot_be_checked_is_refused_with_one_sentence(subject, sentence):
    with pytest.raises(TypeError, match=f"check_optimizer: .*{sentence}"):
        specs.check_optimizer(subject)


def test_a_method_that_is_none_is_refused():
    with pytest.raises(TypeError, match="method must be None"):
        specs.check_optimizer(step, method="momentum")


# -- pytest ----------------------------------------------------------------------------------------


@pytest.fixture
def few(monkeypatch):
    """What is not asked for a number of instances tries few."""
    monkeypatch.setattr(checks, "_INSTANCES", SMALL)


@pytest.mark.usefixtures("few")
@specs.parametrize_with_theorems(step, only=["step-identity", "fejer"])
def test_the_decorator_makes_one_test_a_theorem(theorem, subject):
    theorem.check(subject)


@pytest.mark.usefixtures("few")
@specs.parametrize_with_theorems(
    twice, only=["step-identity"], expected_failures={"step-identity": "a factor 2"}
)
def test_an_expected_failure_is_an_xfail(theorem, subject):
    theorem.check(subject)


def test_a_violated_theorem_fails_with_its_report(few):
    mark = specs.parametrize_with_theorems(twice, only=["step-identity"])
    [case] = mark.args[1]
    with pytest.raises(AssertionError, match="step-identity is violated(.|\n)*try it"):
        case.values[0].check(twice)


# -- theorems as data ------------------------------------------------------------------------------


def test_theorems_are_data_with_one_line_each():
    names = [theorem.name for theorem in specs.THEOREMS]
    assert len(set(names)) == len(names) >= 35
    for theorem in specs.THEOREMS:
        assert "\n" not in theorem.statement and len(theorem.statement) <= 92
        assert theorem.source and set(theorem.assumes) <= set(ASSUMPTIONS)
        assert set(theorem.needs) <= set(NEEDS) and theorem.methods in checks.METHODS


def test_what_is_violated_is_told_at_once():
    told = []
    specs.check_optimizer(
        descents.gradient_sign,
        instances=192,
        only=["step-identity", "starts"],
        progress=lambda *done: told.append(done),
    )
    done, first = next((done, text) for done, text in told if "violated" in text)
    assert done < 0.2 and first.endswith("gradient_sign in float32: step-identity violated")
