"""The command line of the theorems: what is printed where, exit statuses, what is refused."""

import contextlib
import json
import os
import subprocess
import sys
import textwrap

import pytest

from gdpure import specs
from gdpure.specs.__main__ import main
from gdpure.specs.optimizer import check as checks
from gdpure.specs.report import Report, Row, Verdict

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
        assert printed.out == "" and sentence.startswith("gdpure: ")
        assert set(others) <= {"what a module prints when it is imported"}
        return sentence.removeprefix("gdpure: ")

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
    assert call["subject"] is sys.modules["homework"].my_descent
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
    assert capsys.readouterr().err.endswith("gdpure: stopped\n")


def test_an_error_of_our_own_is_shown_in_full(calls, monkeypatch):
    def fail(*_, **__):
        raise ValueError("a mistake in the checks")

    monkeypatch.setattr(checks, "check_optimizer", fail)
    with pytest.raises(ValueError, match="a mistake"):
        main(["check", "homework:my_descent"])


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("homework", "TARGET must be module:attribute, as in optax:sgd, got 'homework'"),
        ("homework:f(0.1)", "TARGET must be module:attribute, as in optax:sgd"),
        (
            "homework.py:my_descent",
            "TARGET names a module, not a file: write homework:my_descent, in its folder",
        ),
        ("some/homework.py", "write homework:NAME, in its folder"),
        ("homwork:f", "there is no module 'homwork', in this folder or installed; near it: home"),
        ("homework.f:f", "there is no module 'homework.f', in this folder or installed"),
        ("homework:descent", "homework has no attribute 'descent'; near it: my_descent"),
        ("homework:course.solutoin", "homework.course has no attribute 'solutoin'; near it: solu"),
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
        def check_optimizer(subject, *, progress, **_):
            progress(0.5, "half way")
            time.sleep(0.3)
            row = report.Row("it", "odd", "float32", report.Verdict.VIOLATED, "why", 3)
            return report.Report("", "descent", "cpu", {}, 0, (row,))
        class checks: pass
        sys.modules["gdpure.specs.optimizer.check"] = checks
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
