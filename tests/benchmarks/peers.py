"""The descent of other libraries against the theorems, by family; run this file with Python.

Every library is tried as it is when it is told nothing that it does not ask for, and told to be
plain gradient descent; where it stops by itself, on a line of its own. What comes out is written as
a table, with what was found below it, in the form that the README shows. A library that is not
installed is not run.
"""

import argparse
import sys
import textwrap
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import libraries
import optax

import gdpure as gd
from gdpure import specs
from gdpure.specs.report import DEFINITIONS, Verdict, versions
from gdpure.specs.theorem import FAMILIES

_TABLE = Path(__file__).with_suffix(".txt")


class Peer(NamedTuple):
    """One way of running a library: a subject, what it is held to, and what is known of it.

    What is known is a sentence for each theorem that it explains the violation of.
    """

    library: str
    setting: str
    subject: Any
    method: Any = None
    known: dict[str, str] = {}


_LATE = "the tolerance is tested before the last step, not at the point that is returned"
PEERS = (
    Peer("gdpure", "`gd.Constant`", gd.Constant),
    Peer("optax", "`sgd`", optax.sgd),
    Peer("jaxopt", "plain", libraries.jaxopt_plain),
    Peer(
        "jaxopt",
        "default",
        libraries.jaxopt_default,
        None,
        {"step-identity": "the default is an accelerated method"},
    ),
    Peer(
        "jaxopt",
        "its line search",
        libraries.jaxopt_line_search,
        gd.Backtracking(1.0, 0.5, 0.5, 15),
        {
            "armijo-step": "a step may ascend by the dtype's eps, however small the values are; "
            "and when its 15 halvings are spent, the last is taken"
        },
    ),
    Peer("jaxopt", "plain, stops", libraries.jaxopt_plain_stops, None, {"stops-first": _LATE}),
    Peer("jaxopt", "default, stops", libraries.jaxopt_default_stops, None, {"stops-first": _LATE}),
    Peer(
        "jaxopt",
        "its line search, stops",
        libraries.jaxopt_line_search_stops,
        "any",
        {
            "stops-flat": "the error is half the norm of the gradient, before the last step: it "
            "converges at twice the tolerance and more"
        },
    ),
    Peer("optimistix", "stepped", libraries.optimistix_plain),
    Peer(
        "optimistix",
        "default",
        libraries.optimistix_default,
        None,
        {"step-identity": "`max_steps=N` does N - 1 steps"},
    ),
    Peer(
        "optimistix",
        "default, stops",
        libraries.optimistix_default_stops,
        None,
        {
            "stops-flat": "a short move is a success, however steep it is there: at the start, if "
            "the step is tiny"
        },
    ),
    Peer("torch", "plain", libraries.torch_plain),
    Peer("torch", "default", libraries.torch_default, gd.Constant(1e-3)),
    Peer("scipy", "default (BFGS), any descent", libraries.scipy_default, "descent"),
    Peer(
        "scipy",
        "default (BFGS), stops",
        libraries.scipy_default_stops,
        "any",
        {"stops-when-flat": "a run that gets there in the last step it is allowed is a failure"},
    ),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=768, help="a subject and dtype (768)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="libraries whose name contains this")
    parser.add_argument("--out", type=Path, default=_TABLE, help="a file for the table")
    options = parser.parse_args()
    began, found = time.monotonic(), {}
    for peer in PEERS:
        if options.only in peer.library and find_spec(peer.library):
            print(peer.library, peer.setting, file=sys.stderr)
            report = specs.check_optimizer(
                peer.subject, method=peer.method, instances=options.instances, seed=options.seed
            )
            found[_title(peer)] = peer, report.rows
    text = table(found) + findings(found) + footer(options)
    if options.only:
        print(text)
    else:
        options.out.write_text(text)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


# -- as text ---------------------------------------------------------------------------------------


def _title(peer):
    return f"{peer.library} {version(peer.library)}, {peer.setting}"


def table(found):
    lines = [["", *FAMILIES], ["---"] * (1 + len(FAMILIES))]
    for title, (_, rows) in found.items():
        cells = (cell([row for row in rows if row.family == family]) for family in FAMILIES)
        lines.append([title, *cells])
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)


def cell(rows):
    """What is said of one family: of every theorem the worst that was found in any dtype."""
    verdicts = {}
    for row in rows:
        verdicts.setdefault(row.theorem, set()).add(row.verdict)
    if any(found & {Verdict.ERROR, Verdict.BLOCKED} for found in verdicts.values()):
        return "error"
    broken = sum(Verdict.VIOLATED in found for found in verdicts.values())
    held = sum(Verdict.HOLDS in found for found in verdicts.values())
    return f"{broken} violated" if broken else f"{held} hold{'s' * (held == 1)}" if held else "-"


def findings(found):
    """What is known of each peer and was found; where nothing is known, the first violation."""
    text = "\n"
    for title, (peer, rows) in found.items():
        broken = {row.theorem: row for row in reversed(rows) if row.verdict is Verdict.VIOLATED}
        told = [
            f"{sentence} (`{name}`, {_case(broken[name])})"
            if name in broken
            else f"not found: {sentence}"
            for name, sentence in peer.known.items()
        ]
        if broken and not peer.known:
            name = min(broken, key=lambda name: name not in DEFINITIONS)
            told = [f"`{name}`, {_case(broken[name])}"]
        for sentence in told:
            line = f"- {title}: {sentence}"
            text += textwrap.fill(line, 100, subsequent_indent="  ", break_on_hyphens=False) + "\n"
    return text


def _case(row):
    case = row.counterexample
    return case.smallest if case else row.reason


def footer(options):
    known = versions()
    return (
        f"\n{options.instances} instances a peer and dtype, float32 and float64, seed "
        f"{options.seed}; python {known['python']}, jax {known['jax']}.\n"
    )


if __name__ == "__main__":
    main()
