"""The descent of other libraries against the theorems, by family; run this file with Python.

Every library is tried as it is when it is told nothing that it does not ask for, and told to be
plain gradient descent. What comes out is written as a table, and as one line for each theorem that
says what was found. A library that is not installed is not run.
"""

import argparse
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import optax

import gdpure as gd
from gdpure import specs
from gdpure.specs import peers
from gdpure.specs.report import DEFINITIONS, Verdict, versions

_TABLE = Path(__file__).with_suffix(".txt")
STOPS = [theorem.name for theorem in specs.THEOREMS if "stopping" in theorem.needs]
COLUMNS = (*dict.fromkeys(theorem.family for theorem in specs.THEOREMS), "stopping")
_LATE = "tested before the step that leads there"


class Tried(NamedTuple):
    """One way of running a library: a subject, what it is held to, and what it promises not."""

    subject: Any
    method: Any = None
    by_its_own_rule: dict[str, str] = {}


SETTINGS = {
    ("gdpure", "default = plain"): [Tried(gd.Constant)],
    ("optax", "default = plain"): [Tried(optax.sgd)],
    ("jaxopt", "plain"): [
        Tried(peers.jaxopt_plain),
        Tried(
            peers.jaxopt_plain_stops, None, dict.fromkeys(("stops-when-flat", "stops-first"), _LATE)
        ),
    ],
    ("jaxopt", "default"): [Tried(peers.jaxopt_default), Tried(peers.jaxopt_default_stops)],
    ("jaxopt", "its line search"): [
        Tried(peers.jaxopt_line_search, gd.Backtracking(1.0, 0.5, 0.5, 15)),
        Tried(peers.jaxopt_line_search_stops, "any", {"stops-when-flat": _LATE}),
    ],
    ("optimistix", "plain"): [Tried(peers.optimistix_plain)],
    ("optimistix", "default"): [
        Tried(peers.optimistix_default),
        Tried(peers.optimistix_default_stops),
    ],
    ("torch", "plain"): [Tried(peers.torch_plain)],
    ("torch", "default"): [Tried(peers.torch_default, gd.Constant(1e-3))],
    ("scipy", "default, any descent"): [
        Tried(peers.scipy_default, "descent"),
        Tried(peers.scipy_default_stops, "any"),
    ],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=768, help="a subject and dtype (768)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="libraries whose name contains this")
    parser.add_argument("--out", type=Path, default=_TABLE, help="a file for the table")
    options = parser.parse_args()
    began, found = time.monotonic(), {}
    for (library, setting), ways in SETTINGS.items():
        if options.only in library and find_spec(library):
            print(library, setting, file=sys.stderr)
            found[library, setting] = [row for way in ways for row in rows(way, options)]
    text = table(found) + findings(found) + footer(found, options)
    if options.only:
        print(text)
    else:
        options.out.write_text(text)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


def rows(way, options):
    """All verdicts on one way of running a library."""
    stops = "tolerance" in getattr(getattr(way.subject, "__code__", None), "co_varnames", ())
    report = specs.check_optimizer(
        way.subject,
        method=way.method,
        only=STOPS if stops else None,
        expected_failures=way.by_its_own_rule,
        instances=options.instances,
        seed=options.seed,
    )
    return report.rows


# -- as text ---------------------------------------------------------------------------------------


def column(row):
    return "stopping" if row.theorem in STOPS else row.family


def cell(rows):
    """What is said of one family: of every theorem the worst that was found in any dtype."""
    verdicts = {}
    for row in rows:
        verdicts.setdefault(row.theorem, set()).add(row.verdict)
    failed = sum(bool(found & {Verdict.ERROR, Verdict.BLOCKED}) for found in verdicts.values())
    broken = sum(Verdict.VIOLATED in found for found in verdicts.values())
    other = sum(Verdict.EXPECTED_FAILURE in found for found in verdicts.values())
    told = sum(bool(found & {Verdict.HOLDS, Verdict.VIOLATED}) for found in verdicts.values())
    if failed:
        return "error"
    if broken:
        return f"{broken} of {told + other} violated"
    if other:
        return f"{told} hold, {other} by its own rule" if told else "by its own rule"
    return f"{told} hold" if told > 1 else "holds" if told else "-"


def table(found):
    lines = [["library", "setting", *COLUMNS]]
    for (library, setting), all_rows in found.items():
        cells = (cell([row for row in all_rows if column(row) == family]) for family in COLUMNS)
        lines.append([library, setting, *cells])
    widths = [max(map(len, words)) for words in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "".join(f"| {' | '.join(map(str.ljust, line, widths))} |\n" for line in lines)


def findings(found):
    """The first violation of what a run is, each one of stopping, and what is a rule of its own."""
    text = "\n"
    for (library, setting), all_rows in found.items():
        broken = {row.theorem: row for row in reversed(all_rows) if row.verdict is Verdict.VIOLATED}
        runs = sorted(broken.keys() - set(STOPS), key=_order)
        lines = [f"{name}: {_case(broken[name])}" for name in runs[:1]]
        lines += [f"{name}: {_case(broken[name])}" for name in STOPS if name in broken]
        by_rule: dict[str, list[str]] = {}
        for row in all_rows:
            if row.verdict is Verdict.EXPECTED_FAILURE:
                by_rule.setdefault(row.reason, []).append(row.theorem)
        lines += [
            f"{', '.join(dict.fromkeys(names))}: by its own rule, {reason}"
            for reason, names in by_rule.items()
        ]
        text += "".join(f"- {library}, {setting}: {line}\n" for line in lines)
    return text


def _order(name):
    """Definitions first, then as in the list of theorems, those of a method before all."""
    names = [theorem.name for theorem in specs.THEOREMS]
    return name not in DEFINITIONS, names.index(name) if name in names else -1, name


def _case(row):
    case = row.counterexample
    if case is None:
        return row.reason
    return (
        case.cause.partition(";")[0]
        if case.cause
        else (f"{case.smallest}: must be {case.must_be}, is {case.returned}")
    )


def footer(found, options):
    libraries = dict.fromkeys(library for library, _ in found if library != "gdpure")
    names = ", ".join(f"{name} {version(name)}" for name in libraries)
    known = versions()
    return (
        f"\n{options.instances} instances a subject and dtype, float32 and float64, seed "
        f"{options.seed}; jax {known['jax']}, {names}\n"
    )


if __name__ == "__main__":
    main()
