"""The benchmark: small jobs run, and what computes something else is seen. No time is looked at."""

import jax.numpy as jnp
import pytest
from benchmarks import __main__ as command
from benchmarks import jobs


@pytest.mark.parametrize(
    "kind",
    [jobs.passes, jobs.samples, jobs.calls],
    ids=lambda kind: kind.__name__,
)
def test_all_compute_the_same_in_a_small_job(kind):
    command.check(next(kind(1 / 512)))


def test_what_computes_something_else_is_not_measured():
    job = jobs.Job("one", lambda: jnp.ones(2), {"two": lambda: jnp.array([1.0, 1.001])})
    with pytest.raises(AssertionError, match="one: two computes something else"):
        command.check(job)


def test_ratios_are_those_of_pairs_and_stand_in_a_table():
    (middle, low, high), took = command.ratios(lambda: jnp.ones(2), lambda: jnp.ones(2), 3)
    assert 0 < low <= middle <= high and took > 0
    drawn = command.table([("one", "two", took, middle, low, high)])
    assert drawn.row_count == 1
