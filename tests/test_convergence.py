"""Rates: attained by their extremal functions, and broken by what is not gradient descent."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from planted import descents

import gdpure as gd
from gdpure import specs
from gdpure.specs import instances
from gdpure.specs.instances import SHAPES
from gdpure.specs.optimizer import search
from gdpure.specs.report import Verdict
from gdpure.specs.subjects import as_subject

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

RATES = [theorem for theorem in specs.THEOREMS if theorem.extremal and theorem.name != "divergence"]
TIGHT = [(theorem, function) for theorem in RATES for function in theorem.extremal]
[LINE] = (shape for shape in SHAPES if shape[:2] == (1, 1))


def too_short(point, gradient, step_size):
    return point - 0.999 * step_size * gradient(point)


def attained(theorem, function, dtype, subject=gd.Constant):
    """What is found in the last row, on 64 extremal instances."""
    made = function(np.random.default_rng(0), 64, LINE.steps)
    batch = jax.tree.map(partial(instances.rounded, dtype=dtype), made)
    [finding] = search.judge(as_subject(subject), [theorem], batch, LINE, dtype, attained=True)
    return finding


@pytest.mark.parametrize(
    ("theorem", "function"), TIGHT, ids=lambda x: getattr(x, "name", None) or x.__name__
)
def test_every_tight_theorem_is_attained_by_its_extremal_functions(theorem, function):
    finding = attained(theorem, function, jnp.float64)
    inside = finding.applies
    assert inside.sum() >= 16 and not finding.violated.any()
    # Below 2^-60 of where they began, runs are made of rounding.
    seen = inside & (np.abs(finding.bound) > 2.0**-40)
    ratio = finding.measured[seen] / finding.bound[seen]
    assert len(ratio) >= 8 and np.abs(ratio - 1).max() < 1e-9
    finding = attained(theorem, function, jnp.float32)
    assert finding.applies.any() and not finding.violated.any()
    assert attained(theorem, function, jnp.float32, too_short).violated.any()


BROKEN = {
    "quadratic-value-rate": descents.one_step_less,
    "gradient-rate": descents.one_step_less,
    "nonconvex-gradient": descents.gradient_sign,
    "gradient-rate-from-decrease": descents.one_step_less,
    "more-parameters": descents.frozen_coordinate,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_bug_breaks_its_rate(name, in_float32, unshrunk):
    report = specs.check_optimizer(BROKEN[name], instances=960, only=[name])
    assert {row.verdict for row in report.rows} == {Verdict.VIOLATED}
