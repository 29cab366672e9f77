"""What gdpure costs beside the same by hand, other libraries, and the limit of the machine.

Every line is a ratio of two things that are measured in turn, pair after pair, in one process: the
median of the ratios of the pairs, and their quartiles. Times depend on the machine, ratios hardly.
They are looked at, never asserted; that all computed the same thing is.
"""

import argparse
import time
from pathlib import Path

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from .jobs import KINDS, passes, runs, sweeps


def seconds(run):
    began = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - began


def ratios(ours, other, pairs):
    """How much longer one takes than the other, pair by pair, in alternating order; and ours."""
    for run in (ours, other):  # to warm up
        seconds(run)
    found, took_ours = [], []
    for k in range(pairs):
        took = {run: seconds(run) for run in ((ours, other) if k % 2 else (other, ours))}
        found.append(took[ours] / took[other])
        took_ours.append(took[ours])
    return np.quantile(found, [0.5, 0.25, 0.75]), np.median(took_ours)


def check(job):
    """Demand the same of all: half of the digits, for other algorithms round otherwise."""
    if job.same is None:
        return
    wanted = job.same(job.ours())
    for name, other in job.others.items():
        found = job.same(other())
        pairs = zip(jax.tree.leaves(wanted), jax.tree.leaves(found), strict=True)
        for x, y in pairs:
            x, y = np.asarray(x, float), np.asarray(y, float)
            near = np.abs(x - y).max() <= np.finfo(np.float32).eps ** 0.5 * np.abs(x).max()
            assert x.shape == y.shape and near, f"{job.name}: {name} computes something else"


def measured(options):
    """Yield a line for each pair of things: job, with what, seconds, ratio, quartiles."""
    for kind in KINDS:
        for job in kind(1 / 512 if options.small else 1):
            if options.only not in job.name:
                continue
            check(job)
            limits = {"limit: the same bytes": job.limit} if job.limit else {}
            for name, other in {**job.others, **limits}.items():
                (middle, low, high), took = ratios(job.ours, other, options.pairs)
                yield job.name, name, took, middle, low, high


def table(lines):
    device = jax.devices()[0].device_kind
    drawn = Table(title=f"JAX {jax.__version__}, {device}; 1.00 is as fast as")
    for name in ("gdpure", "ms", "ratio", "quartiles", "to"):
        drawn.add_column(name, justify="right" if name in ("ms", "ratio") else "left")
    for name, other, took, middle, low, high in lines:
        drawn.add_row(name, f"{took * 1e3:.3g}", f"{middle:.2f}", f"{low:.2f} - {high:.2f}", other)
    return drawn


def plot(path):
    """Draw how times grow with the size of the jobs: runs of a sweep, steps, rows."""
    import matplotlib.pyplot as plt

    grown = {"runs (the root)": sweeps, "steps": runs, "rows": passes}
    fig, axes = plt.subplots(1, len(grown), figsize=(12, 4), layout="constrained")
    sizes = 2.0 ** np.arange(-6, 1)
    for ax, (name, kind) in zip(axes, grown.items(), strict=True):
        times = {}
        for size in sizes:
            job = next(kind(size))
            for who, run in {"gdpure": job.ours, **job.others}.items():
                seconds(run)
                times.setdefault(who, []).append(min(seconds(run) for _ in range(3)))
        for who, took in times.items():
            ax.loglog(sizes, took, marker="o", label=who)
        ax.set(title=job.name.partition(",")[0], xlabel=f"share of the {name}", ylabel="seconds")
        ax.legend()
    fig.savefig(path)


def main(arguments=None):
    parser = argparse.ArgumentParser("tests.benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15, help="pairs a line (15)")
    parser.add_argument("--only", default="", help="jobs whose name contains this")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to try the command")
    parser.add_argument("--plot", type=Path, help="draw how times grow into a file instead")
    options = parser.parse_args(arguments)
    if options.plot:
        plot(options.plot)
    else:
        Console(width=110).print(table(measured(options)))


if __name__ == "__main__":
    main()
