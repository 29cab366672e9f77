"""The hunt for a counterexample: batches of instances, run by a subject, judged by theorems.

Compiled is the subject alone, once a shape and dtype: every batch is filled up to one size. What is
drawn, and what is judged, is NumPy's, on the host and in float64, wherever the subject runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import zip_longest
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import instances, rounding
from ..instances import SHAPES, Instance, Shape
from ..rows import QUIET, Run, observe
from ..subjects import Subject
from ..theorem import ASSUMPTIONS, Judgment, Theorem, find

LANES = 512  # so many instances are run, and judged, at once; more leave the cache of a processor
FIRST = 64  # so many of each shape decide which theorems are tried on all
AGAIN = 32  # so many are run operation by operation at once


@dataclass
class Case:
    """One instance in which a theorem is broken, in numbers, and what was found there."""

    instance: Instance
    shape: Shape
    attained: bool
    finding: Judgment


@dataclass
class Tally:
    """What a theorem found in all instances: counts, and the worst case of a violation."""

    theorem: Theorem
    instances: int = 0
    informative: int = 0
    violated: int = 0
    excess: float = 0.0
    cases: list[Case] = field(default_factory=list)

    def simplest(self) -> Case:
        """Return the case to begin shrinking from: one shape of all, few parameters, clear."""
        return min(
            self.cases,
            key=lambda case: (case.attained, case.shape.d, -min(case.finding.excess, 1e6)),
        )


# -- running and judging ---------------------------------------------------------------------------


def run(
    subject: Subject, batch: Instance, shape: Shape, dtype, *, stopping=False, compiled=True
) -> Run:
    """Run a subject on a batch of instances, in a dtype, as its user would; in float64 after."""
    count = batch.start.shape[-1]
    size = (LANES if compiled else AGAIN) if subject.compiled else count
    problems = _problems(batch, np.minimum(np.arange(size), count - 1), dtype)
    # A method that only stops has no other runs; what it needs no steps for is told by those.
    call = subject.stop if stopping else subject.run or subject.stop
    assert call is not None
    with _as_its_user(dtype), jax.disable_jit(not compiled):
        runs = jax.device_get(call(problems, shape.steps))
    return jax.tree.map(
        lambda leaf: np.moveaxis(leaf if leaf.dtype == bool else leaf.astype(float), 0, -1)[
            ..., :count
        ],
        runs,
    )


def begin(subject: Subject, batch: Instance, shape: Shape, dtype):
    """Try a subject on a batch for so few steps that what is no run is found before the many.

    What is compiled is only traced: a program is not needed to see what it returns.
    """
    call: Any = subject.run
    for steps in subject.first:
        if not subject.compiled:
            run(subject, batch, shape._replace(steps=steps), dtype)
        else:
            with _as_its_user(dtype):
                jax.eval_shape(partial(call, steps=steps), _problems(batch, slice(None), dtype))


def _problems(batch, lanes, dtype):
    """Return some of a batch as a subject takes them: the axis of runs first, in the dtype."""
    return jax.tree.map(lambda leaf: np.moveaxis(leaf[..., lanes], -1, 0).astype(dtype), batch)


@contextmanager
def _as_its_user(dtype):
    with (
        jax.enable_x64(jnp.dtype(dtype) == jnp.float64),
        jax.default_matmul_precision("highest"),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


def judge(
    subject: Subject,
    theorems: Sequence[Theorem],
    batch: Instance,
    shape: Shape,
    dtype,
    *,
    attained: bool = False,
    known: Sequence[Theorem] = (),
) -> list[Judgment]:
    """Run a subject on a batch, and return what each theorem finds in it.

    XLA may compute a number twice and round it in two ways, so that a row is not, to the last bits,
    the point that the next step starts from. What is compiled is therefore run again operation by
    operation where it breaks a theorem, and excused if it breaks it there no more and returns
    nothing but what rounding explains.

    Run again are the instances that break a theorem most, of each theorem one at least. What breaks
    it less than one that is excused is excused with it; where none is, all the others stand. What
    is `known` to be broken, by an instance that was run again, needs no more of them: it takes a
    hundred small programs, where the whole is one.
    """
    parts = [
        _judged(subject, theorems, part, shape, dtype, attained, known) for part in _parts(batch)
    ]
    return [_joined(found) for found in zip(*parts, strict=True)]


def _parts(batch, size=LANES):
    """Return a batch in parts of as many as are run at once."""
    for k in range(0, batch.start.shape[-1], size):
        yield _some(batch, slice(k, k + size))


def _some(batch, lanes):
    return jax.tree.map(lambda leaf: leaf[..., lanes], batch)


def _joined(batches):
    return jax.tree.map(lambda *leaves: np.concatenate(leaves, -1), *batches)


def _judged(subject, theorems, batch, shape, dtype, attained, known):
    tried = partial(_tried, subject, shape, dtype, attained)
    findings, traces = tried(theorems, batch)
    broken = [k for k, t in enumerate(theorems) if findings[k].violated.any() and t not in known]
    if not subject.compiled or not broken:
        return findings
    lanes, apart, alike = _to_run_again([findings[k] for k in broken]), [], []
    for k in range(0, len(lanes), AGAIN):
        some = lanes[k : k + AGAIN]
        try:
            found, others = tried([theorems[k] for k in broken], _some(batch, some), compiled=False)
        except Exception:  # a stranger's code, which may only run where it is compiled
            return findings
        apart.append(found)
        kinds = [_alike(traces[stopping], some, other) for stopping, other in others.items()]
        alike.append(np.all(kinds, axis=0))
    alike = np.concatenate(alike)
    for k, other in zip(broken, map(_joined, zip(*apart, strict=True)), strict=True):
        findings[k] = _excused(findings[k], lanes, alike & ~other.violated, other)
    return findings


def _to_run_again(broken):
    """Return instances, those first that break one of the theorems most, then the next of each."""
    ranked = [
        np.lexsort([-found.excess, ~found.violated])[: found.violated.sum()].tolist()
        for found in broken
    ]
    in_turn = (lane for ranks in zip_longest(*ranked) for lane in ranks if lane is not None)
    least = len({lanes[0] for lanes in ranked})
    return np.array(list(dict.fromkeys(in_turn)))[: max(least, AGAIN)]


@QUIET
def _alike(trace, lanes, other):
    """Return which instances of a batch run as another one does, but for rounding."""
    x, stray = trace.x[..., lanes], trace.stray[..., lanes]
    grown = other.drift_of(stray + other.stray)
    off = np.sqrt(((x - other.x) ** 2).sum(axis=1))
    same = (x == other.x) | (np.isnan(x) & np.isnan(other.x))
    return ((off <= grown) | same.all(axis=1)).all(axis=0)


def _excused(found, lanes, right, other):
    """Return a finding of which those of some lanes that are right have another in its place."""
    right = right & found.violated[lanes]
    if not right.any():
        return found
    as_much = found.violated & (found.excess <= found.excess[lanes[right]].max())
    as_much[lanes] = False
    found = jax.tree.map(np.array, found)
    found.violated[as_much], found.excess[as_much] = False, 1.0
    for leaf, another in zip(found, other, strict=True):
        leaf[..., lanes[right]] = another[..., right]
    return found


def _tried(subject, shape, dtype, attained, theorems, batch, *, compiled=True):
    """Return what each theorem finds in a batch, and what was observed."""
    model = rounding.arithmetic(dtype)

    @cache
    def observed(stopping):
        return observe(
            batch, run(subject, batch, shape, dtype, stopping=stopping, compiled=compiled), model
        )

    def twins(theorem, trace):
        if not all(np.any(ASSUMPTIONS[name](trace)) for name in theorem.assumes):
            return trace  # nothing is claimed of any of them
        with np.errstate(all="ignore"):
            twin = theorem.twin(trace)
        order = theorem.order(np.arange(batch.start.shape[-1]))
        # What has the shape of another instance is run by the program of that.
        n, d = twin.features.shape[:2]
        there = next((other for other in SHAPES if other[:2] == (n, d)), shape)
        runs = run(subject, _some(twin, order), there, dtype, compiled=compiled)
        return observe(twin, _some(runs, np.argsort(order)), model)

    def found(theorem):
        trace = observed("stopping" in theorem.needs)
        others = (twins(theorem, trace),) if theorem.twin else ()
        return find(theorem, trace, *others, attained=attained)

    asked = {"stopping" in theorem.needs for theorem in theorems}
    return [found(t) for t in theorems], {stopping: observed(stopping) for stopping in asked}


# -- many instances --------------------------------------------------------------------------------


def survey(
    subject: Subject,
    theorems: Sequence[Theorem],
    dtype,
    *,
    count: int,
    seed: int,
    progress: Callable[[float, list[Theorem]], None],
) -> list[Tally]:
    """Try theorems on many instances; those that are violated by the first of them, on no more.

    Parameters
    ----------
    subject, theorems, dtype
        What is tried on what; the subject brings all that the theorems need.
    count
        How many instances, over all shapes, one of each at least.
    seed
        Of everything random.
    progress
        Told which fraction is done, and what is violated so far.
    """
    tallies = {theorem: Tally(theorem) for theorem in theorems}
    share = -(-count // len(SHAPES))
    batches = {
        shape: draw(subject, np.random.default_rng([seed, k]), share, shape, dtype)
        for k, shape in enumerate(SHAPES)
    }
    first, rest = slice(FIRST), slice(FIRST, None)
    rounds = [(shape, lanes) for lanes in (first, rest) for shape in SHAPES]

    def broken():
        return [theorem for theorem, tally in tallies.items() if tally.violated]

    for k, (shape, lanes) in enumerate(rounds):
        if shape is SHAPES[0] and lanes is rest:
            _attain(subject, tallies, dtype, min(share, LANES), seed)
            progress(k / len(rounds), broken())
        batch = _some(batches[shape], lanes)
        holding = [t for t, tally in tallies.items() if lanes is first or not tally.violated]
        if not batch.start.shape[-1] or not holding:
            continue
        found = judge(subject, holding, batch, shape, dtype, known=broken())
        for theorem, finding in zip(holding, found, strict=True):
            _count(tallies[theorem], batch, shape, finding)
        progress((k + 1) / len(rounds), broken())
    return list(tallies.values())


def draw(subject: Subject, rng, count: int, shape: Shape, dtype) -> Instance:
    """Return a batch of random instances for a subject, of its step size if it has one."""
    recipe = instances.sample(rng, instances.draw_settings(rng, count), shape)
    return instances.instance(recipe, dtype, subject.step_size)


def _attain(subject, tallies, dtype, size, seed):
    """Try theorems where they are equalities, and where they are broken first."""
    [shape] = (shape for shape in SHAPES if shape[:2] == (1, 1))
    for attained in (True, False):

        def of(theorem, attained=attained):
            # Of its own step size a subject knows only what its method's theorems know, too.
            if subject.step_size is not None and (attained or "stopping" in theorem.needs):
                return ()
            return theorem.extremal if attained else theorem.hard

        theorems = [t for t, tally in tallies.items() if of(t) and not tally.violated]
        for k, function in enumerate(dict.fromkeys(f for t in theorems for f in of(t))):
            made = function(np.random.default_rng([seed, k, attained]), size, shape.steps)
            # Every number of them is short in any dtype, but for the bend.
            batch = jax.tree.map(partial(instances.rounded, dtype=dtype), made)
            about = [theorem for theorem in theorems if function in of(theorem)]
            known = [theorem for theorem in about if tallies[theorem].violated]
            found = judge(subject, about, batch, shape, dtype, attained=attained, known=known)
            for theorem, finding in zip(about, found, strict=True):
                _count(tallies[theorem], batch, shape, finding, attained)


def _count(tally, batch, shape, finding, attained=False):
    tally.instances += int(finding.applies.sum())
    tally.informative += int((finding.applies & finding.informative).sum())
    tally.violated += int(finding.violated.sum())
    seen = np.where(finding.applies, finding.excess, 0)
    tally.excess = max(tally.excess, float(seen.max()))
    if finding.violated.any():
        # The clearest case that is finite, if there is one.
        worst = int(np.lexsort([seen, finding.finite, finding.violated])[-1])
        case, found = (instances.one_of(batched, worst) for batched in (batch, finding))
        tally.cases.append(Case(case, shape, attained, found))
