"""Ten planted bugs: each shrinks to a case for paper, and its reproduction shows the failure."""

import numpy as np
import pytest
from planted import descents

from gdpure import specs
from gdpure.specs.optimizer import check as checks
from gdpure.specs.report import Verdict

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


def run(row):
    code, namespace = row.counterexample.reproduction, {}
    assert "gdpure" not in code
    exec(compile(code, "reproduction", "exec"), namespace)
    return namespace
