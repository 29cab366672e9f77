"""How close gradient descent comes to every theorem, by ascent and at random; run it with Python.

For each inequality the largest ratio measured / bound is climbed to from random restarts; beside
it stands the best of as many random instances. A ratio of 1 is a bound that cannot be improved.
"""

import argparse
import time

import gdpure as gd
from gdpure.specs import THEOREMS
from gdpure.specs.optimizer.worst_case import in_words, worst_case

# A theorem that assumes more than these numbers give is left out of their rows.
SETTINGS = ((1.0, 0.0), (0.5, 0.1), (1.5, 0.1))
SUBJECTS = {"gradient descent": gd.Constant, "exact line search": gd.ExactLineSearch()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="theorems whose name contains this")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--restarts", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    budget = {"steps": options.steps, "restarts": options.restarts, "seed": options.seed}
    print(f"{'theorem':26} {'h':>4} {'q':>4} {'1 - ratio':>10} {'random':>10} {'s':>5}  worst on")
    for theorem in THEOREMS:
        # Theorems about triples of one evaluation know no method.
        if options.only not in theorem.name or theorem.family == "gradient agreement":
            continue
        searches = "line search" in theorem.statement + theorem.name
        subject = SUBJECTS["exact line search" if searches else "gradient descent"]
        for h, q in SETTINGS:
            began = time.monotonic()
            try:
                found = worst_case(theorem, subject, step_fraction=h, condition=q, **budget)
            except ValueError:  # an equality, or more is assumed
                continue
            print(
                f"{theorem.name:26} {h:4.1f} {q:4.1f} {1 - found.ratio:10.1e} "
                f"{1 - found.random:10.1e} {time.monotonic() - began:5.1f}  "
                f"{'BROKEN: ' if found.broken else ''}{in_words(found.instance).split(';')[0]}",
                flush=True,
            )


if __name__ == "__main__":
    main()
