"""Symmetries: each holds where it should, to the bit if it says so, and fails where it should."""

import jax
import numpy as np
import optax
import pytest
from planted import descents, honest

import gdpure as gd
from gdpure import specs
from gdpure.specs.balls import ball
from gdpure.specs.report import Verdict
from gdpure.specs.theorems import symmetries

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.usefixtures("unshrunk"),
]

NAMES = [theorem.name for theorem in symmetries.THEOREMS]


def violated(subject, only):
    report = specs.check_optimizer(subject, method="gradient descent", instances=192, only=only)
    assert Verdict.ERROR not in {row.verdict for row in report.rows}
    return {row.theorem for row in report.rows if row.verdict is Verdict.VIOLATED}


@pytest.mark.parametrize(
    "subject",
    [
        gd.Constant,
        optax.sgd,
        honest.list_of_rows,
        honest.entry_by_entry,
        honest.compensated,
        honest.master_in_float64,
        honest.step_in_jax,
        honest.while_loop,
    ],
    ids=lambda subject: subject.__name__,
)
def test_gradient_descent_has_every_symmetry(subject, in_float32):
    report = specs.check_optimizer(subject, instances=192, only="symmetries")
    assert report and {row.verdict for row in report.rows} == {Verdict.HOLDS}


BROKEN = {
    "signs": descents.one_sided_clipping,
    "value-scale": descents.normalized_gradient,
    "constants": descents.step_divided_by_the_value,
    "permutation": descents.gauss_seidel,
    "translation": descents.weight_decay,
    "rotation": descents.sign_descent,
    "null-space": descents.weight_decay,
    "direct-sum": descents.normalized_gradient,
    "fixed-point": descents.noise,
    "time-shift": descents.momentum_of_a_tenth,
}


def test_every_symmetry_has_a_bug_that_breaks_it():
    assert sorted(BROKEN) == sorted(NAMES)


@pytest.mark.parametrize("name", BROKEN)
def test_a_bug_breaks_its_symmetry(name, in_float32):
    assert violated(BROKEN[name], [name]) == {name}


@pytest.mark.parametrize(
    ("subject", "kept", "lost"),
    [
        # Adam works by coordinates and forgets the scale of f: flipped axes are all the same to it.
        (optax.adam, {"signs", "constants"}, {"rotation", "direct-sum"}),
        (optax.sign_sgd, {"constants", "permutation"}, {"value-scale", "rotation"}),
        # Heavy ball is linear in all of them, but remembers where it has been.
        (lambda eta: optax.sgd(eta, momentum=0.5), {"signs", "value-scale"}, {"time-shift"}),
    ],
    ids=["adam", "sign_sgd", "heavy ball"],
)
def test_other_methods_have_other_symmetries(subject, kept, lost, in_float32):
    found = violated(subject, sorted(kept | lost))
    if subject is optax.adam:
        kept -= {"signs"}  # lengths times 4 are not the same to a step of fixed length
        found -= {"signs"}
    assert found == lost


def test_gradient_descent_is_invariant_under_rotation_but_not_under_feature_scaling():
    """x = A z: descent on f(A z) is that on f if A is orthogonal; else it has another metric."""
    X, start = np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.25]]), np.array([1.0, -2.0])
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    stretch = np.diag([1.0, 4.0])
    with jax.enable_x64(True):

        def points(change):
            f = gd.least_squares(X @ change, np.ones(3))
            run = gd.descend(f, np.linalg.solve(change, start), 0.01, steps=5)
            return np.asarray(run.history.point) @ change.T

        here, turned, stretched = points(np.eye(2)), points(turn), points(stretch)
    assert np.abs(turned - here).max() < 1e-14
    assert np.abs(stretched - here)[1:].max(axis=1).min() > 0.1


def test_a_reflection_is_orthogonal_and_its_own_inverse():
    x = np.array([[1.0, 0.5], [2.0, 0.0], [-3.0, 8.0]])
    there = symmetries._reflected(None, ball(x))
    back = symmetries._reflected(None, there)
    assert np.all(np.abs(back.middle - x) <= back.radius) and np.all(back.radius < 1e-13)
    length = np.linalg.norm(x, axis=0)
    assert np.allclose(np.linalg.norm(there.middle, axis=0), length, rtol=1e-15, atol=0)
    assert not np.allclose(there.middle, x)
