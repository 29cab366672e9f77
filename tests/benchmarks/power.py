"""Which theorem catches which planted bug; run this file with Python.

Every bug of tests/planted is held to every theorem that applies. What comes out is written as a
table: theorems that catch nothing, which are illustrations, bugs that a single theorem catches,
bugs that pass the checks that people use, and the fewest theorems that catch all bugs.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

_TESTS = Path(__file__).parents[1]
_TABLE = _TESTS / "planted" / "power.txt"
sys.path.insert(0, str(_TESTS))

from planted import CATALOGUE, METHODS, honest, power  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=768, help="a subject and dtype (768)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="bugs whose name or kind contains this")
    parser.add_argument("--out", type=Path, default=_TABLE, help="a file for the table")
    options = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)  # bugs overflow
    budget = {"instances": options.instances, "seed": options.seed}
    bugs = [bug for bug in CATALOGUE if options.only in f"{bug.name} {bug.kind}"]
    began, caught, asked = time.monotonic(), {}, power.asked(bugs)
    theorems = dict.fromkeys(name for bug in bugs for name in power.held_to(bug.method))
    for bug in bugs:
        report = power.judged(bug.subject, bug.method, **budget)
        caught[bug.name] = power.violated(report)
        for reason in power.failed(report):
            print(f"{bug.name}: {reason}", file=sys.stderr)
    text = power.table(bugs, caught, asked, theorems)
    if not options.only:
        text += "\nCorrect methods, and the theorems that accuse them\n\n"
        for kind, subjects in honest.HONEST.items():
            for subject in subjects:
                report = power.judged(subject, METHODS[kind], **budget)
                found = sorted(power.violated(report)) + power.failed(report)
                text += f"{subject.__name__:26} {', '.join(found) or '-'}\n"
        text += "\nOther methods, held to gradient descent: how many theorems they violate\n\n"
        for other in honest.OTHERS:
            found = power.violated(power.judged(other, None, **budget))
            text += f"{other.__name__:26} {len(found):3}\n"
    if options.only:
        print(text)
    else:
        options.out.write_text(text)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
