"""Listing: theorems in a table, and all there is to know about one."""

from __future__ import annotations

from collections.abc import Iterable

from .theorem import Theorem
from .words import WIDTH, beside


def table(theorems: Iterable[Theorem], heading: str | None = None) -> str:
    """Return a table of theorems by families: name, statement, what it assumes, where it is from.

    Parameters
    ----------
    theorems
        As in `gdpure.specs.THEOREMS`.
    heading
        Stands above all of them, instead of their families.

    Examples
    --------
    >>> from gdpure.specs.theorems.monotone_descent import THEOREMS
    >>> assert table(THEOREMS).startswith("monotone descent")
    """
    theorems = list(theorems)
    names = max((len(theorem.name) for theorem in theorems), default=0) + 5
    lines = []
    above = {theorem: heading or theorem.family for theorem in theorems}
    for title in dict.fromkeys(above.values()):
        lines += ["", title]
        for theorem in theorems:
            if above[theorem] == title:
                lines += ["", *beside(f"  {theorem.name}", _entry(theorem, WIDTH - names), names)]
    return "\n".join(lines[1:])


def _entry(theorem, width):
    said = theorem.statement
    said = said if len(said) <= width else said.replace(",  ", ",\n")
    assumed = f"assumes {', '.join(theorem.assumes)}\n" if theorem.assumes else ""
    worst = ", ".join(f"extremal.{of.__name__}" for of in theorem.extremal)
    tight = f"tight, attained by {worst}\n" if worst else ""
    return f"{said}\n{assumed}{tight}{theorem.source}"


def article(theorem: Theorem, method: str | None = None) -> str:
    """Return all there is to know about a theorem.

    Parameters
    ----------
    theorem
        One of `gdpure.specs.THEOREMS`, or of a method.
    method
        The name of that method.

    Examples
    --------
    >>> from gdpure.specs.theorems.monotone_descent import THEOREMS
    >>> assert "definition of gradient descent" in article(THEOREMS[0])
    """
    compared = "an equality" if theorem.equality else "an inequality"
    attained = ", attained by extremal functions, which a subject has to hit"
    twice = ", between two runs" if theorem.twin is not None else ""
    pairs = [
        ("theorem", theorem.statement),
        ("assumes", ", ".join(theorem.assumes) or "nothing about f"),
        ("kind", compared + twice + (attained if theorem.extremal else "")),
        ("holds for", method or {"any": "any method"}.get(theorem.methods, theorem.methods)),
        ("needs", ", ".join(theorem.needs) or "nothing but iterates"),
        ("source", theorem.source),
    ]
    lines = [line for label, text in pairs for line in beside(f"  {label}", text, 14)]
    return "\n".join([f"{theorem.name:<38}   {theorem.family}", "", *lines])
