"""What gdpure costs beside the same by hand, other libraries, and the limit of the machine.

Every line is a ratio of two things that are measured in turn, pair after pair, in one process: the
median of the ratios of the pairs, and their quartiles. Times depend on the machine, ratios hardly.
They are looked at, never asserted; that all computed the same thing is, to within rounding.
"""

import argparse
import contextlib
import os
import platform
import sys
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jax

from . import measuring
from .jobs import JOBS

_TABLE = Path(__file__).with_name("results.md")
_LIBRARIES = ("jax", "numpy", "scipy", "scikit-learn", "optax", "optimistix", "jaxopt", "torch")
_HEAD = ("", "ms", "by hand", "others", "the limit")


def main(arguments=None):
    parser = argparse.ArgumentParser("tests.benchmarks", description=__doc__.splitlines()[0])
    names = ", ".join(job.name for job in JOBS)
    parser.add_argument("jobs", nargs="*", help=f"all, or some of {names}")
    parser.add_argument("--seconds", type=float, default=2.0, help="for a line (2)")
    parser.add_argument("--pairs", type=int, default=51, help="for a line, at most (51)")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to try the command")
    parser.add_argument("--out", type=Path, help="a file for the table; of all jobs, results.md")
    parser.add_argument("--plot", type=Path, help="draw how times grow into a file instead")
    options = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", "JAXopt is no longer maintained", DeprecationWarning)
    if options.plot:
        from .growth import plot

        plot(options.plot, options.small)
        return
    if unknown := set(options.jobs) - {job.name for job in JOBS}:
        parser.error(f"no job is called {', '.join(sorted(unknown))}; they are {names}")
    began, found = time.monotonic(), []
    for job in JOBS:
        if job.backend == jax.default_backend() and job.name in (options.jobs or [job.name]):
            job = job._replace(sizes=job.sizes | job.small) if options.small else job
            found.append((job, *measured(job, options)))
    text = table(found) + "\n" + machine() + "\n\n" + quartiles(found)
    whole = not options.jobs and not options.small and jax.default_backend() == "cpu"
    if out := options.out or (_TABLE if whole else None):
        out.write_text(text)
    print(table(found))
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


def measured(job, options):
    """Return the ways of a job and their lines, and say each as soon as it is known."""
    ways = job.ways()
    print(f"{job.name}: {job.sentence()}", file=sys.stderr)
    measuring.check(job.name, ways)
    lines = []
    for line in measuring.compare(ways, options.pairs, options.seconds):
        spread = f"{number(line.ratio):>6}  ({number(line.low)} - {number(line.high)})"
        print(f"  {milliseconds(line.seconds):>9} ms {spread:24} {line.other}", file=sys.stderr)
        lines.append(line)
    return ways, lines


def milliseconds(seconds):
    """Return a time in milliseconds, in three digits, without an exponent."""
    return f"{seconds * 1e3:.0f}" if seconds >= 0.1 else f"{seconds * 1e3:.3g}"


def number(ratio):
    """Return a ratio in two digits, without an exponent."""
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}" if ratio >= 0.01 else f"{ratio:.1g}"


# -- as Markdown -----------------------------------------------------------------------------------


def _rows(*rows):
    return "".join(f"| {' | '.join(row)} |\n".replace("|  |", "| |") for row in rows)


def table(found):
    """Return a row a job: how long gdpure takes, and medians of its ratios to all others."""
    rows = []
    for job, ways, lines in found:
        ratios = {line.other: number(line.ratio) for line in lines}
        others = ", ".join(f"{name} {ratios[name]}" for name in ways.peers)
        limits = ", ".join(f"{ratios[name]} ({name})" for name in ways.limit)
        cells = milliseconds(lines[0].seconds), ratios["by hand"], others or "-", limits or "-"
        rows.append((f"{job.name} {job.sentence()}", *cells))
    return _rows(_HEAD, ("---",) * len(_HEAD), *rows)


def quartiles(found):
    """Return a row a pair: median and quartiles of the ratios, and how many pairs they are of."""
    rows = []
    for job, _, lines in found:
        for line in lines:
            spread = f"{number(line.low)} - {number(line.high)}"
            rows.append((job.name, line.other, number(line.ratio), spread, str(line.pairs)))
    head = ("job", "gdpure to", "median", "quartiles", "pairs")
    return _rows(head, ("---",) * len(head), *rows)


def machine():
    """Say what the numbers were measured on."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    where = [*models, platform.processor() or platform.machine()][0]
    if (device := jax.devices()[0].device_kind) != "cpu":
        where = f"{device}, {where}"
    versions = []
    for name in _LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            versions.append(f"{name} {version(name)}")
    python = platform.python_version()
    return f"{where}, {os.cpu_count()} cores; python {python}, {', '.join(versions)}; float32."


if __name__ == "__main__":
    main()
