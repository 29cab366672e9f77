"""Trials: a theorem and a subject of which it should hold, as a test of pytest."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..report import Report, Verdict
from ..subjects import as_subject
from ..theorem import Theorem
from . import check


def parametrize_with_theorems(
    subject: Any,
    *,
    method: Any = None,
    expected_failures: Mapping[str, str] | None = None,
    only: Iterable[str | Theorem] | str | Theorem | None = None,
    seed: int = 0,
):
    """Return a decorator that makes a pytest test run once a theorem.

    All tests of one decorator share one check: the first of them pays for it. A theorem that does
    not apply is skipped with the reason; an expected failure is an xfail, and an error where it
    holds.

    Parameters
    ----------
    subject, method, expected_failures, only, seed
        As for `check_optimizer`.

    Raises
    ------
    ValueError
        If a name in `only` or `expected_failures` is none of a theorem.

    Examples
    --------
    >>> def mine(point, gradient, step_size):
    ...     return point - step_size * gradient(point)
    >>> @parametrize_with_theorems(mine, expected_failures={"value-rate": "not proven"})
    ... def test_mine(theorem, subject):
    ...     theorem.check(subject)
    >>> assert test_mine.pytestmark[0].args[0] == ["theorem", "subject"]
    """
    try:
        import pytest
    except ImportError as error:
        raise ImportError(
            "parametrize_with_theorems makes tests for pytest, which is not installed: "
            "pip install pytest"
        ) from error
    options = {"method": method, "expected_failures": expected_failures, "seed": seed}
    cases = [
        pytest.param(trial, subject, id=trial.theorem.name, marks=trial.marks)
        for trial in trials(subject, only=only, **options)
    ]
    return pytest.mark.parametrize(["theorem", "subject"], cases)


def trials(
    subject: Any,
    *,
    method: Any = None,
    expected_failures: Mapping[str, str] | None = None,
    only: Iterable[str | Theorem] | str | Theorem | None = None,
    **options: Any,
) -> list[Trial]:
    """Return a trial of each theorem; they share one check, for which the first pays.

    Parameters and errors are those of `check_optimizer`, names of theorems are looked at now.

    Examples
    --------
    >>> def mine(point, gradient, step_size):
    ...     return point - step_size * gradient(point)
    >>> [trial] = trials(mine, only="fejer", expected_failures={"fejer": "momentum"})
    >>> assert trial.marks[0].kwargs["reason"] == "momentum"
    """
    expected = dict(expected_failures or {})
    chosen = check.asked_for(as_subject(subject, method, options.get("name")), only, expected)
    options |= {"method": method, "expected_failures": expected}

    @functools.cache
    def whole():
        return check.check_optimizer(subject, only=chosen, **options)

    def tried(other, theorem):
        if other is not subject:  # the test has made a subject of its own
            return check.check_optimizer(other, only=theorem, **options)
        rows = tuple(row for row in whole().rows if theorem is None or row.theorem == theorem.name)
        return replace(whole(), rows=rows)

    return [Trial(theorem, tried, expected.get(theorem.name, "")) for theorem in chosen]


# Of one theorem in several dtypes, the first of these decides about its test.
_DECIDES = (
    Verdict.ERROR,
    Verdict.VIOLATED,
    Verdict.EXPECTED_FAILURE,
    Verdict.HOLDS,
    Verdict.BLOCKED,
    Verdict.VACUOUS,
    Verdict.NOT_APPLICABLE,
)


@dataclass(frozen=True, eq=False)
class Trial:
    """That a theorem holds of a subject; what a test of `parametrize_with_theorems` is given.

    Attributes
    ----------
    theorem
        It.
    tried
        ``tried(subject, theorem)``, the rows of a report on this theorem, or of None on all.
    expected
        Why it may be broken, or "".
    """

    theorem: Theorem
    tried: Callable[[Any, Theorem | None], Report] = field(repr=False)
    expected: str = ""

    def __repr__(self):
        """Return the name of the theorem; pytest shows it beside a failure."""
        return self.theorem.name

    @property
    def marks(self) -> list[Any]:
        """The marks of its test."""
        import pytest

        if not self.expected:
            return []
        # A subject that raises is no expected failure, whatever was expected.
        return [pytest.mark.xfail(reason=self.expected, strict=True, raises=AssertionError)]

    def report(self, subject: Any) -> tuple[Report, Verdict]:
        """Return the report on it, and of its dtypes the verdict that decides."""
        report = self.tried(subject, self.theorem)
        return report, min((row.verdict for row in report.rows), key=_DECIDES.index)

    def check(self, subject: Any) -> None:
        """Pass if the theorem holds; fail with all about it if it is violated; else skip."""
        __tracebackhide__ = True  # the report is the message, not these lines
        import pytest

        report, verdict = self.report(subject)
        if verdict is Verdict.ERROR:
            raise RuntimeError(f"{self.theorem.name} could not be tried\n{report}")
        if verdict in (Verdict.VIOLATED, Verdict.EXPECTED_FAILURE):
            raise AssertionError(f"{self.theorem.name} is violated\n{report}")
        if verdict is not Verdict.HOLDS:
            pytest.skip("; ".join(dict.fromkeys(f"{r.verdict}: {r.reason}" for r in report.rows)))
