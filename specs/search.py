"""The hunt for a counterexample: batches of instances, run by a subject, judged by theorems.

Hypothesis draws what a batch has in common, a `Setting`; a key makes the instances of the batch
from it, inside one compiled function. Nothing is compiled twice, whatever is drawn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import HealthCheck

from . import instances, rounding
from .instances import SHAPES, Instance, Setting, Shape
from .subjects import Subject
from .theorem import Finding, Run, Theorem, find, observe

# The programs of the judge are long and run for milliseconds: they are compiled in 0.6 of the
# time, without what makes them no faster.
_QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@dataclass
class Case:
    """One instance in which a theorem is broken, in numbers, and what was found there."""

    instance: Instance
    shape: Shape
    attained: bool
    finding: Finding


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


@partial(jax.jit, static_argnames=("shape", "dtype"), compiler_options=_QUICKLY)
def _make(settings, numbers, step_size, *, shape, dtype):
    def one(setting, number):
        key = jax.random.fold_in(jax.random.key(setting.seed), number)
        return instances.instance(instances.sample(key, setting, shape), dtype, step_size)

    return jax.vmap(one)(settings, numbers)


@partial(jax.jit, static_argnames=("functions", "count", "steps"), compiler_options=_QUICKLY)
def _make_extremal(seed, *, functions, count, steps):
    keys = jax.random.split(jax.random.key(seed), count)
    return [jax.vmap(lambda key, f=f: f(key, steps))(keys) for f in functions]


@partial(jax.jit, static_argnames="dtype")
def _cast(tree, *, dtype):
    """Return a tree with its numbers in a dtype; what is true or false stays so."""
    return jax.tree.map(
        lambda leaf: leaf if leaf.dtype == bool else jnp.asarray(leaf).astype(dtype), tree
    )


def run(subject: Subject, batch: Instance, shape: Shape, dtype, *, stopping=False) -> Run:
    """Run a subject on a batch of instances, in a dtype, as its user would; in float64 after."""
    with jax.enable_x64(True):
        problems = _cast(batch, dtype=dtype)
    # A method that only stops has no other runs.
    call = subject.stop if stopping else subject.run or subject.stop
    assert call is not None
    with (
        jax.enable_x64(jnp.dtype(dtype) == jnp.float64),
        jax.default_matmul_precision("highest"),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        runs = jax.block_until_ready(call(problems, shape.steps))
    # In float64 whatever the dtype of the run was: the judge is compiled once.
    with jax.enable_x64(True):
        return _cast(runs, dtype=jnp.float64)


def _model(dtype):
    return rounding.Arithmetic(*map(np.float64, rounding.arithmetic(dtype)))


@partial(jax.jit, static_argnames=("theorems", "attained"), compiler_options=_QUICKLY)
def _judge(batch, runs, model, *, theorems, attained=False):
    def one(instance, run):
        trace = observe(instance, run, model)
        return [find(theorem, trace, attained=attained) for theorem in theorems]

    return jax.vmap(one)(batch, runs)


@partial(jax.jit, static_argnames="theorems", compiler_options=_QUICKLY)
def _make_twins(batch, runs, model, *, theorems):
    def one(instance, run):
        trace = observe(instance, run, model)
        return [theorem.twin(trace) for theorem in theorems]

    return jax.vmap(one)(batch, runs)


@partial(jax.jit, static_argnames="theorems", compiler_options=_QUICKLY)
def _judge_twins(batch, runs, twins, others, model, *, theorems):
    def one(instance, run, twins, others):
        trace = observe(instance, run, model)
        return [
            find(theorem, trace, observe(twin, other, model))
            for theorem, twin, other in zip(theorems, twins, others, strict=True)
        ]

    return jax.vmap(one)(batch, runs, twins, others)


def judge(
    subject: Subject,
    theorems: Sequence[Theorem],
    batch: Instance,
    shape: Shape,
    dtype,
    *,
    attained: bool = False,
) -> list[Finding]:
    """Run a subject on a batch, and return what each theorem finds in it, in NumPy arrays."""
    model, found = _model(dtype), {}
    stopping = tuple(t for t in theorems if "stopping" in t.needs)
    plain = tuple(t for t in theorems if t.twin is None and t not in stopping)
    twins = tuple(t for t in theorems if t.twin is not None)
    if plain or twins:
        runs = run(subject, batch, shape, dtype)
        with jax.enable_x64(True):
            judged = _judge(batch, runs, model, theorems=plain, attained=attained)
        found.update(zip(plain, judged, strict=True))
    if twins:
        judged = _twins(subject, twins, batch, runs, shape, dtype, model)
        found.update(zip(twins, judged, strict=True))
    if stopping:
        runs = run(subject, batch, shape, dtype, stopping=True)
        with jax.enable_x64(True):
            judged = _judge(batch, runs, model, theorems=stopping)
        found.update(zip(stopping, judged, strict=True))
    return jax.device_get([found[theorem] for theorem in theorems])


def _twins(subject, theorems, batch, runs, shape, dtype, model):
    """Judge the theorems that compare two runs of each instance."""
    with jax.enable_x64(True):
        twins = _make_twins(batch, runs, model, theorems=theorems)
    others = []
    for theorem, twin in zip(theorems, twins, strict=True):
        order = theorem.order(np.arange(len(batch.start)))
        with jax.enable_x64(True):
            arranged = jax.tree.map(lambda leaf, order=order: leaf[order], twin)
        other = run(subject, arranged, shape, dtype)
        back = np.argsort(order)
        with jax.enable_x64(True):
            others.append(jax.tree.map(lambda leaf, back=back: leaf[back], other))
    with jax.enable_x64(True):
        return _judge_twins(batch, runs, twins, others, model, theorems=theorems)


def batch_of(shape: Shape, dtype, subject: Subject, settings, numbers) -> Instance:
    """Return a batch of instances for a subject, one a setting and number."""
    with jax.enable_x64(True):
        settings = Setting(*(np.array(x, np.int64) for x in zip(*settings, strict=True)))
        step_size = None if subject.step_size is None else np.float64(subject.step_size)
        return _make(settings, np.asarray(numbers), step_size, shape=shape, dtype=dtype)


# -- many instances --------------------------------------------------------------------------------


@cache
def draw_settings(count: int, seed: int, most_sixteenths: int = 40) -> list[Setting]:
    """Return settings drawn by hypothesis: zeros and ones and ends of ranges among them."""
    drawn: list[Setting] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.nested_given],
    )
    @hypothesis.given(instances.settings(most_sixteenths))
    def draw(setting):
        drawn.append(setting)

    draw()
    return drawn


def survey(
    subject: Subject,
    theorems: Sequence[Theorem],
    dtype,
    *,
    count: int,
    seconds: float,
    seed: int,
    progress: Callable[[float], None],
) -> list[Tally]:
    """Try theorems on many instances; stop early when the time is up.

    Parameters
    ----------
    subject, theorems, dtype
        What is tried on what; the subject brings all that the theorems need.
    count
        How many instances, over all shapes.
    seconds
        How long at most, once every shape was tried.
    seed
        Of everything random.
    progress
        Told which fraction is done.
    """
    tallies = {theorem: Tally(theorem) for theorem in theorems}
    size = min(subject.batch, -(-count // len(SHAPES)))
    rounds = -(-count // size)
    settings = draw_settings(min(count, 256), seed)
    began = 0.0
    for k in range(rounds):
        shape = SHAPES[k % len(SHAPES)]
        numbers = np.arange(k * size, (k + 1) * size) + seed
        drawn = [settings[i % len(settings)] for i in numbers]
        batch = batch_of(shape, dtype, subject, drawn, numbers)
        found = judge(subject, theorems, batch, shape, dtype)
        for theorem, finding in zip(theorems, found, strict=True):
            _count(tallies[theorem], batch, shape, finding)
        if k + 1 == len(SHAPES):
            began = time.monotonic()  # all is compiled now
        spent = (time.monotonic() - began) / seconds if began else 0.0
        progress(max((k + 1) / rounds, min(spent, 1.0)))
        if spent > 1:
            break
    _attain(subject, tallies, dtype, size, seed)
    return list(tallies.values())


def _attain(subject, tallies, dtype, size, seed):
    """Try theorems where they are equalities, and where they are broken first."""
    [shape] = (shape for shape in SHAPES if shape[:2] == (1, 1))
    for attained in (True, False):

        def of(theorem, attained=attained):
            # Of its own step size a subject knows only what its method's theorems know, too.
            if subject.step_size is not None and (attained or "stopping" in theorem.needs):
                return ()
            return theorem.extremal if attained else theorem.hard

        theorems = tuple(theorem for theorem in tallies if of(theorem))
        functions = tuple(dict.fromkeys(f for theorem in theorems for f in of(theorem)))
        if not functions:
            continue
        with jax.enable_x64(True):
            made = _make_extremal(
                np.int64(seed), functions=functions, count=size, steps=shape.steps
            )
            # Every number of them is short in any dtype, but for the bend.
            made = [_cast(_cast(batch, dtype=dtype), dtype=jnp.float64) for batch in made]
        for function, batch in zip(functions, made, strict=True):
            found = judge(subject, theorems, batch, shape, dtype, attained=attained)
            for theorem, finding in zip(theorems, found, strict=True):
                if function in of(theorem):
                    _count(tallies[theorem], batch, shape, finding, attained)


def _count(tally, batch, shape, finding, attained=False):
    tally.instances += int(finding.applies.sum())
    tally.informative += int((finding.applies & finding.informative).sum())
    tally.violated += int(finding.violated.sum())
    seen = np.where(finding.applies, finding.excess, 0)
    tally.excess = max(tally.excess, float(seen.max()))
    if finding.violated.any():
        # The clearest case that is finite, if there is one.
        order = np.lexsort([seen, finding.finite, finding.violated])
        worst = int(order[-1])
        case = jax.tree.map(lambda leaf: np.asarray(leaf)[worst], (batch, finding))
        tally.cases.append(Case(case[0], shape, attained, case[1]))


def as_batch(cases: Sequence[Instance], size: int) -> Instance:
    """Return instances of one shape as a batch of a fixed size, the last repeated."""
    padded = [*cases, *[cases[-1]] * (size - len(cases))]
    with jax.enable_x64(True):
        return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *padded)
