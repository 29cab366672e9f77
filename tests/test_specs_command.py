"""The command line of the theorems: what is printed where, exit statuses, what is refused."""

import contextlib
import dataclasses
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from gdpure import specs
from gdpure.specs import targets
from gdpure.specs.__main__ import main
from gdpure.specs.optimizer import check as checks
from gdpure.specs.report import Counterexample, Report, Row, Verdict
from gdpure.specs.run.certificate import Finding
from gdpure.specs.run.table import read_csv

HOMEWORK = """
    print("what a module prints when it is imported")

    def my_descent(gradient, start, step_size, steps):
        return start

    class course:
        solution = "a solution"
"""


@pytest.fixture
def homework(tmp_path, monkeypatch):
    """A folder, the working directory, with a homework.py in it that no other test sees."""
    (tmp_path / "homework.py").write_text(textwrap.dedent(HOMEWORK))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", ".")])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name in {path.stem for path in tmp_path.glob("*.py")}:
            del sys.modules[name]


@pytest.fixture
def calls(homework, monkeypatch):
    """A stub of the checks, which records how it is called and finds what it is told to find."""
    made = []

    def check_optimizer(subject, *, progress, **options):
        made.append({"subject": subject, **options})
        print("what a subject prints when it runs")
        progress(0.5, "half way")
        verdict = check_optimizer.verdict
        rows = [
            Row(f"theorem-{k}", "odd", "float32", verdict, "why" * (verdict != "holds"), 9)
            for k in range(5)
        ]
        where = options["platform"] or "cpu"
        versions, seed = {"jax": "0.10"}, options["seed"]
        return Report(options["name"], "descent", where, versions, seed, tuple(rows))

    check_optimizer.verdict = Verdict.HOLDS
    monkeypatch.setattr(checks, "check_optimizer", check_optimizer)
    made.append(check_optimizer)
    return made


@pytest.fixture
def refused(capsys):
    """A function that runs a command and returns the one sentence by which it was refused."""

    def run(*arguments):
        assert main(list(arguments)) == 2
        printed = capsys.readouterr()
        *others, sentence = printed.err.splitlines()
        assert printed.out == "" and sentence.startswith(f"gdpure {arguments[0]}: ")
        assert set(others) <= {"what a module prints when it is imported"}
        return sentence.removeprefix(f"gdpure {arguments[0]}: ")

    return run


# -- check -----------------------------------------------------------------------------------------


def test_a_report_is_printed_and_nothing_else(calls, capsys):
    assert main(["check", "homework:my_descent"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("homework:my_descent, held to descent (cpu, float32, seed 0)\n")
    assert printed.out.endswith("\n") and "\x1b" not in printed.out
    for words in ("module prints when", "subject prints when"):
        assert words in printed.err and words not in printed.out
    _, call = calls
    assert call["subject"](None, "it", 0.1, 1) == "it"
    assert call["only"] is call["method"] is call["platform"] is None and call["seed"] == 0


@pytest.mark.parametrize(
    ("verdict", "status"),
    [("holds", 0), ("expected failure", 1), ("VIOLATED", 1), ("ERROR", 1), ("vacuous", 1)],
)
def test_the_exit_status_is_the_truth_of_the_report(calls, verdict, status):
    calls[0].verdict = Verdict(verdict)
    assert main(["check", "homework:my_descent"]) == status


def test_options_reach_the_checks(calls):
    options = ["--only", "fejer,contraction", "--only", "monotone descent", "--seed", "7"]
    options += ["--method", "homework:course.solution", "--platform", "cpu"]
    assert main(["check", "homework:my_descent", *options]) == 0
    _, call = calls
    assert call["only"] == ["fejer", "contraction", "monotone descent"]
    assert call["method"] == "a solution" and call["platform"] == "cpu" and call["seed"] == 7


@pytest.mark.parametrize("method", ["descent", "any"])
def test_methods_in_words(calls, method):
    assert main(["check", "homework:my_descent", "--method", method]) == 0
    assert calls[1]["method"] == method


def test_json_instead_of_the_report(calls, capsys):
    assert main(["check", "homework:my_descent", "--json"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert read["holds"] is True and read["subject"] == "homework:my_descent"
    assert len(read["rows"]) == 5


def test_json_to_a_file_beside_the_report(calls, homework, capsys):
    assert main(["check", "homework:my_descent", "--json", "found.json"]) == 0
    assert capsys.readouterr().out.startswith("homework:my_descent")
    assert json.loads((homework / "found.json").read_text())["seed"] == 0


def test_all_platforms(calls, capsys, monkeypatch):
    there = {"cpu"}

    def devices(platform):
        if platform not in there:
            raise RuntimeError(f"no {platform}")

    monkeypatch.setattr("jax.devices", devices)
    command = ["check", "homework:my_descent", "--platform", "all"]
    assert main(command) == 0
    assert "note:          gpu: not run, there is none here\n" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    [read] = json.loads(capsys.readouterr().out)
    assert read["notes"] == ["gpu: not run, there is none here"]
    there.add("gpu")
    assert main([*command, "--json"]) == 0
    assert [r["platform"] for r in json.loads(capsys.readouterr().out)] == ["cpu", "gpu"]


def test_a_platform_that_is_absent(calls, refused, monkeypatch):
    def devices(_):
        raise RuntimeError("nothing")

    monkeypatch.setattr("jax.devices", devices)
    command = ["check", "homework:my_descent", "--platform"]
    assert refused(*command, "gpu") == "gpu: not run, there is none here"
    assert refused(*command, "all").endswith("gpu: not run, there is none here")
    assert len(calls) == 1


def test_stopping_it_prints_no_traceback(calls, capsys, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(checks, "check_optimizer", stop)
    assert main(["check", "homework:my_descent"]) == 130
    assert capsys.readouterr().err.endswith("gdpure check: stopped\n")


def test_an_error_of_our_own_is_shown_in_full(calls, monkeypatch):
    def fail(*_, **__):
        raise ValueError("a mistake in the checks")

    monkeypatch.setattr(checks, "check_optimizer", fail)
    with pytest.raises(ValueError, match="a mistake"):
        main(["check", "homework:my_descent"])


# -- files -----------------------------------------------------------------------------------------


def write(folder, **programs):
    """Files of a folder, by their stems."""
    folder.mkdir(exist_ok=True)
    for name, program in programs.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(program))


def descent(name, *lines):
    """A homework that returns a name where iterates should be."""
    return "\n".join([*lines, "def my_descent(gradient, start):", f"    return {name}"])


def returned(calls):
    """What the subjects of all calls return, in their order."""
    return [call["subject"](None, None) for call in calls[1:]]


def test_a_file_is_checked_under_the_name_that_was_typed(calls, homework, capsys):
    write(homework / "class", anna=descent("'anna'"))
    assert main(["check", "class/anna.py:my_descent"]) == 0
    assert capsys.readouterr().out.startswith("class/anna.py:my_descent, held to descent")
    assert main(["check", f"{homework}/class/anna.py:my_descent"]) == 0
    assert returned(calls) == ["anna", "anna"]


def test_files_of_one_name_do_not_meet_nor_do_their_neighbors(calls, homework):
    for name in ("a", "b"):
        program = descent("mine", "from helper import mine")
        write(homework / name, homework=program, helper=f"mine = {name!r}")
    before = set(sys.modules), list(sys.path)
    paths = ["a/homework.py", "b/homework.py", "homework", "a/homework.py"]
    write(homework, homework=descent("'here'"))
    assert main(["check", *(f"{path}:my_descent" for path in paths)]) == 0
    assert returned(calls) == ["a", "b", "here"]
    assert (set(sys.modules), list(sys.path)) == before


@pytest.mark.parametrize("name", ["json", "class", "hw-1", "anna (2)"])
def test_a_file_may_be_called_anything(calls, homework, name):
    import json as before

    write(homework / "class", **{name: descent("json.dumps(neighbor.x)", "import json, neighbor")})
    write(homework / "class", neighbor="x = 1")
    assert main(["check", f"class/{name}.py:my_descent"]) == 0
    assert sys.modules["json"] is before and returned(calls) == ["1"]


@pytest.mark.parametrize("path", ["homework.py", "class/anna.py", "class/hw-1 (2).py", "json.py"])
def test_what_is_said_of_a_file_can_be_pasted(homework, path):
    write(homework / "class")
    program = "def my_descent(point, gradient, step_size):\n    return point + step_size"
    (homework / path).write_text(program)
    subject = targets.load(targets.one(f"{path}:my_descent", ""))
    options = {"only": ["step-identity"], "instances": 3, "name": f"{path}:my_descent"}
    report = specs.check_optimizer(subject, **options)
    case = report.rows[0].counterexample
    pasted = [sys.executable, "-c", f"import sys; sys.path.insert(0, '')\n{case.reproduction}"]
    done = subprocess.run(pasted, capture_output=True, text=True)  # as where Python is typed
    assert done.returncode == 0 and "must be" in done.stdout
    five = [dataclasses.replace(report.rows[0], theorem=f"t{k}") for k in range(5)]
    [details] = [
        line for line in str(dataclasses.replace(report, rows=tuple(five))).splitlines()
        if line.startswith("details:")
    ]  # fmt: skip
    quoted = f"'{path}:my_descent'" if " " in path else f"{path}:my_descent"
    assert details.split(maxsplit=1)[1] == f"gdpure check {quoted} --only t0"


@pytest.mark.parametrize("name", ["optax:sgd(0.1)", "<lambda>", "f at (1, 2): it"])
def test_what_cannot_be_typed_is_no_target(name):
    assert targets.as_target(name) is None


def test_the_details_are_those_of_the_same_command(calls, capsys, monkeypatch):
    case = Counterexample((), "it", "1", "2", 1.0, 0.0, "", "")

    def check_optimizer(*_, name, seed, **__):
        row = Row("it", "odd", "float32", Verdict.VIOLATED, counterexample=case)
        rows = [dataclasses.replace(row, theorem=f"t{k}") for k in range(5)]
        return Report(name, "descent", "cpu", {}, seed, tuple(rows))

    monkeypatch.setattr(checks, "check_optimizer", check_optimizer)
    options = ["--method", "homework:course.solution", "--instances", "9", "--seed", "7"]
    assert main(["check", "homework:my_descent", *options]) == 1
    details = capsys.readouterr().out.splitlines()[-1].split(maxsplit=1)[1]
    assert details == " ".join(["gdpure check homework:my_descent", *options, "--only t0"])


# -- several ---------------------------------------------------------------------------------------


@pytest.fixture
def submissions(homework):
    """A class of four, one of whom cannot be imported, and a file that is none of theirs."""
    programs = {name: descent(repr(name)) for name in ("ben", "anna", "dora")}
    write(homework / "submissions", cleo="\ndef f(:", **programs)
    (homework / "submissions" / "notes.txt").write_text("late: cleo")
    return homework


def test_of_a_few_each_has_its_report(calls, submissions, capsys):
    options = [f"submissions/{name}.py:my_descent" for name in ("anna", "cleo", "ben")]
    assert main(["check", *options]) == 2
    printed = capsys.readouterr()
    first, second = printed.out.split("\n\n")
    assert first.startswith(f"{options[0]}, held to") and second.startswith(f"{options[2]}, held")
    assert "gdpure check: importing submissions/cleo.py raised SyntaxError" in printed.err
    assert returned(calls) == ["anna", "ben"]


def test_of_many_each_has_a_line_in_the_order_of_their_names(calls, submissions, capsys):
    calls[0].verdict = Verdict.ERROR
    assert main(["check", "submissions/*.py:my_descent", "--seed", "3"]) == 2
    printed = capsys.readouterr()
    lines = [line.split(maxsplit=2) for line in printed.out.splitlines()]
    assert [line[:2] for line in lines[:2]] == [
        [f"submissions/{name}.py:my_descent", "ERROR"] for name in ("anna", "ben")
    ]
    assert lines[0][2].startswith("why") and returned(calls) == ["anna", "ben", "dora"]
    words = " ".join(printed.out.split())
    assert "cleo.py:my_descent not tried importing submissions/cleo.py raised Syn" in words
    assert "3 ERROR, 1 not tried; gdpure check TARGET --seed 3 says all about one of them" in words


@pytest.mark.parametrize(("verdict", "status"), [("holds", 0), ("VIOLATED", 1), ("vacuous", 1)])
def test_the_status_of_several_is_that_of_the_worst(calls, submissions, verdict, status):
    (submissions / "submissions" / "cleo.py").unlink()
    calls[0].verdict = Verdict(verdict)
    assert main(["check", "homework:my_descent", "submissions/*.py:my_descent"]) == status


def test_json_is_a_list_if_several_may_come(calls, submissions, capsys):
    def read(*asked):
        main(["check", *asked, "--json"])
        return json.loads(capsys.readouterr().out)

    of_class = read("submissions/*.py:my_descent")
    names = [f"submissions/{name}.py:my_descent" for name in ("anna", "ben", "cleo", "dora")]
    assert [document["subject"] for document in of_class] == names
    assert [document["holds"] for document in of_class] == [True, True, False, True]
    assert len(read("submissions/a*.py:my_descent")) == 1
    assert len(read("homework:my_descent", "homework:course.solution")) == 2
    assert read("submissions/anna.py:my_descent")["schema"] == 1


def test_a_table_tells_platforms_apart(calls, submissions, capsys, monkeypatch):
    monkeypatch.setattr("jax.devices", lambda platform: [platform])
    assert main(["check", "submissions/*.py:my_descent", "--platform", "all"]) == 2
    words = [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
    anna = "submissions/anna.py:my_descent"
    assert words[:2] == [[anna, "cpu", "holds"], [anna, "gpu", "holds"]]


def test_a_subject_that_ends_the_process_is_refused(calls, refused, monkeypatch):
    def stop(*_, **__):
        raise SystemExit(0)

    monkeypatch.setattr(checks, "check_optimizer", stop)
    assert "ends the process: it raised SystemExit" in refused("check", "homework:my_descent")


# -- the keys of JSON ------------------------------------------------------------------------------

KEYS = {
    "report": "schema holds subject method platform versions seed rows notes",
    "row": "theorem family dtype verdict reason instances informative violated excess first "
    "counterexample",
    "counterexample": "lines smallest must_be returned off_by explained cause reproduction",
    "certificate": "schema holds subject story findings known estimated",
    "finding": "law statement verdict sentence first off allowed used cause where",
    "refusal": "schema holds subject refused",
}


def test_whoever_changes_a_key_changes_the_number_of_the_schema(submissions, capsys):
    case = Counterexample((), "", "", "", 1.0, 0.0, "", "")
    row = Row("it", "odd", "float32", Verdict.VIOLATED, counterexample=case)
    report = json.loads(Report("", "", "", {}, 0, (row,)).to_json())
    law = Finding("step", "", Verdict.HOLDS)
    certificate = json.loads(specs.Certificate("", ("",), (law,), {}, {}).to_json())
    main(["check", "submissions/c*.py:my_descent", "--json"])
    [refusal] = json.loads(capsys.readouterr().out)
    found = {
        "report": report,
        "row": report["rows"][0],
        "counterexample": report["rows"][0]["counterexample"],
        "certificate": certificate,
        "finding": certificate["findings"][0],
        "refusal": refusal,
    }
    assert {kind: " ".join(keys) for kind, keys in found.items()} == KEYS
    assert report["schema"] == certificate["schema"] == refusal["schema"] == 1
    page = (Path(__file__).parents[1] / "specs" / "README.md").read_text().replace("**", "")
    for kind, keys in KEYS.items():
        lines = page.partition(f"\n| {kind} | |\n")[2].partition("| |\n| `")[0].splitlines()
        named = [key for line in lines for key in re.findall(r"`(\w+)`", line.split(" | ")[0])]
        assert sorted(named) == sorted(keys.split()), kind


# -- pyproject.toml --------------------------------------------------------------------------------


@pytest.fixture
def project(homework):
    """A function that writes a pyproject.toml into the current folder."""

    def write(*lines, folder=homework):
        (folder / "pyproject.toml").write_text("\n".join(lines))

    return write


TABLE = '[tool.gdpure.check."homework:my_descent"]'


def test_targets_methods_and_expected_failures_are_read(calls, homework, project, capsys):
    write(homework / "class", anna=descent("'anna'"), ben=descent("'ben'"))
    project(
        TABLE,
        'method = "descent"',
        'expected-failures = { value-rate = "not proven", fejer = "momentum" }',
        '[tool.gdpure.check."class/anna.py:my_descent"]',
        'method = "homework.py:course.solution"',
        '[tool.gdpure.check."class/*.py:my_descent"]',
        'method = "any"',
    )
    assert main(["check", "--json"]) == 0
    names = ["homework:my_descent", "class/anna.py:my_descent", "class/ben.py:my_descent"]
    assert [report["subject"] for report in json.loads(capsys.readouterr().out)] == names
    here, anna, ben = calls[1:]
    assert here["method"] == "descent"
    assert here["expected_failures"] == {"value-rate": "not proven", "fejer": "momentum"}
    assert anna["method"] == "a solution" and ben["method"] == "any"
    assert anna["expected_failures"] == {}


def test_the_command_line_wins_over_the_file(calls, project):
    project(TABLE, 'method = "descent"', 'expected-failures.fejer = "momentum"')
    assert main(["check", "homework:my_descent", "--method", "any"]) == 0
    assert calls[1]["method"] == "any" and calls[1]["expected_failures"] == {"fejer": "momentum"}


@pytest.mark.parametrize("name", ["homework", "homework.py", "./homework.py"])
@pytest.mark.parametrize("said", ["homework", "homework.py"])
def test_what_is_said_of_a_file_is_said_of_its_module(calls, project, name, said):
    project(f'[tool.gdpure.check."{said}:my_descent"]', 'method = "descent"')
    assert main(["check", f"{name}:my_descent"]) == 0
    assert calls[1]["method"] == "descent"
    project(TABLE, 'method = "any"', TABLE.replace("work:", "work.py:"), 'method = "descent"')
    assert main(["check", f"{name}:my_descent"]) == 0
    assert calls[2]["method"] == ("any" if name == "homework" else "descent")


def test_what_is_said_of_a_module_is_found_from_a_folder_below(
    calls, homework, project, monkeypatch
):
    write(homework / "pack", __init__="", optim=descent("'it'"))
    project('[tool.gdpure.check."pack.optim:my_descent"]', 'method = "any"')
    monkeypatch.chdir(homework / "pack")
    assert main(["check", "optim.py:my_descent"]) == 0
    assert calls[1]["method"] == "any"


def test_a_file_above_speaks_of_what_is_beside_it(calls, homework, project, monkeypatch, capsys):
    write(homework / "class", anna=descent("'anna'"))
    project(TABLE, '[tool.gdpure.check."class/anna.py:my_descent"]', 'method = "any"')
    monkeypatch.chdir(homework / "class")
    project("[tool.other]", folder=homework / "class")
    assert main(["check", "--json"]) == 0
    found = [report["subject"] for report in json.loads(capsys.readouterr().out)]
    assert found == ["homework:my_descent", "anna.py:my_descent"]
    assert main(["check", "./anna.py:my_descent"]) == 0
    assert [call["method"] for call in calls[1:]] == [None, "any", "any"]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["x = "], "cannot be read: Invalid value (at end of document)"),
        (["tool = 3"], "tool must be a table, got 3"),
        (["[tool]", "gdpure = []"], "tool.gdpure must be a table, got an array"),
        (["[tool.gdpure.chek]"], "tool.gdpure has no key 'chek'; the key of it is check"),
        (["[tool.gdpure.check.homework]"], 'check."homework" must be module:attribute, as in opta'),
        (['[tool.gdpure.check."no/*.py:f"]'], 'check."no/*.py:f": there is no file no/*.py'),
        (
            [TABLE, "x = 1"],
            "has no key 'x'; the keys are method, expected-failures, gradient-of and at",
        ),
        ([TABLE, "method = 1"], '.method must be "descent", "any" or a rule, got 1'),
        ([TABLE, 'method = "gd.Polyak()"'], ".method must be module:attribute, as in optax:sgd, o"),
        ([TABLE, "expected-failures = true"], "expected-failures must be a table, got a boolean"),
        (
            [TABLE, 'expected-failures.value-rte = "why"'],
            "expected-failures: no theorem is called 'value-rte'; near it: value-rate",
        ),
        (
            [TABLE, "expected-failures.value-rate = 3"],
            "expected-failures.value-rate must be the reason, a text, got 3",
        ),
        ([TABLE, 'expected-failures.fejer = " "'], "fejer must be the reason, a text, got an empt"),
        ([TABLE, "gradient-of = 3"], "gradient-of must be a text, got 3"),
        ([TABLE, 'gradient-of = "cost"'], "gradient-of must be module:attribute, as in optax:sgd"),
        ([TABLE, "at = [1, 2]"], "at must be a text, got an array"),
        ([TABLE, 'at = "one"'], ".at must be numbers, as in 1,2,3, or a point as module:attr"),
    ],
)
def test_a_file_that_means_nothing(calls, refused, project, lines, sentence):
    project(*lines)
    told = refused("check", "homework:my_descent")
    assert told.startswith("pyproject.toml") and sentence in told and len(calls) == 1


def test_what_the_checks_refuse_names_the_file(homework, refused, project):
    table = '[tool.gdpure.check."optax:sgd"]'
    project(table, 'expected-failures.heavy-ball-rate = "why"')
    for options in ([], ["--method", "any"]):
        told = refused("check", "optax:sgd", *options)
        assert told.startswith('pyproject.toml: tool.gdpure.check."optax:sgd".expected-failures: ')
    project(table, 'method = "homework:course.solution"')
    told = refused("check", "optax:sgd")
    assert told.startswith('pyproject.toml: tool.gdpure.check."optax:sgd".method must be None')


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (
            "homework",
            "TARGET must be module:attribute, as in optax:sgd, or FILE.py:attribute, got "
            "'homework'",
        ),
        ("homework:f(0.1)", "TARGET must be module:attribute, as in optax:sgd"),
        ("homework.py", "or FILE.py:attribute, got 'homework.py'"),
        ("some/homework:f", "or FILE.py:attribute, got 'some/homework:f'"),
        ("some/homework.py:f", "there is no file some/homework.py"),
        ("homewrok.py:f", "there is no file homewrok.py; near it: homework.py"),
        ("nobody/*.py:f", "TARGET: there is no file nobody/*.py"),
        ("homework.py:descent", "homework.py has no attribute 'descent'; near it: my_descent"),
        ("homework.py:course.s", "homework.py:course has no attribute 's'"),
        ("homwork:f", "there is no module 'homwork', in this folder or installed; near it: home"),
        ("homework.f:f", "there is no module 'homework.f', in this folder or installed"),
        ("homework:descent", "homework has no attribute 'descent'; near it: my_descent"),
        ("homework:course.solutoin", "homework:course has no attribute 'solutoin'; near it: solu"),
    ],
)
def test_a_target_that_is_not_there(homework, refused, target, sentence):
    assert sentence in refused("check", target)


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("x = 1\ny = x / 0\n", "ZeroDivisionError: division by zero (broken.py, line 2)"),
        ("import json\njson.loads('')\n", "JSONDecodeError: Expecting value: line 1 column 1"),
        ("\ndef f(:\n", "SyntaxError: invalid syntax (broken.py, line 2)"),
        (
            "import not_there_at_all\n",
            "ModuleNotFoundError: No module named 'not_there_at_all' (broken.py, line 1)",
        ),
        ("raise SystemExit\n", "SystemExit (broken.py, line 1)"),
        ("raise ValueError('first\\nsecond')\n", "ValueError: first (broken.py, line 1)"),
    ],
)
def test_a_target_whose_import_fails(homework, refused, program, sentence):
    (homework / "broken.py").write_text(program)
    told = refused("check", "broken:f")
    assert told.startswith("importing broken raised ") and sentence in told
    assert "(broken.py, line " in told


def test_what_is_no_optimizer(homework, refused):
    told = refused("check", "homework:course.solution")
    assert "must be a rule, an optax transformation" in told and "got str" in told


def test_what_is_no_theorem(homework, refused):
    told = refused("check", "optax:sgd", "--only", "step-idntity")
    assert told.startswith("--only: ") and "'step-idntity'; near it: step-identity" in told


def test_what_is_no_method(homework, refused):
    told = refused("check", "optax:sgd", "--method", "homework:course.solution")
    assert told.startswith("--method must be None")
    assert "--method must be module:attribute" in refused(
        "check", "optax:sgd", "--method", "downhill"
    )


def test_a_file_that_cannot_be_written_is_refused_at_once(calls, homework, refused):
    told = refused("check", "homework:my_descent", "--json", str(homework / "no" / "file"))
    assert "--json: cannot write to" in told and len(calls) == 1


@pytest.mark.parametrize("seed", ["-1", "x", "1.5", str(2**31)])
def test_seeds_are_whole_numbers(seed, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["check", "optax:sgd", f"--seed={seed}"])
    assert "must be a whole number from 0" in capsys.readouterr().err


# -- gradients and objectives ----------------------------------------------------------------------


@pytest.fixture
def cost(homework):
    """A file of a function of NumPy with two gradients, and an objective."""
    write(
        homework,
        cost="""
            import jax.numpy as jnp
            import numpy as np
            import gdpure as gd

            start = {"a": np.array([1.0, -2.0])}

            def f(x):
                return float((x**2).sum())

            def f_of_tree(x):
                return f(x["a"])

            def gradient(x):
                return 2 * x

            def of_tree(x):
                return {"a": 2 * x["a"]}

            def half(x):
                return x

            def crooked(x):
                raise ZeroDivisionError("no")

            objective = gd.Objective(lambda x, _: f(x), facts=gd.Facts(smoothness=2.0))
            alone = gd.Objective(f)
            claims = gd.Objective(lambda x, _: jnp.sum(x**2), facts=gd.Facts(smoothness=1.0))
        """,
    )


OF = ["--gradient-of", "cost:f"]


@pytest.mark.parametrize(
    ("arguments", "status", "method"),
    [
        (["cost:gradient", *OF, "--at", "1,2"], 0, "the derivative of cost:f"),
        (["cost.py:gradient", *OF, "--at=-1,"], 0, "the derivative of cost:f"),
        (["cost:gradient", "--gradient-of", "cost.py:f", "--at", "3"], 0, "of cost.py:f"),
        (["cost:of_tree", "--gradient-of", "cost:f_of_tree", "--at", "cost:start"], 0, "f_of_tree"),
        (["cost:half", *OF, "--at", "1,2", "--only", "taylor-remainder"], 1, "of cost:f"),
        (["cost:crooked", *OF, "--at", "1,2"], 1, "the derivative of cost:f"),
    ],
)
def test_gradients_are_checked(cost, capsys, arguments, status, method):
    assert main(["check", *arguments, "--json"]) == status
    report = json.loads(capsys.readouterr().out)
    assert report["schema"] == 1 and report["holds"] == (status == 0)
    assert report["subject"] == arguments[0] and report["method"].endswith(method)
    assert len(report["rows"]) == (1 if "--only" in arguments else 3)


def test_objectives_are_checked_and_what_is_pasted_says_more(cost, capsys):
    assert main(["check", "cost:claims", "--at=-1,2"]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("cost:claims, held to its claims: smoothness is 2 at least, not 1")
    assert "gdpure check cost:claims --at=-1,2 --only smoothness" in printed


def test_gradients_and_objectives_are_checked_by_pyproject(cost, project, capsys):
    project(
        '[tool.gdpure.check."cost:gradient"]',
        'gradient-of = "cost:f"',
        'at = "1,2"',
        '[tool.gdpure.check."cost:half"]',
        'gradient-of = "cost:f"',
        'at = "cost:start"',
    )
    assert main(["check", "cost:gradient"]) == 0
    assert "holds in float64" in capsys.readouterr().out
    assert main(["check", "cost:half", "--at", "1,2"]) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["cost:gradient", *OF], "--at must say where: numbers, as in 1,2,3, or a target"),
        (["cost:gradient", *OF, "--at", "one"], "--at must be numbers, as in 1,2,3, or a point as"),
        (["cost:gradient", *OF, "--at", "cost:strt"], "has no attribute 'strt'; near it: start"),
        (["cost:gradient", *OF, "--at", "cost:f"], "--at must be an array, got the function f"),
        (["cost:gradient", *OF, "--at", "1,nan"], "--at[1] must be finite, got nan"),
        (["cost:gradient", "--gradient-of", "cost"], "--gradient-of must be module:attribute"),
        (["cost:gradient", "--gradient-of", "cost:start", "--at", "1"], "--gradient-of must be ca"),
        (["cost:half", "--gradient-of", "cost:crooked", "--at", "1"], "cost:crooked raised ZeroDi"),
        (["cost:half", "--gradient-of", "cost:half", "--at", "1,2"], "f(at) must be one real numb"),
        (["cost:gradient", "--at", "1,2"], "--at is the point of a gradient or an objective, and "),
        (["cost:claims", *OF, "--at", "1"], "cost:claims is an objective, and no gradient of cost"),
        (["cost:claims", "--method", "any"], "--method is for optimizers, and cost:claims is an o"),
        (["cost:gradient", *OF, "--instances", "3"], "--instances is for optimizers, and cost:gra"),
        (["cost:gradient", *OF, "--platform", "cpu"], "--platform is for optimizers, and cost:gra"),
        (["cost:gradient", *OF, "--at", "1", "--only", "taylr"], "near it: taylor-remainder"),
        (["cost:alone", "--at", "1"], "objective.value must take 2 arguments, the parameters and"),
        (["cost:objective"], "--at must be a point, for the objective claims no minimizer"),
    ],
)
def test_mistakes_about_gradients_and_objectives(cost, refused, arguments, sentence):
    assert sentence in refused("check", *arguments)


# -- certify ---------------------------------------------------------------------------------------


@pytest.fixture
def run_csv(homework):
    """A function that writes a table, and the table of a run of two parameters on a bowl."""
    (homework / "cost.py").write_text("def f(x):\n    return (x**2).sum()\n")

    def write(*lines):
        (homework / "run.csv").write_text("\n".join(lines))

    points = [(2.0 * 0.75**k, 1.0 * 0.75**k) for k in range(8)]
    write.lines = [f"{x!r},{y!r},{x * x + y * y!r},{2 * x!r},{2 * y!r}" for x, y in points]
    write("theta_0, theta_1, value, g_0, g_1", *write.lines)
    return write


def test_a_recorded_run_is_certified(run_csv, capsys):
    assert main(["certify", "run.csv", "--objective", "cost:f"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("gradient descent with step 0.125: f went from 5 to ")
    assert "gradient" in shown and "7 steps of 2 parameters" in shown
    readme = (Path(__file__).parents[1] / "specs" / "README.md").read_text()
    [command] = re.findall(r"^\$ gdpure (certify .*)", readme, re.MULTILINE)
    assert main(command.replace("homework:f", "cost.py:f").split()) == 1  # its steps are 0.125
    assert capsys.readouterr().out.startswith("not gradient descent")


def test_columns_come_in_any_order_and_a_mark_or_empty_lines_are_no_rows(run_csv, homework):
    cells = [line.split(",") for line in run_csv.lines]
    lines = ["\ufeffvalue,theta_1,g_0,g_1,theta_0", ""]
    run_csv(*lines, *(",".join(row[k] for k in (2, 1, 3, 4, 0)) for row in cells), ",,,,")
    found = read_csv(homework / "run.csv")
    numbers = np.array(cells, float)
    assert (found["run"] == numbers[:, :2]).all() and (found["gradients"] == numbers[:, 3:]).all()
    assert (found["values"] == numbers[:, 2]).all()


def test_what_needs_no_function_is_judged_without_one(run_csv, capsys):
    assert main(["certify", "run.csv"]) == 0
    assert "gradient descent with step 0.125" in capsys.readouterr().out
    run_csv("theta_0", "1", "0.5")
    assert main(["certify", "run.csv"]) == 1  # nothing was tested
    assert "nothing could be tested" in capsys.readouterr().out


def test_a_certificate_as_json(run_csv, homework, capsys):
    command = ["certify", "run.csv", "--objective", "cost:f", "--json"]
    assert main(command) == 0
    read = json.loads(capsys.readouterr().out)
    assert read["schema"] == 1 and read["holds"] is True
    assert main([*command, "found.json"]) == 0
    assert json.loads((homework / "found.json").read_text()) == read
    assert capsys.readouterr().out.startswith("gradient descent with step")


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([], "run.csv is empty: its first line must name the columns theta_0, theta_1, ..., value"),
        (["theta_0"], "run.csv: the points must not be empty, got no rows"),
        (["theta_0", "1"], "run.csv: the points must be at least two rows, one step, got 1"),
        (["theta_0,Value", "1,2"], "run.csv, line 1, column 2: the columns are theta_0, theta_1, "),
        (["theta_0;value"], "got 'theta_0;value'"),
        (["theta_0,value,value"], "run.csv, line 1, column 3: value is there twice"),
        (["", "value,g_0", "1,2"], "run.csv, line 2: there is no column theta_0"),
        (["theta_0,theta_2"], "run.csv, line 1: there is no column theta_1"),
        (["theta_0,theta_1,g_1"], "run.csv, line 1: there is no column g_0"),
        (["theta_0,g_0,g_1"], "line 1: there is a column g_1, and no column theta_1"),
        (["theta_0,theta_01"], "column 2: the columns are theta_0, theta_1, ..., value, g_0, g_1"),
        (["theta_0", "1", "", "one"], "line 4, column theta_0: must be a number, got 'one'"),
        (["theta_0,value", "1,1", "1"], "line 3, column value: must be a number, got nothing"),
        (["theta_0,value", "1,1", ", 2"], "line 3, column theta_0: must be a number, got nothing"),
        (["theta_0", "1_0"], "line 2, column theta_0: must be a number, got '1_0'"),
        (["theta_0", "1", "0,5"], "line 3: there is 1 column, got 2 numbers"),
        (["theta_0", '"1'], "run.csv, line 2, is no CSV: unexpected end of data"),
        (
            ["theta_0", "nan", "1"],
            "run.csv, line 2, column theta_0: must be finite where a run begins, got nan",
        ),
    ],
)
def test_a_table_that_means_nothing(run_csv, refused, lines, sentence):
    run_csv(*lines)
    assert sentence in refused("certify", "run.csv")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no.csv"], "cannot read no.csv: No such file or directory"),
        (["run.csv", "--step-size", "-1"], "run.csv: --step-size must be finite and >= 0, got -1"),
        (["run.csv", "--objective", "cost"], "--objective must be module:attribute, as in"),
        (["run.csv", "--objective", "cost:g"], "cost has no attribute 'g'"),
        (
            ["run.csv", "--objective", "homework:course.solution"],
            "run.csv: the objective must be callable, got str",
        ),
        (
            ["run.csv", "--objective", "homework:my_descent"],
            "run.csv: the objective must take row 0 of the points, float64[2], and return",
        ),
        (["run.csv", "--json", "no/file"], "--json: cannot write to no/file"),
    ],
)
def test_what_cannot_be_certified(run_csv, refused, arguments, sentence):
    assert sentence in refused("certify", *arguments)


def test_a_table_in_no_text_is_refused(run_csv, homework, refused):
    (homework / "run.csv").write_bytes(b"theta_0\n\xff\n")
    assert "run.csv must be text in UTF-8" in refused("certify", "run.csv")


# -- theorems --------------------------------------------------------------------------------------


def test_the_theorems_are_listed(capsys):
    assert main(["theorems"]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {theorem.name} " in printed for theorem in specs.THEOREMS)
    assert "\x1b" not in printed


def test_one_theorem_or_family(capsys):
    assert main(["theorems", "fejer"]) == 0
    printed = capsys.readouterr().out
    assert "needs       step size" in printed and "contraction" not in printed
    assert main(["theorems", "convergence"]) == 0
    printed = capsys.readouterr().out
    assert "closed-form" in printed and "fejer" not in printed


def test_a_method_has_theorems_of_its_own(capsys):
    assert main(["theorems", "HeavyBall"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("HeavyBall\n") and "heavy-ball-rate" in shown
    assert main(["theorems", "heavy-ball-rate"]) == 0
    assert "holds for   HeavyBall" in capsys.readouterr().out
    assert main(["theorems", "recurrence"]) == 0
    assert capsys.readouterr().out.count("an equality") >= 7
    assert main(["theorems"]) == 0
    shown = capsys.readouterr().out
    assert "tight, attained by extremal.silver_huber" in shown and "\nsilver\n" in shown


def test_an_unknown_theorem_is_refused(refused):
    assert refused("theorems", "fejr").startswith(
        "no theorem, family or method is called 'fejr'; near it: fejer"
    )


# -- on a terminal ---------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="a terminal of POSIX")
@pytest.mark.parametrize("colors", [True, False])
def test_on_a_terminal_there_is_a_bar_at_once_and_colors(homework, colors):
    import pty

    program = """
        import sys, time
        from gdpure.specs import __main__, report
        from gdpure.specs.optimizer import check as checks
        def check_optimizer(subject, *, progress, **_):
            progress(0.5, "half way")
            time.sleep(0.3)
            row = report.Row("it", "odd", "float32", report.Verdict.VIOLATED, "why", 3)
            return report.Report("", "descent", "cpu", {}, 0, (row,))
        checks.check_optimizer = check_optimizer
        sys.exit(__main__.main(["check", "homework:my_descent"]))
    """
    ours, theirs = pty.openpty()
    plain = {key: x for key, x in os.environ.items() if key not in ("FORCE_COLOR", "NO_COLOR")}
    environment = plain | {"TERM": "xterm-256color"} | ({} if colors else {"NO_COLOR": "1"})
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=theirs,
        stderr=theirs,
        env=environment,
    ) as command:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the end of a terminal
            while part := os.read(ours, 4096):
                shown += part
    os.close(ours)
    text = shown.decode()
    assert command.returncode == 1
    assert text.index("importing homework:my_descent") < text.index("what a module prints")
    assert "half way" in text and "50 %" in text
    assert "held to descent" in text
    assert ("\x1b[1;31mVIOLATED" in text) == colors
