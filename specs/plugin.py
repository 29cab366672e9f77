"""The plugin of pytest: ``pytest --gdpure mypackage.optim:my_descent``, one test a theorem.

`gdpure.pytest_plugin` fetches it where ``--gdpure`` is given.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from . import settings, targets
from .optimizer.trials import Trial, trials
from .report import Verdict
from .targets import Refused
from .words import listed


@pytest.hookimpl(tryfirst=True)  # so that -k and -m choose among these tests, too
def pytest_collection_modifyitems(session, config, items):
    """Add the tests of every target to those that were found in files."""
    asked = config.getoption("gdpure")
    try:
        project = settings.read(Path.cwd())
        found = [target for text in asked for target in targets.named(text, "--gdpure")]
    except Refused as refusal:
        raise pytest.UsageError(str(refusal)) from None
    for target in dict.fromkeys(found):
        node = Battery.from_parent(session, name=str(target), nodeid=str(target))
        node.target, node.project = target, project
        items.extend(session.genitems(node))


class Battery(pytest.Collector):
    """A target, and the tests of all theorems on it."""

    target: targets.Target
    project: settings.Project

    def importable(self):
        """Import from where its module is, as long as that takes."""
        return targets.importable(self.target.folder, Path.cwd(), self.project.folder)

    def collect(self):
        """Import it, and yield a test a theorem."""
        said = self.project.of(self.target)
        try:
            with self.importable():
                subject, method = targets.load(self.target), said.rule()
                options = {"method": method, "expected_failures": said.expected}
                made = trials(subject, **options, name=self.name)
        except (TypeError, ValueError) as error:
            sentence = targets.own_sentence(error, said.arguments)
            raise self.CollectError(str(sentence)) from error
        except Refused as refusal:
            raise self.CollectError(str(refusal)) from refusal
        for trial in made:
            nodeid = f"{self.nodeid}::{trial.theorem.name}"
            test = Test.from_parent(self, name=trial.theorem.name, nodeid=nodeid)
            test.trial, test.subject = trial, subject
            for mark in trial.marks:
                test.add_marker(mark)
            yield test


class Test(pytest.Item):
    """One theorem on one subject."""

    trial: Trial
    subject: object

    def setup(self):
        """Try it; what cannot be tried is an error, and no failure."""
        assert isinstance(self.parent, Battery)
        with self.parent.importable():
            report, verdict = self.trial.report(self.subject)
        # They reach the summary through the processes of xdist, and JUnit.
        instances = sum(row.instances for row in report.rows)
        self.user_properties += [(_VERDICT, str(verdict)), (_INSTANCES, instances)]
        wrong = {Verdict.ERROR: report, Verdict.BLOCKED: self._unseen(report)}.get(verdict)
        if wrong is not None:
            pytest.fail(f"{self.name} could not be tried\n{wrong}", pytrace=False)

    def _unseen(self, blocked):
        """Return a report on what blocks it, if that is no test of this session, else None."""
        tested = {item.name for item in self.session.items if item.parent is self.parent}
        report, rows = self.trial.tried(self.subject, None), []
        for row in report.rows:
            named = any(f"rests on {row.theorem}" in r.reason for r in blocked.rows)
            wrong = row.verdict is Verdict.ERROR or row.verdict is Verdict.VIOLATED and named
            rows += [row] if wrong and row.theorem not in tested else []
        return dataclasses.replace(report, rows=tuple(rows)) if rows else None

    def runtest(self):
        """Pass, fail or skip by its verdict."""
        self.trial.check(self.subject)

    def repr_failure(self, excinfo, style=None):
        """Return the report on it, which is what there is to read; of other errors all."""
        if isinstance(excinfo.value, AssertionError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        """Return where it is, without a line."""
        return self.path, None, self.nodeid


# -- the summary -----------------------------------------------------------------------------------

_VERDICT, _INSTANCES = "gdpure verdict", "gdpure instances"


class Summary:
    """What came of each target: how many theorems have which verdict, on how many instances."""

    def __init__(self):
        """Begin with no target."""
        self.verdicts: dict[str, Counter[str]] = {}
        self.instances: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report):
        """Count a theorem."""
        said = dict(report.user_properties)
        if _VERDICT in said and (report.when == "call" or report.failed):
            target = report.nodeid.rpartition("::")[0]
            self.verdicts.setdefault(target, Counter())[said[_VERDICT]] += 1
            self.instances[target] += said[_INSTANCES]

    def pytest_sessionfinish(self, session, exitstatus):
        """Let no session be green in which nothing was shown of a target."""
        shown = all(verdicts[Verdict.HOLDS] for verdicts in self.verdicts.values())
        if exitstatus == pytest.ExitCode.OK and not shown:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        """Say how much of each target was tried, and what was not."""
        for target, verdicts in self.verdicts.items():
            words = [f"{verdicts[verdict]} {verdict}" for verdict in Verdict if verdicts[verdict]]
            text = f"gdpure: {target}: {self.instances[target]:,} instances; {listed(words)}"
            if verdicts[Verdict.HOLDS]:
                terminalreporter.write_line(text.replace(" holds", " hold"))
            else:
                terminalreporter.write_line(f"{text}: no theorem holds, nothing is shown", red=True)
