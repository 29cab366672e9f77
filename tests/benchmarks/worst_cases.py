"""How close descent comes to every theorem, by ascent and at random; run this file with Python.

For each inequality about the rows of a run, the largest ratio measured / bound in the last row is
climbed to from random restarts; beside it stands the best of as many random instances. A ratio of 1
is a bound that cannot be improved. What comes out is written as a table.
"""

import argparse
import sys
import time
from pathlib import Path

import gdpure as gd
from gdpure.specs import THEOREMS
from gdpure.specs.optimizer.worst_case import ASCENTS, in_words, worst_case
from gdpure.specs.report import versions
from gdpure.specs.subjects import as_subject
from gdpure.specs.theorems.methods import theorems_of

_TABLE = Path(__file__).with_suffix(".txt")
# A theorem that assumes more than these numbers give is left out of their rows.
SETTINGS = ((1.0, 0.0), (0.75, 0.0), (0.5, 0.1), (1.5, 0.1))
# Rules find step sizes of their own: only q matters.
RULE_SETTINGS = ((1.0, 0.0), (1.0, 0.1))
RULES = (gd.ExactLineSearch(), gd.Polyak(0.0), gd.BarzilaiBorwein(0.5), gd.Backtracking(1.0))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="theorems whose name contains this")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--restarts", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=_TABLE, help="a file for the table")
    options = parser.parse_args()
    began = time.monotonic()
    climbs = [(theorem, gd.Constant) for theorem in THEOREMS] + [
        (theorem, rule) for rule in RULES for theorem in theorems_of(as_subject(rule).method)
    ]
    parts = {"attained by functions that are known": "", "others": ""}
    for theorem, subject in climbs:
        # Theorems about triples of one evaluation know no method.
        if options.only in theorem.name and theorem.family != "gradient agreement":
            known = theorem.extremal or theorem.name == "line-search-rate"
            parts[list(parts)[not known]] += rows(theorem, subject, options)
    text = f"{heading(options)}\n"
    columns = f"{'':28}{'h':>5}{'q':>5}{'1 - ratio':>11}{'random':>11}{'rounding':>10}"
    for title, lines in parts.items():
        text += f"\n{title}\n{columns}  worst on\n{lines}"
    if options.only:
        print(text)
    else:
        options.out.write_text(text)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


def heading(options):
    known = versions()
    return (
        "python tests/benchmarks/worst_cases.py: 1 - measured / bound in row "
        f"{options.steps}, h = eta L, q = mu / L\n"
        f"{options.restarts * ASCENTS} instances climbed and as many random ones, float64, seed "
        f"{options.seed}; python {known['python']}, jax {known['jax']}"
    )


def rows(theorem, subject, options):
    """Return one line for each setting that the theorem allows."""
    if theorem.equality and theorem.extremal:
        return f"{theorem.name:28}an equality: nothing to climb\n"
    if theorem.equality or theorem.twin or "stopping" in theorem.needs:
        return ""
    print(theorem.name, file=sys.stderr)
    text = ""
    for h, q in SETTINGS if subject is gd.Constant else RULE_SETTINGS:
        try:
            found = worst_case(
                theorem,
                subject,
                step_fraction=h,
                condition=q,
                steps=options.steps,
                restarts=options.restarts,
                seed=options.seed,
            )
        except ValueError as error:
            if " assumes " not in str(error):
                raise
            continue
        worst = in_words(found.instance).partition(";")[0]
        said = "BROKEN: " * found.broken + worst if found.rounding else "nothing but rounding"
        text += (
            f"{theorem.name:28}{h:5.2f}{q:5.1f}{1 - found.ratio:11.1e}{1 - found.random:11.1e}"
            f"{found.rounding:10.1e}  {said}\n"
        )
    return text


if __name__ == "__main__":
    main()
