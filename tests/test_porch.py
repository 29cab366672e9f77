"""The porch: what is printed, where, with which exit status, and what is refused."""

import ast
import os
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import gdpure
from gdpure import plots as drawings
from gdpure.__main__ import main
from gdpure.plots.palette import THEMES

FIGURES = """certificate gd_vs_sgd one_step per_sample point_1 point_2 point_3 regression
regression_convergence regression_fit simple_convergence simple_cost simple_descent simple_values
""".split()
NUMBERS = [
    "(2, 1)",
    "(4, 2)",
    "(1.6, 0.8)",
    "3.2",
    "0.21474834",
    "0.10737417",
    "0.6400",
    "16.826666",
    "17.466667",
    "0.900000",
    "0.200000",
    "(0.5, 0.5)",
    "(0.44, 0.88)",
    "(0.28, 0.84)",
    "15.2",
    "theta_0 + 3 theta_1 = 2.8",
    "(1.24, 0.48)",
    "0.057646",
    "sklearn    0.200000   0.900000",
]


# A program that another process is still writing is compiled again, and JAX says so.
STRICT = ["-W", "error", "-W", "ignore:Error reading persistent compilation cache"]


def gdpure_command(*arguments, code="pass", **environment):
    """Run the command line in a process of its own, its output piped."""
    plain = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "COLUMNS")}
    program = f"import sys; {code}; sys.argv[0] = 'gdpure'; from gdpure.__main__ import main; "
    return subprocess.run(
        [sys.executable, *STRICT, "-c", program + "sys.exit(main())", *arguments],
        capture_output=True,
        env=plain | environment,
        timeout=300,
    )


@pytest.fixture(scope="module")
def piped():
    """Printed without matplotlib, which is for figures; `main` says the same beside it."""
    return gdpure_command(code="sys.modules['matplotlib'] = None")


def test_the_lesson_is_printed(piped):
    assert piped.returncode == 0 and piped.stderr == b""
    text = piped.stdout.decode()
    for number in NUMBERS:
        assert number in text, number


def test_piped_output_is_plain(piped):
    text = piped.stdout.decode()
    assert "\x1b" not in text and "\u2026" not in text  # no escape codes, nothing cut off
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line == line.rstrip() for line in lines)
    assert "\n\n\n\n" not in text


def test_narrow_and_ascii_terminals_get_the_same_numbers(piped):
    other = gdpure_command(PYTHONIOENCODING="ascii", COLUMNS="30", NO_COLOR="1")
    assert other.returncode == 0 and other.stderr == b""
    words = [w for w in other.stdout.decode("ascii").split() if any(c.isdigit() for c in w)]
    assert words == [w for w in piped.stdout.decode().split() if any(c.isdigit() for c in w)]


def test_main_returns_its_status_and_prints_the_same(piped, capsys):
    assert main([]) == 0
    assert capsys.readouterr().out.split() == piped.stdout.decode().split()


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"gdpure {version('gdpure')}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["chek"],
        ["--out", "there", "check"],
        ["--theme", "dark"],
        ["--format", "svg"],
        ["--out", "there", "--format", "gif"],
        ["--out", "there", "--theme", "blue"],
    ],
)
def test_unknown_and_missing_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage: gdpure" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["nonsense"], ["--out", "there", "check"], ["--outt"]])
def test_what_is_no_command_is_told_which_there_are(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    said = " ".join(capsys.readouterr().err.split())
    assert arguments[-1] in said and "the commands are check, certify, theorems and plots" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            [],
            ["check TARGET", "theorems [NAME]", "plots [NAME]", "--html FILE", "--out DIR"],
        ),
        (
            ["check"],
            ["usage: gdpure check", "--only", "--platform {cpu,gpu,all}", "--json", "--seed"],
        ),
        (["theorems"], ["usage: gdpure theorems", "NAME"]),
        (["plots"], ["usage: gdpure plots", "--check", "--list", "--theme {light,dark}"]),
    ],
)
def test_help_says_what_there_is(arguments, words, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([*arguments, "--help"])
    printed = capsys.readouterr().out
    assert all(word in printed for word in words)


def test_commands_are_handed_over(capsys):
    assert main(["theorems", "step-identity"]) == 0
    assert "definition of gradient descent" in capsys.readouterr().out
    assert main(["check", "nowhere:f"]) == 2
    assert "there is no module 'nowhere'" in capsys.readouterr().err
    assert main(["plots", "--list"]) == 0
    assert "level sets" in capsys.readouterr().out


def test_specs_are_imported_for_their_commands_only():
    code = "import atexit; atexit.register(lambda: print('gdpure.specs' in sys.modules))"
    assert gdpure_command("--version", code=code).stdout.endswith(b"False\n")
    assert gdpure_command("theorems", "form", code=code).stdout.endswith(b"True\n")


@pytest.mark.parametrize(
    ("missing", "command"),
    [
        ("hypothesis", ["check", "optax:sgd"]),
        ("hypothesis", ["theorems"]),
        ("rich", ["check", "a:b"]),
        ("matplotlib", ["plots", "--list"]),
    ],
)
def test_a_command_without_its_extra_is_one_sentence(missing, command):
    ended = gdpure_command(*command, code=f"sys.modules[{missing!r}] = None")
    [sentence] = ended.stderr.decode().splitlines()
    assert ended.returncode == 2 and ended.stdout == b""
    extra = "plots" if "plots" in command else "specs"
    assert missing in sentence and f"pip install 'gdpure[{extra}]'" in sentence


@pytest.mark.parametrize(
    ("missing", "arguments", "extra"),
    [
        ("rich", [], "gdpure[specs]"),
        ("matplotlib", ["--out", "figures"], "gdpure[plots]"),
        ("matplotlib", ["--html", "figures"], "gdpure[plots]"),
    ],
)
def test_a_missing_extra_is_one_sentence(missing, arguments, extra, tmp_path):
    arguments = [str(tmp_path / a) if a == "figures" else a for a in arguments]
    ended = gdpure_command(*arguments, code=f"sys.modules[{missing!r}] = None")
    [sentence] = ended.stderr.decode().splitlines()
    assert ended.returncode == 1 and ended.stdout == b""
    assert missing in sentence and f"pip install '{extra}'" in sentence
    assert not (tmp_path / "figures").exists()


def test_the_version_needs_no_extra():
    ended = gdpure_command("--version", code="sys.modules['rich'] = None")
    assert ended.returncode == 0 and ended.stdout.decode().split()[0] == "gdpure"


@pytest.mark.parametrize(
    ("option", "place"),
    [
        ("--out", "file"),
        ("--out", "file/below"),
        ("--out", "locked"),
        ("--html", ""),
        ("--html", "file/below.html"),
        ("--html", "locked/page.html"),
    ],
)
def test_an_unusable_place_is_one_sentence(option, place, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    if place.startswith("locked"):  # as seen by a user; root may write anywhere

        def refuse(*_, **__):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert main([option, str(tmp_path / place)]) == 1
    printed = capsys.readouterr()
    [sentence] = printed.err.splitlines()
    assert f"{option}: cannot write to {tmp_path / place}: " in sentence and printed.out == ""
    assert (tmp_path / "file").read_text() == "in the way"


def test_without_scikit_learn_one_sentence_says_so(piped):
    ended = gdpure_command(code="sys.modules['sklearn'] = None")
    text = ended.stdout.decode()
    assert ended.returncode == 0 and "pip install 'gdpure[all]'" in " ".join(text.split())
    assert [line for line in piped.stdout.decode().splitlines() if "sklearn  " in line]
    assert not [line for line in text.splitlines() if "sklearn  " in line]


@pytest.fixture
def one_drawing(monkeypatch):
    """All figures are one, drawn once in a theme: tests/figures/test_notebook.py draws them all."""

    draw = drawings.convergence

    @cache
    def drawn(theme):
        return draw(
            None,
            gdpure.descend(gdpure.landscapes.bowl, np.ones(2, np.float32), 0.1, steps=3),
            theme=theme,
        )

    names = "landscape one_step descent convergence fit_and_parameters per_sample gd_vs_sgd"
    for name in (*names.split(), "certificate"):
        monkeypatch.setattr(drawings, name, lambda *_, theme, **__: drawn(theme))


def test_figures_are_written_in_the_theme_and_the_formats_that_are_asked_for(
    tmp_path, capsys, one_drawing
):
    folder = tmp_path / "there" / "deeper"
    assert main(["--out", str(folder), "--theme", "dark", "--format", "svg,png"]) == 0
    written = sorted(folder.iterdir())
    names = [f"{name}.{form}" for name in FIGURES for form in ("png", "svg")]
    assert [path.name for path in written] == names
    printed = capsys.readouterr().out.splitlines()
    assert all(str(path) in printed for path in written)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written[::2])
    assert all(THEMES["dark"].paper in path.read_text() for path in written[1::2])


@pytest.mark.skipif(os.name != "posix", reason="a pipe of POSIX")
@pytest.mark.parametrize("command", ["", "theorems"])
def test_a_reader_that_leaves_early_causes_no_traceback(command):
    piped = f"{sys.executable} -m gdpure {command} | head -n 2"
    ended = subprocess.run(piped, shell=True, capture_output=True, timeout=300)
    assert ended.stderr == b"" and len(ended.stdout.splitlines()) == 2


def test_nothing_imports_the_porch():
    room = Path(gdpure.__file__).parent
    for path in [
        *room.glob("*.py"),
        *room.parent.glob("specs/*.py"),
        *room.parent.glob("plots/**/*.py"),
    ]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert "__main__" not in ast.unparse(node), path
