"""Ten planted bugs: each shrinks to a case for paper, and its reproduction shows the failure."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from planted import descents

from gdpure import specs
from gdpure.specs import instances
from gdpure.specs.optimizer import check as checks
from gdpure.specs.optimizer.search import Case
from gdpure.specs.optimizer.shrinking import rewritten, shrink
from gdpure.specs.report import Verdict
from gdpure.specs.theorem import Judgment

BUGS = [
    descents.gradient_sign,
    descents.learning_rate_twice,
    descents.gauss_seidel,
    descents.stale_gradient,
    descents.weight_decay,
    descents.step_one_percent_longer,
    descents.frozen_coordinate,
    descents.clipping,
    descents.sign_descent,
    descents.first_step_without_effect,
]


def digits(x):
    """How many significant decimal digits a float32 number has, written as short as it can be."""
    text = np.format_float_scientific(np.float32(x), trim="-").split("e")[0]
    return len(text.replace("-", "").replace(".", "").strip("0"))


@pytest.fixture(params=BUGS, ids=lambda bug: bug.__name__, scope="module")
def row(request):
    """The step identity in float32, violated."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "_DTYPES", (np.float32,))
        report = specs.check_optimizer(request.param, instances=192, only=["step-identity"])
    [found] = report.rows
    assert found.verdict is Verdict.VIOLATED
    return found


def test_the_case_is_for_paper(row):
    namespace = run(row)
    numbers = [*namespace["X"].ravel(), *namespace["c"], *np.ravel(namespace["wanted"])]
    assert np.count_nonzero(namespace["X"]) <= 4
    assert max(map(digits, [*namespace["X"].ravel(), *namespace["c"]])) <= 2
    assert all(abs(x) < 1e4 for x in numbers)
    assert len(row.counterexample.smallest) <= 120


def test_the_reproduction_shows_the_failure(row):
    namespace = run(row)
    off = np.abs(np.asarray(namespace["returned"], float) - namespace["wanted"]).max()
    assert off > 10 * row.counterexample.explained
    np.testing.assert_allclose(off, row.counterexample.off_by, rtol=1e-3)


SHAPE = instances.Shape(1, 1, 15)


def test_a_tolerance_is_in_the_units_of_the_gradient():
    """A case of stopping is one in other units, whatever the step size is."""

    def case(instance):
        steep = (instance.features**2 * (instance.start - instance.center)).item()
        found = np.isclose(8 * instance.tolerance, abs(steep), rtol=1e-4)
        return Case(instance, SHAPE, False, Judgment(True, found, 1e3, 0, True, True, 0, 0, 0))

    numbers = {"features": [[8.0]], "start": [412.0], "tolerance": 8 * 412}
    begin = replace(instances.example(SHAPE), **{k: np.array(x) for k, x in numbers.items()})
    options = {"dtype": np.float32, "rounds": 64, "fixed_step_size": False}
    found = shrink(case(begin), lambda tried: list(map(case, tried)), **options).instance
    assert found.features == found.start == 1 and found.tolerance == 0.125


def test_no_number_is_minus_zero():
    begin = replace(instances.example(SHAPE), start=np.array([-0.0]), minimum=np.array(-0.0))
    assert not any(np.signbit(leaf).any() for leaf in jax.tree.leaves(rewritten(begin, np.float64)))


def run(row):
    code, namespace = row.counterexample.reproduction, {}
    assert "gdpure" not in code
    exec(compile(code, "reproduction", "exec"), namespace)
    return namespace
