"""Listing: theorems in a table, and all there is to know about one; many reports, a line each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from .report import DEFINITIONS, SCHEMA, Report, Verdict
from .theorem import Theorem
from .theorems import THEOREMS
from .theorems.methods import CATALOGUE
from .words import WIDTH, Line, Span, beside, marked


def known() -> list[tuple[Theorem, str | None]]:
    """Return all theorems, each with the name of the method it is of, or None.

    Examples
    --------
    >>> assert {"fejer", "heavy-ball-rate"} <= {theorem.name for theorem, _ in known()}
    """
    of_methods = [(theorem, name) for name, theirs in CATALOGUE.items() for theorem in theirs]
    return [*((theorem, None) for theorem in THEOREMS), *of_methods]


def table(theorems: Iterable[Theorem], heading: str | None = None) -> list[Line]:
    """Return a table of theorems by families: name, statement, what it assumes, its source.

    Parameters
    ----------
    theorems
        As in `gdpure.specs.THEOREMS`.
    heading
        Stands above all of them, instead of their families.

    Examples
    --------
    >>> from gdpure.specs.theorems.monotone_descent import THEOREMS
    >>> from gdpure.specs.words import unmarked
    >>> assert unmarked(table(THEOREMS)).startswith("monotone descent")
    """
    theorems = list(theorems)
    names = max((len(theorem.name) for theorem in theorems), default=0) + 5
    lines = []
    above = {theorem: heading or theorem.family for theorem in theorems}
    for title in dict.fromkeys(above.values()):
        lines += [[], [Span(title, "label")]]
        for theorem in theorems:
            if above[theorem] == title:
                rows = beside(f"  {theorem.name}", _entry(theorem, WIDTH - names), names)
                lines += [[], *marked(rows, Span(f"  {theorem.name}", "name"))]
    return lines[1:]


def _entry(theorem, width):
    said = theorem.statement
    said = said if len(said) <= width else said.replace(",  ", ",\n")
    assumed = f"assumes {', '.join(theorem.assumes)}\n" if theorem.assumes else ""
    worst = ", ".join(f"extremal.{of.__name__}" for of in theorem.extremal)
    tight = f"tight, attained by {worst}\n" if worst else ""
    return f"{said}\n{assumed}{tight}{theorem.source}"


def article(theorem: Theorem, method: str | None = None) -> list[Line]:
    """Return lines with all there is to know about a theorem.

    Parameters
    ----------
    theorem
        One of `gdpure.specs.THEOREMS`, or of a method.
    method
        The name of that method.

    Examples
    --------
    >>> from gdpure.specs.theorems.monotone_descent import THEOREMS
    >>> from gdpure.specs.words import unmarked
    >>> assert "definition of gradient descent" in unmarked(article(THEOREMS[0]))
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
    lines = [[Span(f"{theorem.name:<38}", "name"), Span(f"   {theorem.family}")], []]
    for label, text in pairs:
        lines += marked(beside(f"  {label}", text, 14), Span(f"  {label}", "label"))
    return lines


# -- many reports ----------------------------------------------------------------------------------

_UNTESTED, _UNTRIED = "nothing tested", "not tried"


class Outcome(NamedTuple):
    """What came of one target: reports, one a platform, or why it was refused.

    Examples
    --------
    >>> from gdpure.specs.words import unmarked
    >>> outcome = Outcome("anna.py:f", [], "there is no file anna.py")
    >>> print(unmarked(outcome.lines(9)))
      anna.py:f   not tried   there is no file anna.py
    """

    name: str
    reports: list[Report]
    refused: str = ""

    def documents(self) -> list[dict[str, Any]]:
        """Return what JSON has of each report, or of the refusal."""
        known = {"schema": SCHEMA, "holds": False, "subject": self.name, "refused": self.refused}
        return [json.loads(report.to_json()) for report in self.reports] or [known]

    def verdicts(self) -> list[tuple[str, str]]:
        """Return the verdict of each report and its likeliest cause, both in a few words."""
        return [_verdict(report) for report in self.reports] or [(_UNTRIED, self.refused)]

    def lines(self, names: int) -> list[Line]:
        """Return a line a report for a table of names that are so long; a long cause takes more."""
        several, lines = len(self.reports) > 1, []
        platforms = [f"{report.platform}   " * several for report in self.reports] or [""]
        for platform, (verdict, cause) in zip(platforms, self.verdicts(), strict=True):
            start = Span(f"  {self.name:<{min(names, 48)}}   {platform}")
            label = f"{start.text}{verdict:<9}   "
            rows = beside(label, cause, min(len(label), 70)) if cause else [label]
            lines += marked(
                rows, start, Span(verdict, "good" if verdict == Verdict.HOLDS else "bad")
            )
        return lines


def _verdict(report):
    for verdict in (Verdict.VIOLATED, Verdict.ERROR):
        rows = [row for row in report.rows if row.verdict is verdict]
        if rows:
            return verdict, _cause(rows)
    if report:
        return Verdict.HOLDS, ""
    if any(row.verdict is Verdict.EXPECTED_FAILURE for row in report.rows):
        return Verdict.EXPECTED_FAILURE, "and nothing else was tested"
    return _UNTESTED, next((row.reason for row in report.rows if row.reason), "")


def _cause(rows):
    """Return the likeliest cause, else by how much the first of some rows is off, or its reason."""
    rows = sorted(rows, key=lambda r: (r.counterexample is None, r.theorem not in DEFINITIONS))
    row, case = rows[0], rows[0].counterexample
    if case is None:
        return row.reason
    return case.cause.partition(": ")[0] or f"{row.theorem}: {case.gap}"


def summary(outcomes: Iterable[Outcome]) -> str:
    """Return how many reports have which verdict.

    Examples
    --------
    >>> summary([Outcome("a.py:f", [], "why"), Outcome("b.py:f", [], "why")])
    '2 not tried'
    """
    counts = Counter(verdict for outcome in outcomes for verdict, _ in outcome.verdicts())
    known = (Verdict.HOLDS, Verdict.VIOLATED, Verdict.ERROR, _UNTESTED, _UNTRIED)
    words = [f"{counts[verdict]} {verdict}" for verdict in known if counts[verdict]]
    return ", ".join(words).replace("holds", "hold" if counts[Verdict.HOLDS] > 1 else "holds")
