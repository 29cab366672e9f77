"""The benchmark: small jobs are right, and what computes something else is seen; no time is."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks import __main__ as command
from benchmarks import growth, jobs, limits, measuring, rightness

JOBS = {job.name: job for job in jobs.JOBS}


@pytest.mark.parametrize("name", ["S2", "S5q", "S7", "S8", "S10", "U1"])
def test_all_compute_the_same_in_a_small_job(name):
    measuring.check(name, JOBS[name].ways(**JOBS[name].small))


@pytest.mark.parametrize("name", ["S2", "S7"])
def test_a_step_more_is_seen(name):
    job = JOBS[name]
    sizes = job.sizes | job.small
    ways, more = (job.ways(**sizes | {"steps": sizes["steps"] + k}) for k in (0, 1))
    assert rightness.differing(ways.right(), ways.seen(more.gdpure())) > 1


def test_what_computes_something_else_is_not_measured():
    right = rightness.Right(np.ones(2), 1e-6)
    ways = measuring.Ways(lambda: jnp.ones(2), lambda: jnp.array([1.0, 1.001]), right=lambda: right)
    with pytest.raises(AssertionError, match="one: by hand is off by 1e.03 times what rounding"):
        measuring.check("one", ways)
    for wrong in (jnp.array([1.0, jnp.nan]), jnp.ones(3), jnp.ones((1, 2))):
        with pytest.raises(AssertionError, match="one: gdpure is off by"):
            measuring.check("one", ways._replace(gdpure=lambda wrong=wrong: wrong))


def test_ratios_are_those_of_pairs_and_stand_in_the_tables(monkeypatch):
    times = {"ours": itertools.count(1.0), "theirs": itertools.repeat(2.0)}
    monkeypatch.setattr(measuring, "seconds", lambda way: next(times[way]))
    ways = measuring.Ways("ours", "theirs")
    [line] = measuring.compare(ways, most=5, budget=100.0)
    assert line == ("by hand", 3.0, 1.5, 1.0, 2.0, 5)
    found = [(JOBS["S9"], ways, [line])]
    assert "| S9 a call of 3 steps, two parameters | 3000 | 1.5 | - | - |" in command.table(found)
    assert "| S9 | by hand | 1.5 | 1 - 2 | 5 |" in command.quartiles(found)


def test_limits_need_a_compiler_or_another_device(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    assert limits.library.__wrapped__() is None
    monkeypatch.setattr(limits, "library", lambda: None)
    x = np.ones(2, np.float32)
    assert limits.read(x, 1) == limits.arithmetic("epoch", 2) == {}
    monkeypatch.setattr(limits, "_elsewhere", lambda: True)  # no C on a graphics card either
    assert limits.write(2)["a write"]().tolist() == [1, 1]
    assert limits.copy(x)["a copy"]().tolist() == [2, 2]
    assert limits.read(x, 3)["a read"]() == [2, 2, 2]


def test_growth_is_drawn_with_names_at_the_ends():
    panel = growth.PANELS[0]
    found = {
        "gdpure": np.array([panel.values, np.geomspace(1e-4, 1e-1, len(panel.values))]),
        "by hand": np.array([panel.values, np.geomspace(1e-5, 1.1e-1, len(panel.values))]),
    }
    fig = growth.draw([(panel, found), (panel, found)])
    names = {text.get_text(): text.get_window_extent() for text in fig.axes[0].texts}
    assert set(names) == set(found) and not names["gdpure"].overlaps(names["by hand"])
    assert "0.91 x by hand" in fig.axes[0].get_xlabel()
