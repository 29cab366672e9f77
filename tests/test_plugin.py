"""The plugin of pytest: one test a theorem, whose outcome is the verdict."""

import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gdpure import specs
from gdpure.specs.optimizer import check as checks
from gdpure.specs.report import Report, Row, Verdict

pytest_plugins = ["pytester"]
THEOREMS = len(specs.THEOREMS)
EXPECTED = """
    [tool.gdpure.check."homework:my_descent"]
    method = "gradient descent"
    expected-failures = { value-rate = "not proven", fejer = "it holds" }
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """A function that runs pytest in a folder with an optimizer, whose verdicts are given."""
    names = []
    program = "def my_descent(point, gradient, step_size):\n    return point\nword = 'down'\n"
    pytester.makepyfile(homework=program, helper="", test_other="def test_other(): pass")

    def told(*options, verdicts=None, otherwise=Verdict.HOLDS):
        def check_optimizer(_, *, only, name, **options):
            names.append(name)
            found = {t: (verdicts or {}).get(t.name, otherwise) for t in only}
            rows = [
                Row(t.name, t.family, dtype, found[t], f"why {t.name}", instances=3)
                for dtype in ("float32", "float64")
                for t in only
            ]
            return Report(name, str(options["method"]), "cpu", {}, 0, tuple(rows))

        monkeypatch.setattr(checks, "check_optimizer", check_optimizer)
        return pytester.runpytest_inprocess(*options)

    told.names = names
    return told


def test_every_verdict_is_an_outcome_and_all_share_one_check(run, pytester):
    pytester.makepyprojecttoml(textwrap.dedent(EXPECTED).replace("gradient descent", "descent"))
    verdicts = {
        "step-identity": Verdict.VIOLATED,
        "value-rate": Verdict.EXPECTED_FAILURE,
        "form": Verdict.ERROR,
        "contraction": Verdict.NOT_APPLICABLE,
        "descent-lemma": Verdict.VACUOUS,
    }
    asked = ["--gdpure", "homework:my_descent", "--junitxml=found.xml", "-rs"]
    found = run(*asked, verdicts=verdicts)
    # An expected failure that holds fails; beside the theorems runs whatever else is there.
    passed = THEOREMS - len(verdicts) - 1 + 1
    found.assert_outcomes(passed=passed, failed=2, skipped=2, xfailed=1, errors=1)
    assert found.ret == pytest.ExitCode.TESTS_FAILED and run.names == ["homework:my_descent"]
    printed = found.stdout.str()
    assert "homework:my_descent, held to descent" in printed and "why step-identity" in printed
    assert "[XPASS(strict)] it holds" in printed and "vacuous: why descent-lemma" in printed
    assert "Traceback" not in printed and "Error:" not in printed and "During hand" not in printed
    counts = [f"{THEOREMS - 5} hold", "1 ERROR", "1 VIOLATED"]
    counts += ["1 not applicable", "1 vacuous", "1 expected failure"]
    [line] = [line for line in found.outlines if line.startswith("gdpure: ")]
    assert all(count in line for count in counts) and f"{6 * THEOREMS} instances" in line
    cases = ElementTree.parse(pytester.path / "found.xml").iter("testcase")
    [case] = [case for case in cases if case.get("name") == "step-identity"]
    assert case.get("classname") == "homework:my_descent"
    assert case.find("failure").get("message").startswith("step-identity is violated")


@pytest.mark.parametrize("verdict", [Verdict.VACUOUS, Verdict.NOT_APPLICABLE, Verdict.BLOCKED])
def test_a_battery_that_tested_nothing_is_not_green(run, verdict):
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    [command] = re.findall(r"^\$ pytest (.*)", readme, re.MULTILINE)
    found = run(*shlex.split(command), otherwise=verdict)
    found.assert_outcomes(passed=1, skipped=THEOREMS)
    assert found.ret == pytest.ExitCode.TESTS_FAILED
    found.stdout.fnmatch_lines(
        [f"gdpure: homework:my_descent: * {THEOREMS} {verdict}: no theorem holds*"]
    )


def test_theorems_are_chosen_as_tests_are_and_of_files_as_of_modules(run):
    asked = [
        "--gdpure",
        "hom*.py:my_descent",
        "--gdpure",
        "homework:my_descent",
    ]
    found = run(*asked, "-k", "step-identity")
    found.assert_outcomes(passed=2, deselected=2 * THEOREMS - 1)
    assert found.ret == pytest.ExitCode.OK and run.names == [
        "homework.py:my_descent",
        "homework:my_descent",
    ]


def test_what_blocks_a_theorem_is_told_where_its_own_test_is_deselected(run):
    wrong = {"form": Verdict.ERROR, "step-identity": Verdict.BLOCKED}
    asked = ["--gdpure", "homework:my_descent"]
    for also in ((), ("form",)):
        chosen = " or ".join(["step-identity", "descent-lemma", *also])
        found = run(*asked, "-k", chosen, verdicts=wrong)
        there = {"passed": 1 + len(also), "errors": 1, "skipped": len(also)}  # closed-form too
        found.assert_outcomes(**there)
        assert "why form" in found.stdout.str() and found.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(
    ("target", "status", "sentence"),
    [
        ("homework", 4, "ERROR: --gdpure must be module:attribute, as in optax:sgd, or FILE.py"),
        ("no/*.py:f", 4, "ERROR: --gdpure: there is no file no/*.py"),
        ("homework:descent", 2, "homework has no attribute 'descent'; near it: my_descent"),
        ("homework:word", 2, "the subject must be a rule, an optax transformation"),
    ],
)
def test_a_target_that_is_none_is_refused_in_a_sentence(run, target, status, sentence):
    found = run("--gdpure", target)
    assert found.ret == status and not run.names
    printed = found.stdout.str() + found.stderr.str()
    assert sentence in printed and "plugin.py" not in printed


def test_where_nothing_is_asked_for_nothing_is_added(run):
    found = run()
    found.assert_outcomes(passed=1)
    assert found.ret == pytest.ExitCode.OK and "gdpure:" not in found.stdout.str()


def test_nobody_pays_who_has_not_asked():
    program = """
        import sys
        from importlib.metadata import distribution
        [entry] = distribution("gdpure").entry_points.select(group="pytest11")
        entry.load()
        print(entry.value, {"jax", "numpy", "pytest", "hypothesis"} & set(sys.modules))
    """
    options = {"capture_output": True, "text": True, "check": True}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], **options)
    assert done.stdout == "gdpure.pytest_plugin set()\n"
