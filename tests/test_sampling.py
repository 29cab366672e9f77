"""Sampling: laws of examples and mini-batches, by enumeration; each is broken by a bug."""

import itertools

import jax
import numpy as np
import pytest
from planted import CATALOGUE, gradients
from planted.minibatches import mean_of_rows, restricted

import gdpure as gd
from gdpure import specs
from gdpure.objectives import restrict
from gdpure.specs.instances import minibatches
from gdpure.specs.report import Verdict

MINIBATCHES = [bug.subject for bug in CATALOGUE if bug.kind == "mini-batch"]
LAWS = ["mini-batch", "mini-batch-mean", "mini-batch-variance"]


def violated(subject, only):
    report = specs.check_optimizer(subject, instances=192, only=only)
    assert Verdict.ERROR not in {row.verdict for row in report.rows}
    return {row.theorem for row in report.rows if row.verdict is Verdict.VIOLATED}


@pytest.mark.parametrize("subject", [restricted, mean_of_rows], ids=lambda s: s.__name__)
def test_right_minibatches_are_accused_of_nothing(subject):
    report = specs.check_optimizer(subject, instances=192, only=LAWS)
    assert report and {row.verdict for row in report.rows} == {Verdict.HOLDS}


@pytest.mark.parametrize("mode", [gd.reverse, gd.per_sample], ids=lambda m: m.__name__)
def test_right_gradients_have_no_order_and_no_number_of_examples(mode, in_float32):
    report = specs.check_optimizer(mode, instances=192, only="sampling")
    assert report  # true where nothing is violated


@pytest.mark.parametrize("bug", MINIBATCHES, ids=lambda b: b.__name__)
def test_bugs_of_minibatches_are_caught(bug, in_float32, unshrunk):
    assert "mini-batch" in violated(bug, LAWS)


def test_only_the_variance_and_the_oracle_see_the_full_gradient(in_float32, unshrunk):
    [full] = [bug for bug in MINIBATCHES if bug.__name__ == "full_gradient"]
    assert violated(full, LAWS) == {"mini-batch", "mini-batch-variance"}


@pytest.mark.parametrize(
    ("bug", "law"),
    [
        (gradients.last_sample_dropped, "examples-reordered"),
        (gradients.sum_instead_of_mean, "examples-doubled"),
        (gradients.every_row_the_mean, None),
    ],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_bugs_of_gradients_break_laws_of_examples(bug, law, in_float32, unshrunk):
    found = violated(bug, "sampling")
    assert law in found if law else found == set()


def test_the_minibatches_are_all_there_are():
    assert minibatches(1).tolist() == [[0]]
    assert {tuple(batch) for batch in minibatches(4).tolist()} == {
        *itertools.combinations(range(4), 2)
    }


def test_the_mean_of_sgd_over_all_sequences_is_gradient_descent():
    """On quadratics, over all n^k sequences of examples; short numbers, so that nothing rounds."""
    X = np.array([[1.0, 2.0], [0.5, -1.0]])
    y, start, eta, steps = np.array([1.0, -2.0]), np.array([1.0, -1.0]), 1 / 8, 4
    with jax.enable_x64(True):
        f = gd.least_squares(X, y)
        descent = gd.descend(f, start, eta, steps=steps).history.point
        one = [jax.jit(gd.reverse(restrict(f, np.array([i])))) for i in range(len(X))]
        points = [start]
        for k in range(steps):
            points = [x - eta * np.asarray(g(x)[1]) for x in points for g in one]
            assert len(points) == len(X) ** (k + 1)
            assert (np.mean(points, axis=0) == np.asarray(descent[k + 1])).all()


def test_a_method_that_is_not_linear_has_another_mean():
    """The law is one of gradient descent: signs of gradients do not average."""
    X, y, start = np.array([[1.0], [-3.0]]), np.array([1.0, 0.5]), np.array([0.25])
    with jax.enable_x64(True):
        f = gd.least_squares(X, y)
        whole = start - 0.1 * np.sign(np.asarray(gd.reverse(f)(start)[1]))
        each = [
            np.sign(np.asarray(gd.reverse(restrict(f, np.array([i])))(start)[1])) for i in (0, 1)
        ]
    assert abs(np.mean([start - 0.1 * g for g in each]) - whole[0]) > 0.05


def test_a_reproduction_shows_what_is_wrong_with_a_batch(in_float32):
    [bug] = [bug for bug in MINIBATCHES if bug.__name__ == "divided_by_all"]
    report = specs.check_optimizer(bug, instances=192, only=["mini-batch"])
    case, namespace = report.rows[0].counterexample, {}
    exec(compile(case.reproduction, "reproduction", "exec"), namespace)
    objective, batches, x = (namespace[name] for name in ("objective", "batches", "x"))
    right = [gd.reverse(restrict(objective, batch))(x)[1] for batch in batches]
    off = np.abs(np.array(namespace["returned"]) - np.array(right)).max()
    np.testing.assert_allclose(off, case.off_by, rtol=1e-3)
