"""Subjects of every kind: each is told by its parameters, and its reproduction runs it."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from planted import gradients, minibatches, momentum, schedules, steps, stopping, transformations
from planted.descents import descend

import gdpure as gd
from gdpure.specs.instances import Instance, Shape, as_batch
from gdpure.specs.optimizer import search
from gdpure.specs.optimizer.explain import reproduction
from gdpure.specs.subjects import as_subject

# Halves and quarters, of which float32 rounds none in two steps.
SHAPE = Shape(4, 2, 2)
FEATURES = np.array([[2.0, 0], [0, 2], [2, 2], [0, 0]])
ONE, ZERO = np.array([1.0, 0]), np.zeros(2)
PROBLEM = Instance(FEATURES, ZERO, np.inf, 0.0, 0.0, ONE, 0.25, ONE, 3.0, 1.0, 0.25)


class Kind(NamedTuple):
    """A subject, the file of its kind, what it returns of its run, and its method."""

    file: str
    subject: Any
    returns: Callable = lambda run: run.point[-1]
    method: Any = None


def marked(run):
    return run.point[-1], run.converged


def at_the_start(run):
    return run.value[0], run.gradient[0]


KINDS = {
    "iterates": Kind("iterates", descend),
    "step": Kind("step", steps.step),
    "compiled step": Kind("step", steps.entries_in_turn),
    "stopping": Kind("stopping", stopping.minimize, marked),
    "schedule": Kind("schedule", schedules.one_over_L),
    "gradient": Kind("gradient", gradients.missing_half, at_the_start),
    "mini-batches": Kind("minibatches", minibatches.first_of_the_batch, lambda run: run.batches[0]),
    "factory": Kind("rule", transformations.sgd_scaled_twice),
    "factory of one step size": Kind(
        "rule", momentum.heavy_ball_rule, method=gd.HeavyBall(0.25, momentum.BETA)
    ),
    "rule": Kind("rule", gd.Constant(0.25)),
    "rule without a step size": Kind("rule", gd.ExactLineSearch()),
    "number": Kind("rule", 0.25),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_reproduction_returns_what_the_subject_returns(kind):
    subject = as_subject(kind.subject, kind.method)
    run = search.run(subject, as_batch([PROBLEM]), SHAPE, np.float32, stopping=subject.run is None)
    number = isinstance(kind.subject, float)
    namespace = {"subject": gd.Constant(kind.subject) if number else kind.subject}
    code = reproduction(subject, PROBLEM, SHAPE.steps, np.float32)
    exec(compile(code, "reproduction", "exec"), namespace)
    returned, wanted = namespace["returned"], kind.returns(run)
    pairs = (
        zip(returned, wanted, strict=True) if isinstance(wanted, tuple) else [(returned, wanted)]
    )
    for came, want in pairs:
        # Exact but for the line search, whose step is a quotient, a few roundings off.
        np.testing.assert_allclose(np.asarray(came), want[..., 0], rtol=0, atol=2**-22)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_kind_is_one_file(kind):
    subject = as_subject(kind.subject, kind.method)
    parts = (subject.run or subject.stop, subject.reproduction)
    parts = [part.func if isinstance(part, partial) else part for part in parts]
    assert subject.reproduction is not None
    assert {part.__module__.rpartition(".")[2] for part in parts} <= {
        kind.file,
        "functions",
        "rule",
    }


def test_a_step_is_told_by_its_point_whatever_else_it_may_take():
    def step(point, gradient, step_size, tolerance=None, start=None):
        return point - step_size * gradient(point)

    assert as_subject(step).run is not None and as_subject(step).stop is None
