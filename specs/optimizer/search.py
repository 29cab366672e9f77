"""The hunt for a counterexample: batches of instances, run by a subject, judged by theorems.

What a batch has in common is a `Setting`; a key makes the instances of the batch from it, inside
one compiled function. Nothing is compiled twice, whatever is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from .. import instances, rounding
from ..families import companions
from ..instances import RANGES, SHAPES, Instance, Setting, Shape
from ..theorem import Finding, Run, Theorem, find, observe
from .subjects import FEW, Subject

# The programs of the judge are long and run for milliseconds: they are compiled in 0.6 of the
# time, without what makes them no faster.
_QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
if jax.__version_info__ < (0, 11):  # in half of that once more; later versions have no such option
    _QUICKLY["xla_cpu_use_fusion_emitters"] = False


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


def run(
    subject: Subject, batch: Instance, shape: Shape, dtype, *, stopping=False, compiled=True
) -> Run:
    """Run a subject on a batch of instances, in a dtype, as its user would; in float64 after."""
    with jax.enable_x64(True):
        problems = _cast(batch, dtype=dtype)
    # A method that only stops has no other runs; what it needs no steps for is told by those.
    call = subject.stop if stopping else subject.run or subject.stop
    assert call is not None
    with (
        jax.enable_x64(jnp.dtype(dtype) == jnp.float64),
        jax.default_matmul_precision("highest"),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.disable_jit(not compiled),
    ):
        runs = jax.block_until_ready(call(problems, shape.steps))
    # In float64 and of one structure, whatever ran: the judge is compiled once.
    with jax.enable_x64(True):
        return _complete(_cast(runs, dtype=jnp.float64))


def _complete(runs):
    """Return runs with NaN for what a subject does not record, but gradients of examples."""
    point = runs.point
    unknown = Run(
        point, *(np.full(np.shape(x), np.nan) for x in (point[..., 0], point, point[:, 0]))
    )._replace(converged=np.zeros(len(point), bool), limit=np.zeros(len(point)))
    return Run(*(b if a is None else a for a, b in zip(runs, unknown, strict=True)))


def _model(dtype):
    return rounding.Arithmetic(*map(np.float64, rounding.arithmetic(dtype)))


@partial(jax.jit, compiler_options=_QUICKLY)
def _observe(batch, runs, model):
    return jax.vmap(lambda instance, run: observe(instance, run, model))(batch, runs)


@partial(jax.jit, static_argnames="theorems", compiler_options=_QUICKLY)
def _find(traces, attained, *, theorems):
    def one(trace):
        return [find(theorem, trace, attained=attained) for theorem in theorems]

    return jax.vmap(one)(traces)


@partial(jax.jit, static_argnames="theorem", compiler_options=_QUICKLY)
def _make_twins(traces, *, theorem):
    twins = jax.vmap(theorem.twin)(traces)
    order = theorem.order(np.arange(len(twins.start)))
    return jax.tree.map(lambda leaf: leaf[order], twins)


@partial(jax.jit, static_argnames="theorem", compiler_options=_QUICKLY)
def _find_twins(traces, others, *, theorem):
    back = np.argsort(theorem.order(np.arange(len(others.x))))
    others = jax.tree.map(lambda leaf: leaf[back], others)
    return jax.vmap(lambda trace, other: find(theorem, trace, other))(traces, others)


def judge(
    subject: Subject,
    theorems: Sequence[Theorem],
    batch: Instance,
    shape: Shape,
    dtype,
    *,
    attained: bool = False,
) -> list[Finding]:
    """Run a subject on a batch, and return what each theorem finds in it, in NumPy arrays.

    XLA may compute a number twice and round it in two ways, so that a row is not, to the last bits,
    the point that the next step starts from. What is compiled is therefore run again operation by
    operation where it breaks a theorem, and accused of what it breaks there as well, or if it
    returns what rounding does not explain.
    """
    tried = partial(_tried, subject, theorems, batch, shape, dtype, attained)
    findings, traces = tried()
    if not subject.compiled or not any(found.violated.any() for found in findings):
        return findings
    try:
        apart, others = tried(compiled=False)
    except Exception:  # a stranger's code, which may only run where it is compiled
        return findings
    alike = np.all([_alike(*pair) for pair in zip(traces, others, strict=True)], axis=0)
    return [
        jax.tree.map(partial(_where, alike & found.violated & ~other.violated), other, found)
        for found, other in zip(findings, apart, strict=True)
    ]


def _where(condition, this, that):
    return np.where(condition.reshape(-1, *[1] * (np.ndim(this) - 1)), this, that)


def _alike(trace, other):
    """Return which runs of a batch differ by no more than rounding may make of them, (B,)."""
    f, steps = trace.instance, [x.stray.T for x in (trace, other)]
    h = f.step_size * np.stack([f.smoothness, f.strong_convexity])
    grown = rounding.drift(np.maximum(1.0, abs(1.0 - h).max(axis=0)), sum(steps))
    with np.errstate(invalid="ignore"):
        off = np.sqrt(((trace.x - other.x) ** 2).sum(axis=-1))
    same = (trace.x == other.x) | (np.isnan(trace.x) & np.isnan(other.x))
    return ((off <= grown.T) | same.all(axis=-1)).all(axis=-1)


def _tried(subject, theorems, batch, shape, dtype, attained, *, compiled=True):
    """Return what each theorem finds in a batch, and what was observed, in NumPy arrays."""
    model, found = _model(dtype), {}

    @cache
    def observed(stopping):
        runs = run(subject, batch, shape, dtype, stopping=stopping, compiled=compiled)
        with jax.enable_x64(True):
            return _observe(batch, runs, model)

    asked = ["stopping" in theorem.needs for theorem in theorems]
    for theorem, stopping in zip(theorems, asked, strict=True):
        if theorem in found:
            continue
        traces = observed(stopping)
        if theorem.twin is None:
            together = companions(theorem)
            with jax.enable_x64(True):
                found |= zip(together, _find(traces, attained, theorems=together), strict=True)
        else:
            with jax.enable_x64(True):
                twins = _make_twins(traces, theorem=theorem)
            runs = run(subject, twins, shape, dtype, compiled=compiled)
            with jax.enable_x64(True):
                others = _observe(twins, runs, model)
                found[theorem] = _find_twins(traces, others, theorem=theorem)
    seen = [observed(stopping) for stopping in sorted(set(asked))]
    return jax.device_get(([found[theorem] for theorem in theorems], seen))


def batch_size(subject: Subject, count: int) -> int:
    """Return one of two sizes of a batch: every size is compiled anew."""
    return subject.batch if count >= len(SHAPES) * subject.batch else FEW


def batch_of(shape: Shape, dtype, subject: Subject, settings, numbers) -> Instance:
    """Return a batch of instances for a subject, one a setting and number."""
    with jax.enable_x64(True):
        settings = Setting(*(np.array(x, np.int64) for x in zip(*settings, strict=True)))
        step_size = None if subject.step_size is None else np.float64(subject.step_size)
        return _make(settings, np.asarray(numbers), step_size, shape=shape, dtype=dtype)


# -- many instances --------------------------------------------------------------------------------


@cache
def draw_settings(count: int, seed: int) -> list[Setting]:
    """Return random settings; of their numbers one in eight is 0, or an end of its range.

    Not by hypothesis: it also draws what is written in the modules that happen to be loaded.
    """
    rng = np.random.default_rng(seed)
    low, high = np.transpose(RANGES)
    drawn = rng.integers(low, high, (count, len(RANGES)), endpoint=True)
    place = rng.integers(24, size=drawn.shape)
    ends = np.stack([low, 0 * low, high])[place % 3, np.arange(len(RANGES))]
    return [Setting(*row) for row in np.where(place < 3, ends, drawn).tolist()]


def survey(
    subject: Subject,
    theorems: Sequence[Theorem],
    dtype,
    *,
    count: int,
    seed: int,
    progress: Callable[[float], None],
) -> list[Tally]:
    """Try theorems on many instances.

    Parameters
    ----------
    subject, theorems, dtype
        What is tried on what; the subject brings all that the theorems need.
    count
        How many instances at least, over all shapes.
    seed
        Of everything random.
    progress
        Told which fraction is done.
    """
    tallies = {theorem: Tally(theorem) for theorem in theorems}
    size = batch_size(subject, count)
    rounds = max(-(-count // size), len(SHAPES))
    settings = draw_settings(min(count, 256), seed)
    for k in range(rounds):
        shape = SHAPES[k % len(SHAPES)]
        numbers = np.arange(k * size, (k + 1) * size) + seed
        drawn = [settings[i % len(settings)] for i in numbers]
        batch = batch_of(shape, dtype, subject, drawn, numbers)
        found = judge(subject, theorems, batch, shape, dtype)
        for theorem, finding in zip(theorems, found, strict=True):
            _count(tallies[theorem], batch, shape, finding)
        progress((k + 1) / rounds)
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
