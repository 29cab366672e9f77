"""The test of the theorems: planted bugs are caught, correct methods are not accused."""

import jax.numpy as jnp
import pytest
from planted import CATALOGUE, METHODS, descents, gradients, honest, naive, power

from gdpure import specs
from gdpure.specs.optimizer import check as checks
from gdpure.specs.report import Verdict

# Bugs overflow, and NumPy says so.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

SMALL = 96

# These catch all bugs of a kind; benchmarks/power.py finds the fewest.
COVER = {
    "descent": ("form", "starts", "step-identity"),
    "step": ("form", "step-identity"),
    "transformation": ("form", "step-identity"),
    "gradient": ("form", "interpolation", "per-sample"),
    "stopping": ("form", "stops-flat", "stops-when-flat", "stops-first"),
    "line search": ("form", "armijo-step"),
    "heavy ball": ("form", "recurrence"),
    "nesterov": ("form", "recurrence"),
    "mini-batch": ("mini-batch",),
    "silver": ("form", "recurrence"),
    "chebyshev": ("form", "recurrence"),
    "corrected": ("form", "recurrence"),
}


@pytest.fixture
def in_one_dtype(request, monkeypatch):
    """A subject is caught in one dtype or in none; the other is left to benchmarks/power.py."""
    bug = request.node.callspec.params.get("bug")
    fine = bug is not None and "float32" in bug.name
    monkeypatch.setattr(checks, "_DTYPES", (jnp.float64 if fine else jnp.float32,))


def named(x):
    return getattr(x, "name", None) or getattr(x, "__name__", str(x))


@pytest.mark.parametrize("bug", CATALOGUE, ids=named)
def test_planted_bugs_are_caught(bug, in_one_dtype, demand_of_xla):
    if bug.subject is gradients.value_in_float16:
        demand_of_xla(jnp.float16)
    report = power.judged(bug.subject, bug.method, SMALL, COVER[bug.kind])
    assert not power.failed(report)
    assert power.violated(report)


@pytest.mark.parametrize("kind", COVER)
def test_a_bug_makes_a_report_false(kind, in_one_dtype, unshrunk):
    bug = next(bug for bug in CATALOGUE if bug.kind == kind)
    report = specs.check_optimizer(
        bug.subject, method=bug.method, instances=SMALL, only=COVER[kind]
    )
    assert not report
    assert any(row.verdict is Verdict.VIOLATED for row in report.rows)


@pytest.mark.parametrize(
    ("kind", "subject"),
    [(kind, subject) for kind, subjects in honest.HONEST.items() for subject in subjects],
    ids=named,
)
def test_correct_methods_are_not_accused(kind, subject, in_one_dtype):
    if subject is honest.sgd_of_torch:
        pytest.importorskip("torch")
    assert specs.check_optimizer(subject, method=METHODS[kind], instances=SMALL, only=COVER[kind])


def test_what_people_check_passes_most_bugs():
    for check in naive.CHECKS:
        assert check(descents.descend) and check(descents.descend_compiled)
    passed = power.asked(CATALOGUE).values()
    assert sum("the_loss_goes_down" in found for found in passed) > 0.9 * len(passed)
    assert sum(len(found) == len(naive.CHECKS) for found in passed) > 0.3 * len(passed)


def test_every_bug_is_named_and_noted_once():
    assert len({bug.name for bug in CATALOGUE}) == len(CATALOGUE) >= 55
    assert len({bug.note for bug in CATALOGUE}) == len(CATALOGUE)
    for bug in CATALOGUE:
        module = __import__(bug.subject.__module__, fromlist=[bug.name])
        assert getattr(module, bug.name) is bug.subject


@pytest.mark.parametrize(
    ("caught", "fewest"),
    [
        ({}, 0),
        ({"bug": ""}, 0),
        ({"bug": "a"}, 1),
        ({"one": "ab", "two": "bc", "three": "cd"}, 2),
        ({"one": "ab", "two": "bc", "three": "ca"}, 2),  # whoever is greedy finds 2, too
        ({"1": "ax", "2": "ax", "3": "ay", "4": "ay", "5": "bx", "6": "by"}, 2),
    ],
)
def test_the_cover_is_the_smallest(caught, fewest):
    caught = {bug: frozenset(found) for bug, found in caught.items()}
    cover = power.cover(caught)
    assert len(cover) == fewest
    assert all(found & set(cover) for found in caught.values() if found)


def test_the_table_shows_what_was_found():
    bugs = [bug for bug in CATALOGUE if bug.name in ("gauss_seidel", "start_is_missing")]
    caught = {
        "gauss_seidel": frozenset(["fejer", "hankel"]),
        "start_is_missing": frozenset(["form"]),
    }
    asked = {"gauss_seidel": frozenset(["the_loss_goes_down"])}
    text = power.table(bugs, caught, asked, ["form", "fejer", "hankel", "potential"])
    assert "2 bugs, 2 caught\n" in text
    assert "alone: start_is_missing" in text
    assert "potential                    0   0  *illustration*" in text
    [row] = [line for line in text.splitlines() if line.startswith("gauss_seidel")]
    assert row.split()[1:3] == [".##.", "D"]
