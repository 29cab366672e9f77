"""Verdicts, and how a report of them reads."""

from __future__ import annotations

import enum
import json
import math
import platform
import shlex
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from .targets import as_target
from .words import (
    WIDTH,
    Line,
    Span,
    beside,
    labeled,
    listed,
    marked,
    named,
    number,
    plain,
    share,
    unmarked,
    wrapped,
)

SCHEMA = 1  # of all JSON; README.md of this folder has its keys
_FEW = 3  # up to so many theorems are shown one by one


class Verdict(enum.StrEnum):
    """What came out for one theorem in one dtype."""

    HOLDS = "holds"
    VIOLATED = "VIOLATED"
    NOT_APPLICABLE = "not applicable"
    VACUOUS = "vacuous"
    BLOCKED = "blocked"
    EXPECTED_FAILURE = "expected failure"
    ERROR = "ERROR"


# Of several dtypes the first of these counts: a theorem holds if it holds wherever it applies.
_GRAVEST_FIRST = (
    Verdict.VIOLATED,
    Verdict.ERROR,
    Verdict.EXPECTED_FAILURE,
    Verdict.BLOCKED,
    Verdict.VACUOUS,
    Verdict.HOLDS,
    Verdict.NOT_APPLICABLE,
)


@dataclass(frozen=True)
class Counterexample:
    """The smallest case in which a theorem is violated, in words and numbers.

    Attributes
    ----------
    lines
        Pairs (label, text), in the order they are printed: theorem, assumes, smallest, then where
        it breaks. A text may have several lines; the second of a theorem, and of what it assumes,
        is set beside the first where both fit. The report adds both sides and how far they are
        apart, unless a text has "must be", then the cause, unless a label is "cause", how often,
        and the reproduction.
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

    @property
    def gap(self) -> str:
        """How far they are apart, in words."""
        allowed = number(self.explained, 1) if self.explained else "nothing"
        return f"off by {number(self.off_by)} where rounding allows {allowed}"


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
        Why, in a sentence, for every verdict but HOLDS and VIOLATED. Beside HOLDS it is the reason
        for which a failure was expected; beside VIOLATED, what was found where no numbers tell it.
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


@dataclass(frozen=True, repr=False)
class Report:
    """All verdicts on one subject; true if nothing is violated and something was really tested.

    Printed, it has a line a family and the smallest case of the first violation; a report on few
    theorems has all there is to say about each.

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

    Examples
    --------
    >>> held = [
    ...     Row("step-identity", "monotone descent", dtype, Verdict.HOLDS, instances=2000)
    ...     for dtype in ("float32", "float64")
    ... ]
    >>> report = Report("optax:sgd", "gradient descent", "cpu", {"jax": "0.10"}, 0, tuple(held))
    >>> assert report
    >>> assert "held to gradient descent (cpu, float32 and float64, seed 0)" in str(report)
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

    def __repr__(self):
        """Return one line, which a failing ``assert report`` shows."""
        theorems = _theorems(self.rows)
        counts = unmarked([_counts(theorems)]) or "no theorems"
        violated = [t.name for t in theorems if t.verdict is Verdict.VIOLATED]
        return f"<Report on {self.subject}: {': '.join(filter(None, [counts, named(violated)]))}>"

    def __str__(self):
        """Return the report as text, in lines of 100 characters but for what is to be copied."""
        return unmarked(self.lines())

    def lines(self, command: str | None = None) -> list[Line]:
        """Return the report as lines whose parts have roles, for whoever draws them.

        It names a command that tells more; by default that of the subject alone, if it has a name.
        """
        theorems, lines, full = _theorems(self.rows), self._head(), []
        if len(theorems) > _FEW:
            lines += [*_families(theorems), *_tested(theorems), *self._smallest(theorems, command)]
        else:
            full = [theorem for theorem in theorems if theorem.verdict is Verdict.VIOLATED]
            lines += _one_by_one([theorem for theorem in theorems if theorem not in full])
        if not any(row.verdict in _TRIED for row in self.rows):
            lines += marked(["Nothing was tested, so nothing is shown."])
        for note in self.notes:
            lines += _titled("note:", note)
        for theorem in full:
            lines += [[], *self._violation(theorem)]
        return lines

    def details(self, *names: str) -> str:
        """Return all there is to say about violated theorems.

        Parameters
        ----------
        names
            Of the theorems, by default all that are violated.

        Examples
        --------
        >>> report = Report("mine", "descent", "cpu", {}, 0, ())
        >>> assert report.details() == "No theorem is violated."
        """
        shown = [
            unmarked(self._violation(theorem))
            for theorem in _theorems(self.rows)
            if theorem.verdict is Verdict.VIOLATED and (not names or theorem.name in names)
        ]
        return "\n\n\n".join(shown) or "No theorem is violated."

    def to_json(self) -> str:
        """Return everything as JSON; numbers that are not finite are strings, as ``"Infinity"``.

        Examples
        --------
        >>> report = Report("mine", "descent", "cpu", {}, 0, ())
        >>> assert json.loads(report.to_json())["subject"] == "mine"
        """
        known = {"schema": SCHEMA, "holds": bool(self), **plain(self)}
        return json.dumps(known, indent=2, allow_nan=False)

    def _head(self):
        dtypes = listed(list(dict.fromkeys(row.dtype for row in self.rows)))
        where = ", ".join(filter(None, [self.platform, dtypes, f"seed {self.seed}"]))
        held_to = "what holds of any method" if self.method == "any" else self.method
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return [
            *marked(wrapped(f"{self.subject}, held to {held_to} ({where})", indent=2)),
            *marked(wrapped(versions), role="aside"),
        ]

    def _smallest(self, theorems, command):
        """Return the first violation in numbers one can check on paper, and where to read on."""
        shown = [
            theorem
            for theorem in theorems
            if theorem.verdict is Verdict.VIOLATED and theorem.row.counterexample is not None
        ]
        if not shown:
            return []
        theorem = min(shown, key=lambda theorem: theorem.name not in DEFINITIONS)
        case = theorem.row.counterexample
        sides = f"must be {case.must_be}, is {case.returned}"
        together = f"{case.smallest}, {sides}"
        if 15 + len(together) > WIDTH:  # breaks between the case and its two sides, if anywhere
            together = f"{case.smallest},\n{sides}"
        if command is None and as_target(self.subject) is not None:
            command = f"gdpure check {shlex.quote(self.subject)}"
        more = f"{command} --only {theorem.name}" if command else "print(report.details())"
        return [
            *_titled("smallest case:", together),
            *(_titled("likely cause:", case.cause) if case.cause else []),
            *marked(labeled("details:", [more], 15), Span("details:", "label")),  # to be copied
        ]

    def _violation(self, theorem):
        """Return all about a violated theorem, in blocks: what it says, where it breaks, why."""
        dtypes = listed([r.dtype for r in theorem.rows if r.verdict is Verdict.VIOLATED])
        where = f"{self.subject}, {dtypes}, {self.platform}, seed {self.seed}"
        case, pairs = theorem.row.counterexample, []
        if case is not None:
            pairs += case.lines
            if not any("must be" in text for _, text in pairs):
                pairs.append((f"at k = {theorem.row.first}", _comparison(case)))
            if "cause" not in dict(pairs):
                pairs.append(("cause", f"likely: {case.cause}" if case.cause else ""))
        else:
            pairs.append(("found", theorem.row.reason))
        pairs.append(("how often", _how_often(theorem)))
        if case is not None:
            pairs.append(("try it", case.reproduction))
        title = wrapped(f"VIOLATED  {theorem.name:<28}   {where}", indent=10)
        return [
            *marked(title, styled(Verdict.VIOLATED)),
            *_blocks([pair for pair in pairs if pair[1]]),
        ]


# What is said by definition is understood at once: a case of one of these is shown first.
DEFINITIONS = ("starts", "value", "gradient", "step-identity", "recurrence")


def versions() -> dict[str, str]:
    """Return the versions that decide what comes out."""
    found = {"python": platform.python_version()}
    for name in ("gdpure", "jax", "jaxlib", "numpy", "hypothesis"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


_TRIED = {Verdict.HOLDS, Verdict.VIOLATED, Verdict.EXPECTED_FAILURE, Verdict.ERROR}


def _titled(label, text):
    """Return a text below those of a family, beside a label."""
    return marked(beside(label, text, 15), Span(label, "label"))


_ROLES = {
    Verdict.HOLDS: "good",
    Verdict.VIOLATED: "bad",
    Verdict.ERROR: "bad",
    Verdict.NOT_APPLICABLE: "aside",
}


def styled(verdict: Verdict, text: str = "") -> Span:
    """Return a verdict, or a text on it, with its role."""
    return Span(text or verdict, _ROLES.get(verdict, ""))


# -- one theorem, several dtypes -------------------------------------------------------------------


class _Judged(NamedTuple):
    """A theorem: its rows, the one that counts, and where, if it fares better elsewhere."""

    rows: list[Row]
    row: Row
    only: str

    name = property(lambda self: self.row.theorem)
    verdict = property(lambda self: self.row.verdict)
    reason = property(lambda self: "; ".join(filter(None, [self.row.reason, self.only])))


def _theorems(rows):
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(row.theorem, []).append(row)
    return [_merged(mine) for mine in by_name.values()]


def _merged(rows):
    row = min(rows, key=lambda r: (_GRAVEST_FIRST.index(r.verdict), r.counterexample is None))
    here = [r.dtype for r in rows if r.verdict is row.verdict]
    return _Judged(rows, row, f"{listed(here)} only" if len(here) < len(rows) else "")


# -- a line a family -------------------------------------------------------------------------------

_COUNTED = (Verdict.HOLDS, Verdict.VIOLATED)  # they need no reason, and share a line


def _families(theorems):
    entries = []
    for family in dict.fromkeys(theorem.row.family for theorem in theorems):
        remarks = _remarks([theorem for theorem in theorems if theorem.row.family == family])
        entries += [(family if k == 0 else "", *pair) for k, pair in enumerate(remarks)]
    names = max(18, *(len(name) for name, _, _ in entries)) + 4
    counts = max((_length(count) for _, count, text in entries if text), default=0) + 3
    lines = []
    for name, count, text in entries:
        start = Span(f"  {name}".ljust(names))
        if text:
            rows = beside(unmarked([[start, *count]]), text, names + counts)
            lines += marked(rows, start, *count)
        elif len(count) == 1:  # a verdict on all of the family, and why
            rows = beside(start.text, count[0].text, names)
            lines += marked(rows, start, role=count[0].role)
        else:
            lines.append([start, *count])
    return lines


def _length(spans):
    return sum(len(span.text) for span in spans)


def _remarks(theorems):
    """Return what is to be said about a family: pairs (count, text), the first of them spans."""
    found = {(theorem.verdict, theorem.reason) for theorem in theorems}
    [(verdict, reason), *others] = found
    if not others and verdict not in _COUNTED:
        return [([styled(verdict, f"{verdict} ({reason})" if reason else verdict)], "")]
    counted = [theorem for theorem in theorems if theorem.verdict in _COUNTED]
    remarks = [(_counts(counted), _violations(counted))] if counted else []
    for theorem in counted:
        if theorem.verdict is Verdict.HOLDS and theorem.row.reason:
            why = f"expected to fail, but holds ({theorem.reason})"
            remarks.append(([Span("1 unexpected")], f"{theorem.name}: {why}"))
    others = [theorem for theorem in theorems if theorem.verdict not in _COUNTED]
    others.sort(key=lambda theorem: _GRAVEST_FIRST.index(theorem.verdict))
    for kind in dict.fromkeys((theorem.verdict, theorem.reason) for theorem in others):
        alike = [theorem for theorem in others if (theorem.verdict, theorem.reason) == kind]
        names = named([theorem.name for theorem in alike])
        remarks.append((_counts(alike), f"{names} ({kind[1]})" if kind[1] else names))
    return remarks


def _violations(theorems):
    """Return how far the first violation is off, and the names of the others."""
    violated = [theorem for theorem in theorems if theorem.verdict is Verdict.VIOLATED]
    if not violated:
        return ""
    first, case = violated[0], violated[0].row.counterexample
    if case is not None:
        text = f"{first.name}: {case.gap}" + (f" ({first.only})" if first.only else "")
    elif first.row.reason:
        text = f"{first.name} ({first.reason})"
    else:
        return named([theorem.name for theorem in violated])
    return f"{text}\n{named([theorem.name for theorem in violated[1:]])}".rstrip()


def _counts(theorems):
    """Return ``4 hold, 5 VIOLATED``, as spans."""
    verdicts = [theorem.verdict for theorem in theorems]
    counts = {verdict: verdicts.count(verdict) for verdict in (*_COUNTED, *Verdict)}
    spans = []
    for verdict, count in counts.items():
        if count:
            word = "hold" if verdict is Verdict.HOLDS and count > 1 else verdict
            spans += [Span(", "), styled(verdict, f"{count} {word}")]
    return spans[1:]


def _tested(theorems):
    """Return on how many instances, and how close what holds came to its bound."""
    rows = [row for theorem in theorems for row in theorem.rows if row.instances]
    if not rows:
        return []
    counts = [row.instances for row in rows]
    least, most = min(counts), max(counts)
    text = f"{f'{least:,} to ' if least < most else ''}{most:,} instances a theorem and dtype"
    held = [row for row in rows if row.verdict is Verdict.HOLDS and 0 < row.excess < math.inf]
    if held:
        closest = max(held, key=lambda row: row.excess)
        used = f"used {share(closest.excess)} of what rounding allows"
        text += f"; the closest, {closest.theorem}, {used}"
    return marked(wrapped(f"  {text}", indent=2))


# -- all about a theorem ---------------------------------------------------------------------------

_SAYS, _WHY, _CODE = ("theorem", "assumes", "smallest"), ("cause", "how often"), ("try it",)
_NOTED, _SHORT = _SAYS[:2], 40


def _one_by_one(theorems):
    """Return lines on each of some theorems that are not violated."""
    names = max((len(theorem.name) for theorem in theorems), default=0) + 5
    lines = []
    for theorem in theorems:
        role = styled(theorem.verdict).role
        label = Span(f"  {theorem.name}".ljust(names))
        lines += marked(beside(label.text, _remark(theorem), names), label, role=role)
    return lines


def _remark(theorem):
    row = theorem.row
    if row.verdict is not Verdict.HOLDS:
        return ": ".join(filter(None, [row.verdict, theorem.reason]))
    texts = []
    for held in [r for r in theorem.rows if r.verdict is Verdict.HOLDS]:
        some = 0 < held.informative < held.instances
        spared = f" ({held.informative:,} informative)" if some else ""
        used = f", using {share(held.excess)} of what rounding allows" if held.excess else ""
        texts.append(f"holds in {held.dtype}: {held.instances:,} instances{spared}{used}")
    texts += [f"expected to fail, but holds ({theorem.reason})"] if row.reason else []
    return "\n".join(texts)


def _comparison(case):
    explained = f"at most {number(case.explained, 2)}" if case.explained else "nothing"
    return (
        f"must be    {case.must_be}\n"
        f"returned   {case.returned}\n"
        f"off by     {number(case.off_by)}; rounding explains {explained}"
    )


def _how_often(theorem):
    rows = [row for row in theorem.rows if row.verdict is Verdict.VIOLATED]
    counts = [f"{row.violated:,} of {row.instances:,} in {row.dtype}" for row in rows]
    counts[0] = counts[0].replace(" in ", " instances in ")
    first = "" if theorem.row.first is None else f", first at k = {theorem.row.first}"
    return listed(counts) + first


def _blocks(pairs):
    """Return labels and texts in two columns, an empty line before each block; notes in a third."""
    labels = max(10, *(len(label) for label, _ in pairs)) + 4
    noted = [text.partition("\n") for label, text in pairs if label in _NOTED]
    notes = max((len(text) for text, _, note in noted if note and len(text) <= _SHORT), default=0)

    def beside_its_note(text):
        text, _, note = text.partition("\n")
        together = f"{text:<{notes}}   {note}".rstrip()
        fits = len(text) <= _SHORT and labels + len(together) <= WIDTH
        return together if fits else f"{text}\n{note}".rstrip()

    named = {*_SAYS, *_WHY, *_CODE}
    where = [label for label, _ in pairs if label not in named]
    lines = []
    for block in (_SAYS, where, _WHY, _CODE):
        mine = [(label, text) for label, text in pairs if label in block]
        lines += [[]] if mine else []
        for label, text in mine:
            if block is _CODE:  # to be copied as it is
                rows = labeled(f"  {label}", text.split("\n"), labels)
            else:
                text = beside_its_note(text) if label in _NOTED else text
                rows = beside(f"  {label}", text, labels)
            lines += marked(rows, Span(f"  {label}", "label"))
    return lines
