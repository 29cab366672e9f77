"""Every theorem holds of gdpure on any problem, and is broken by a bug that it alone catches."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import descents, gradients, minibatches, stopping

import gdpure as gd
from gdpure.specs import THEOREMS, instances, problems
from gdpure.specs.instances import SHAPES
from gdpure.specs.optimizer import search
from gdpure.specs.subjects import Malformed, as_subject

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def mean_of(objective, batch):
    """The gradient of the mean over some examples, by reverse mode."""
    features, *rest = objective.data
    return gd.reverse(gd.Objective(objective.value, (features[batch], *rest)))


STEPS, SAMPLES, BATCHES = map(as_subject, (gd.Constant, gd.per_sample, mean_of))


# -- they hold -------------------------------------------------------------------------------------


def holds(family):
    """A test that draws a problem and holds gdpure to every theorem of a family."""
    known = [theorem for theorem in THEOREMS if theorem.family == family]

    @settings(max_examples=10)
    @given(st.data(), st.sampled_from(SHAPES), st.sampled_from([np.float32, np.float64]))
    def test(device, data, shape, dtype):
        problem = data.draw(problems(dimension=shape.d, examples=shape.n, dtype=dtype))
        batch = instances.as_batch([problem.instance])
        for subject in (STEPS, SAMPLES, BATCHES):
            brought = [theorem for theorem in known if {*theorem.needs} <= subject.brings]
            found = search.judge(subject, brought, batch, shape, dtype) if brought else []
            for theorem, finding in zip(brought, found, strict=True):
                asked = theorem.methods == "any" or subject is STEPS
                assert not (asked and finding.violated.any()), (theorem.name, finding)

    return test


test_gradient_agreement = holds("gradient agreement")
test_monotone_descent = holds("monotone descent")
test_convergence = holds("convergence")
test_bookkeeping = holds("bookkeeping")
test_symmetries = holds("symmetries")
test_sampling = holds("sampling")


# -- each alone catches a bug ----------------------------------------------------------------------


def another_end(subject):
    """A final state that is the start."""

    def run(problems, steps):
        return subject.run(problems, steps)._replace(final=problems.start)

    return replace(subject, run=run)


BUGS = {
    "starts": descents.start_is_missing_last_row_twice,
    "zero-step-size": descents.start_is_missing_last_row_twice,
    "repeats": descents.count_of_all_calls,
    "fixed-point": descents.weight_decay,
    "per-sample": gradients.every_row_the_mean,
    "mean-of-examples": gradients.rows_divided_by_samples,
    "examples-reordered": gradients.last_sample_dropped,
    "mini-batch-mean": minibatches.sum_over_the_batch,
}
OF_FAMILIES = {
    "gradient agreement": gradients.sum_instead_of_mean,
    "sampling": gradients.sum_instead_of_mean,
}
OF_NEEDS = {"mini-batches": minibatches.full_gradient, "stopping": stopping.stops_on_the_value}


def bug_of(theorem):
    """The bug that is planted for a theorem, as a subject: most are seen by the step alone."""
    if theorem.name == "ends":
        return another_end(STEPS)
    needed = next((bug for need, bug in OF_NEEDS.items() if need in theorem.needs), None)
    family = OF_FAMILIES.get(theorem.family, descents.learning_rate_twice)
    return as_subject(BUGS.get(theorem.name) or needed or family)


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda theorem: theorem.name)
def test_a_theorem_asked_for_alone_catches_a_bug(theorem):
    if theorem.name == "form":
        with pytest.raises(Malformed, match="changes the dtype"):
            search.survey(as_subject(descents.rows_in_another_dtype), [theorem], np.float32,
                          count=3, seed=0, progress=lambda *_: None)  # fmt: skip
        return
    [tally] = search.survey(
        bug_of(theorem), [theorem], np.float32, count=192, seed=0, progress=lambda *_: None
    )
    assert tally.violated


def test_the_bug_of_each_theorem_is_no_bug_of_the_judge():
    """The same problems and the same judge, without the bug: nothing is broken."""
    for theorem in THEOREMS:
        if {*theorem.needs} <= STEPS.brings:
            [tally] = search.survey(
                STEPS, [theorem], np.float32, count=192, seed=0, progress=lambda *_: None
            )
            assert not tally.violated, theorem.name


def test_of_a_constant_nothing_is_claimed_in_units_of_one_over_L():
    shape, zero = SHAPES[1], np.zeros(1)
    recipe = instances.Recipe(np.zeros((1, 1)), zero, np.inf, 0.0, 0.0, zero, zero, 1 / 16)
    batch = instances.as_batch([instances.instance(recipe, np.float32)])
    known = [theorem for theorem in THEOREMS if {*theorem.needs} <= STEPS.brings]
    found = search.judge(STEPS, known, batch, shape, np.float32)
    assert not any(finding.violated.any() for finding in found)
    applies = {t.name for t, finding in zip(known, found, strict=True) if finding.applies.all()}
    assert "step-identity" in applies and not applies & {"value-rate", "quadratic-value-rate"}
