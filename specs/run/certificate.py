"""What `certify` found, and how it reads when it is projected on a wall."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ..report import SCHEMA, Verdict
from ..words import WIDTH, beside, plain, share, wrapped


@dataclass(frozen=True)
class Finding:
    """What one law says of a run.

    Attributes
    ----------
    law, statement
        Its name and one line.
    verdict
        A `Verdict`.
    sentence
        Where it is first broken and by how much, or why it says nothing.
    first
        The first row k that breaks it, of a pair the later one; or None.
    off, allowed
        How far both sides are apart there, and how far rounding may put them.
    used
        The largest share of what rounding allows; above 1 is a violation.
    cause
        What was done instead, if something simple explains it, or "".
    where
        Which rows break it, as ``in row 5``, or "".
    """

    law: str
    statement: str
    verdict: Verdict
    sentence: str = ""
    first: int | None = None
    off: float = 0.0
    allowed: float = 0.0
    used: float = 0.0
    cause: str = ""
    where: str = ""

    def __str__(self):
        """Return the verdict in a few words."""
        if self.verdict is Verdict.HOLDS:
            used = f": {share(self.used)} of what rounding allows" if self.used else ""
            return f"holds{used}" + (f"; {self.sentence}" if self.sentence else "")
        return f"{self.verdict}: {self.sentence}"


@dataclass(frozen=True, repr=False)
class Certificate:
    """What a run obeys, where it first breaks a law, and why; true if it breaks none.

    A run that diverges because its steps are too long obeys gradient descent, and its certificate
    is true: it is explained, not accused. A certificate that tested nothing is false.

    Attributes
    ----------
    subject
        How many steps of how many parameters, in which dtype.
    story
        What happened in sentences, the most important first.
    findings
        A `Finding` a law.
    known
        Numbers that are known: L, mu, f*, eta.
    estimated
        Numbers that are read off the run. Nothing is judged by them.

    Examples
    --------
    >>> held = Finding("step", "x[k+1] = x[k] - eta g[k]", Verdict.HOLDS)
    >>> certificate = Certificate("1 step", ("all is well",), (held,), {}, {})
    >>> assert certificate and str(certificate).startswith("all is well")
    """

    subject: str
    story: tuple[str, ...]
    findings: tuple[Finding, ...]
    known: dict[str, float]
    estimated: dict[str, str]

    def __bool__(self):
        """Return whether no law is broken, or may be, and some law was really tested."""
        verdicts = {finding.verdict for finding in self.findings}
        broken = {Verdict.VIOLATED, Verdict.BLOCKED}
        return not verdicts & broken and Verdict.HOLDS in verdicts

    def __getitem__(self, law):
        """Return what one law says."""
        return next(finding for finding in self.findings if finding.law == law)

    def __repr__(self):
        """Return one line, which a failing ``assert certificate`` shows."""
        return f"<Certificate of {self.subject}: {self.story[0]}>"

    def __str__(self):
        """Return the certificate as text, no line longer than 100 characters."""
        headline, *rest = self.story
        lines = [*wrapped(headline, indent=2), "", *beside("  run", self.subject, 14)]
        if self.known:
            lines += beside("  known", _numbers(self.known), 14)
        if self.estimated:
            lines += beside("  estimated", _numbers(self.estimated), 14)
        lines.append("")
        tested = [f for f in self.findings if f.verdict is not Verdict.NOT_APPLICABLE]
        for finding in tested:
            lines += _row(finding)
        for why in dict.fromkeys(f.sentence for f in self.findings if f not in tested):
            laws = [f.law for f in self.findings if f not in tested and f.sentence == why]
            lines += beside("  not judged", f"{', '.join(laws)}: {why}", 16)
        if rest:
            lines.append("")
        for sentence in rest:
            lines += wrapped(f"  {sentence}", indent=2)
        return "\n".join(lines)

    def to_json(self) -> str:
        """Return everything as JSON; numbers that are not finite are strings, as ``"Infinity"``."""
        known = {"schema": SCHEMA, "holds": bool(self), **plain(self)}
        return json.dumps(known, indent=2, allow_nan=False)


def _row(finding):
    """Return a law and what came of it, on one line where both fit."""
    column, text = 16 + 47, str(finding)
    statement = f"  {finding.law:<14}{finding.statement}"
    if len(statement) < column and column + len(text) <= WIDTH:
        return [f"{statement:<{column}}{text}"]
    return [statement, *beside("", text, 18)]


def _numbers(numbers):
    return ", ".join(
        f"{name} = {number:.4g}" if isinstance(number, float) else f"{name} {number}"
        for name, number in numbers.items()
    )
