"""Verdicts, and how a report of them reads."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class Verdict(enum.StrEnum):
    """What came out for one theorem in one dtype."""

    HOLDS = "holds"
    VIOLATED = "VIOLATED"
    NOT_APPLICABLE = "not applicable"
    VACUOUS = "vacuous"
    INCONCLUSIVE = "inconclusive"
    BLOCKED = "blocked"
    EXPECTED_FAILURE = "expected failure"
    ERROR = "ERROR"


@dataclass(frozen=True)
class Counterexample:
    """The smallest case in which a theorem is violated, in words and numbers.

    Attributes
    ----------
    lines
        Pairs (label, text), in the order they are printed; a text may have several lines.
    smallest
        The case in one line: ``f(a, b) = (a + b)^2 / 2 from (1, 0), step 1/2``.
    must_be, returned
        Both sides, in short.
    off_by, explained
        How far they are apart, and how much of it rounding explains.
    cause
        The likeliest cause in one line, or "".
    reproduction
        Python that shows it and does not import gdpure.
    """

    lines: tuple[tuple[str, str], ...]
    smallest: str
    must_be: str
    returned: str
    off_by: float
    explained: float
    cause: str
    reproduction: str


@dataclass(frozen=True)
class Row:
    """The verdict on one theorem in one dtype.

    Attributes
    ----------
    theorem, family, dtype
        Names.
    verdict
        A `Verdict`.
    reason
        Why, in a sentence, for every verdict but HOLDS and VIOLATED.
    instances, informative, violated
        How many instances the theorem applied to, in how many of them its claim was not drowned by
        rounding, and in how many it was broken.
    excess
        The largest ``(measured - bound) / rounding`` that was seen; above 1 is a violation.
    first
        The first row k of a run at which it was broken, in the smallest case.
    counterexample
        The smallest case of a violation, or None.
    """

    theorem: str
    family: str
    dtype: str
    verdict: Verdict
    reason: str = ""
    instances: int = 0
    informative: int = 0
    violated: int = 0
    excess: float = 0.0
    first: int | None = None
    counterexample: Counterexample | None = None


@dataclass(frozen=True)
class Report:
    """All verdicts on one subject.

    Attributes
    ----------
    subject, method
        What was checked, and what it was held to.
    platform, versions, seed
        Where and with what.
    rows
        A `Row` a theorem and dtype.
    notes
        Sentences for the reader: a step size that was inferred, a platform that is not there.
    """

    subject: str
    method: str
    platform: str
    versions: dict[str, str]
    seed: int
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = field(default=())

    def __bool__(self):
        """Return whether nothing is violated, nothing failed, and something was really tested."""
        bad = {Verdict.VIOLATED, Verdict.ERROR}
        return not any(row.verdict in bad for row in self.rows) and any(
            row.verdict is Verdict.HOLDS for row in self.rows
        )
