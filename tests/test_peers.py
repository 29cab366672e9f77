"""Peers: what is known to be wrong in them is found, and what is right is accused of nothing."""

import sys
from importlib.util import find_spec

import jax
import numpy as np
import pytest
from benchmarks import libraries

import gdpure as gd
from gdpure import specs
from gdpure.specs.instances import Shape
from gdpure.specs.optimizer import check as checks
from gdpure.specs.optimizer import search
from gdpure.specs.report import Verdict
from gdpure.specs.subjects import as_subject

SEARCH = gd.Backtracking(1.0, 0.5, 0.5, 15)
STOPS = [theorem.name for theorem in specs.THEOREMS if "stopping" in theorem.needs]


def needs(library):
    """A mark: what it marks runs where a library is installed."""
    extra = "test" if library == "optimistix" else "peers"
    return pytest.mark.skipif(
        find_spec(library) is None, reason=f"{library} comes with the extra {extra!r}: not run"
    )


jaxopt, optimistix, torch = map(needs, ("jaxopt", "optimistix", "torch"))


@pytest.fixture(autouse=True)
def short(monkeypatch, unshrunk):
    """One parameter and few steps show it all, and are compiled once; the benchmark tries more."""
    for module in (checks, search):
        monkeypatch.setattr(module, "SHAPES", (Shape(1, 1, 4),))


@pytest.fixture
def once(monkeypatch):
    """What holds, or is known to fail, does so in any dtype: it is tried in one."""
    monkeypatch.setattr(checks, "_DTYPES", (np.float32,))


def check(subject, instances=64, **known):
    return specs.check_optimizer(subject, instances=instances, **known)


def violated(report):
    return {row.theorem for row in report.rows if row.verdict is Verdict.VIOLATED}


def cause(report, theorem):
    """The likeliest cause of a violation."""
    [row, *_] = (row for row in report.rows if row.theorem == theorem and row.counterexample)
    return row.counterexample.cause


def parabola(curvature):
    """The value and the gradient of ``curvature / 2 x^2``, and its start at 1."""
    start = np.ones(1, np.float32)
    return {
        "value": lambda x: curvature / 2 * (x * x).sum(),
        "gradient": lambda x: curvature * x,
        "start": start,
    }


# -- correct peers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "subject, method",
    [
        pytest.param(libraries.jaxopt_plain, None, marks=jaxopt),
        pytest.param(libraries.optimistix_plain, None, marks=optimistix),
        pytest.param(libraries.torch_plain, None, marks=torch),
        (libraries.scipy_default, "descent"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_correct_peers_are_accused_of_nothing(subject, method, once):
    # What follows from the step identity costs half a minute to compile: the benchmark tries all.
    report = check(subject, method=method, only="monotone descent")
    assert report, report


# -- known failures --------------------------------------------------------------------------------


@optimistix
def test_optimistix_does_a_step_less_than_it_is_allowed(once):
    report = check(libraries.optimistix_default, only=["step-identity"])
    assert violated(report) == {"step-identity"}
    assert cause(report, "step-identity").startswith("the first step is missing")

    known = parabola(1.0)
    del known["gradient"]
    rows = libraries.optimistix_default(**known, step_size=0.5, steps=3)
    assert rows[:, 0].tolist() == [1, 1, 0.5, 0.25]
    rows = libraries.optimistix_plain(**known, step_size=0.5, steps=3)
    assert rows[:, 0].tolist() == [1, 0.5, 0.25, 0.125]


@optimistix
def test_optimistix_succeeds_at_the_start_with_a_tiny_step(once):
    report = check(libraries.optimistix_default_stops, only=STOPS)
    assert violated(report) >= {"stops-flat", "stops-first"}

    known = parabola(1.0)
    del known["gradient"]
    point, converged = libraries.optimistix_default_stops(
        **known, step_size=1e-9, steps=100, tolerance=1e-6
    )
    assert converged
    assert point == 1  # where the gradient is 10^6 times the tolerance


@jaxopt
def test_jaxopt_is_accelerated_by_default(once):
    report = check(libraries.jaxopt_default, only=["step-identity", "decrease"])
    assert violated(report) == {"step-identity", "decrease"}
    assert cause(report, "step-identity").startswith("there is a momentum (FISTA's)")


@jaxopt
def test_the_line_search_of_jaxopt_reports_half_of_the_gradient(once):
    report = check(libraries.jaxopt_line_search_stops, method="any", only=["stops-flat"])
    assert violated(report) == {"stops-flat"}

    # One step of length 1 down x^2 / 200, whose slope hardly changes: from 0.01 to 0.0099.
    point, converged = libraries.jaxopt_line_search_stops(
        **parabola(0.01), steps=1, tolerance=0.0051
    )
    assert converged
    assert 0.01 * point[0] > 1.9 * 0.0051


@jaxopt
def test_the_line_search_of_jaxopt_accepts_an_ascent_when_its_budget_ends(once):
    report = check(libraries.jaxopt_line_search, method=SEARCH, only=["armijo-step"])
    assert violated(report) == {"armijo-step"}

    # 1 - 2^-15 L is -31, and the value 961 times that of the start.
    known = parabola(2.0**20)
    point = known.pop("start")
    assert libraries.jaxopt_line_search(point=point, **known).tolist() == [-31]


@jaxopt
def test_a_fixed_step_of_jaxopt_is_tested_a_step_late(once):
    assert violated(check(libraries.jaxopt_plain_stops, only=STOPS)) >= {
        "stops-when-flat",
        "stops-first",
    }
    point, converged = libraries.jaxopt_plain_stops(
        **parabola(1.0), step_size=0.5, steps=1, tolerance=0.5
    )
    assert (point, converged) == (0.5, False)


def test_scipy_says_that_it_failed_where_its_last_step_succeeds(once):
    # Of 832 it fails in 3 to 9, whatever the seed.
    report = check(libraries.scipy_default_stops, 640, method="any", only=STOPS)
    assert violated(report) == {"stops-when-flat"}
    point, converged = libraries.scipy_default_stops(**parabola(1.0), steps=1, tolerance=1e-3)
    assert abs(point) <= 1e-3 and not converged


# -- adapters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "library, subject",
    [
        ("jaxopt", libraries.jaxopt_plain),
        ("torch", libraries.torch_plain),
        ("scipy.optimize", libraries.scipy_default),
    ],
)
def test_a_library_that_is_not_there_is_named(library, subject, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    report = check(subject, only=["form"])
    assert not report
    assert f"{library} cannot be imported" in report.rows[0].reason
    assert f"pip install {library.partition('.')[0]}" in report.rows[0].reason


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param(libraries.jaxopt_plain, marks=jaxopt),
        pytest.param(libraries.optimistix_plain, marks=optimistix),
    ],
)
def test_peers_that_are_written_in_jax_are_traced(subject):
    assert as_subject(subject).compiled


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param(libraries.jaxopt_plain, marks=jaxopt),
        pytest.param(libraries.optimistix_plain, marks=optimistix),
        pytest.param(libraries.torch_plain, marks=torch),
    ],
)
@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_numpy_keep_their_shape_and_dtype(subject, steps, dtype):
    with jax.enable_x64(dtype == np.float64):
        known = {**parabola(1.0), "start": np.ones(3, dtype), "step_size": 0.5, "steps": steps}
        if subject is libraries.optimistix_plain:
            del known["gradient"]
        rows = subject(**known)
    assert rows.shape == (steps + 1, 3) and rows.dtype == dtype
    assert rows[:, 0].tolist() == [0.5**k for k in range(steps + 1)]
