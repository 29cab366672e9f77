"""Which theorem catches which bug: the matrix, its table, and the fewest that catch all."""

import itertools
from collections.abc import Iterable, Mapping

import numpy as np

from gdpure import specs
from gdpure.specs.report import Report, Verdict
from gdpure.specs.theorems import methods
from gdpure.specs.theorems.recurrences import Always
from planted import naive
from planted.catalogue import Planted

Caught = Mapping[str, frozenset[str]]


_BROKEN = {Verdict.VIOLATED, Verdict.EXPECTED_FAILURE}


def held_to(method) -> list[str]:
    """The names of all theorems that a method can be held to."""
    if method is None or isinstance(method, str):
        return [theorem.name for theorem in specs.THEOREMS]
    of_its_own = methods.theorems_of(method if callable(method) else Always(method))
    return [theorem.name for theorem in (*specs.THEOREMS, *of_its_own)]


def judged(subject, method, instances, only=None, seed=0) -> Report:
    """The report on a subject, without the search for small counterexamples: all is expected."""
    names = held_to(method)
    return specs.check_optimizer(
        subject,
        method=method,
        instances=instances,
        only=None if only is None else [name for name in names if name in only],
        expected_failures=dict.fromkeys(names, "a bug is planted"),
        seed=seed,
    )


def verdicts(subject, method, only, instances=32) -> set[Verdict]:
    """All verdicts on a subject, whatever the theorem and the dtype."""
    report = specs.check_optimizer(subject, method=method, instances=instances, only=only)
    return {row.verdict for row in report.rows}


def violated(report: Report) -> frozenset[str]:
    """The theorems that are violated, in any dtype."""
    return frozenset(row.theorem for row in report.rows if row.verdict in _BROKEN)


def failed(report: Report) -> list[str]:
    """Why a subject could not be run, in every dtype in which it could not."""
    return [row.reason for row in report.rows if row.verdict is Verdict.ERROR]


def asked(bugs: Iterable[Planted]) -> dict[str, frozenset[str]]:
    """The naive checks that bugs pass, where these can be asked.

    To be called first: some bugs remember what they were called with.
    """
    return {bug.name: _passed(bug) for bug in bugs if bug.kind in ("descent", "step")}


def _passed(bug):
    def passes(check):
        try:
            with np.errstate(all="ignore"):
                return check(bug.subject)
        except Exception:  # a check that fails is not passed
            return False

    return frozenset(check.__name__ for check in naive.CHECKS if passes(check))


def cover(caught: Caught) -> tuple[str, ...]:
    """The fewest theorems that catch every bug that is caught, exactly; the strongest of those."""
    strength = {
        t: sum(t in found for found in caught.values()) for t in set().union(*caught.values())
    }
    bugs = {found for found in caught.values() if found}
    # A bug that is caught wherever another one is adds nothing.
    bugs = [found for found in bugs if not any(other < found for other in bugs)]
    needed = {t for found in bugs if len(found) == 1 for t in found}
    rest = [found for found in bugs if not found & needed]
    useful = sorted(set().union(*rest), key=lambda t: (-strength[t], t))
    for size in itertools.count():
        for more in itertools.combinations(useful, size):
            if all(found & set(more) for found in rest):
                return tuple(sorted(needed | set(more), key=lambda t: (-strength[t], t)))


def table(bugs: Iterable[Planted], caught: Caught, asked: Caught, theorems: Iterable[str]) -> str:
    """The matrix as text: a row a bug, a column a theorem, and what follows from it.

    Parameters
    ----------
    bugs, theorems
        The rows, and the names of the columns.
    caught, asked
        For every bug the theorems that are violated, and, where they could be asked, the naive
        checks that are passed.
    """
    kinds = list(dict.fromkeys(bug.kind for bug in bugs))
    bugs, theorems = sorted(bugs, key=lambda bug: kinds.index(bug.kind)), list(theorems)
    fewest = cover(caught)
    lines = ["Theorems: how many bugs they catch, and how many nothing else catches", ""]
    for k, theorem in enumerate(theorems):
        by = [bug for bug in bugs if theorem in caught[bug.name]]
        alone = [bug.name for bug in by if len(caught[bug.name]) == 1]
        words = [
            "*illustration*" if not by else "",
            "in the cover" if theorem in fewest else "",
            f"alone: {', '.join(alone)}" if alone else "",
        ]
        said = "; ".join(word for word in words if word)
        lines.append(f"{k:3} {theorem:26}{len(by):4}{len(alone):4}  {said}".rstrip())

    missed = [bug.name for bug in bugs if not caught[bug.name]]
    lines += [
        "",
        f"{len(bugs)} bugs, {len(bugs) - len(missed)} caught"
        + (f"; not caught: {', '.join(missed)}" if missed else ""),
        f"The fewest theorems that catch them, {len(fewest)}: {', '.join(fewest)}",
        *(
            f"Of {len(asked)} bugs of descents and steps, "
            f"{sum(check.__name__ in found for found in asked.values())} pass "
            f'"{check.__name__.replace("_", " ")}"'
            for check in naive.CHECKS
        ),
        f"and {sum(len(found) == len(naive.CHECKS) for found in asked.values())} pass all of these",
        "",
        "Bugs: # where a theorem is violated; D passes: the loss goes down, C: it converges,",
        "G: one golden step, F: finite and in shape; ! where a single theorem catches it",
        "",
    ]
    width = max(len(bug.name) for bug in bugs) + 2
    for digit in (lambda k: k // 10, lambda k: k % 10):
        lines.append(" " * width + "".join(str(digit(k)) for k in range(len(theorems))))
    kind = None
    for bug in bugs:
        if bug.kind != kind:
            kind = bug.kind
            lines.append(f"-- {kind} ".ljust(width + len(theorems), "-"))
        marks = "".join("#" if t in caught[bug.name] else "." for t in theorems)
        letters = "".join(
            letter if check.__name__ in asked.get(bug.name, ()) else " "
            for letter, check in zip("DCGF", naive.CHECKS, strict=True)
        )
        single = "!" if len(caught[bug.name]) == 1 else " "
        lines.append(f"{bug.name:{width}}{marks} {single} {letters}  {bug.note}")
    return "\n".join(lines) + "\n"
