"""The README is true: its Python runs, prints what is shown, and its commands need no set-up."""

import re
import shlex
from pathlib import Path

import jax
import numpy as np
import pytest
from sklearn.datasets import load_diabetes

from gdpure.specs import settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SPECS = (ROOT / "specs" / "README.md").read_text()
BLOCK = re.compile(r"```(\w+)\n(.*?)```\n", re.DOTALL)


def examples():
    """Each python block, with the text block that follows it before the next python block."""
    for page, text in (("README", README.split("\n## Layout\n")[0]), ("specs/README", SPECS)):
        found = []
        for kind, body in BLOCK.findall(text):
            if kind == "python":
                found.append([body, ""])
            elif kind == "text":
                found[-1][1] = body
        yield from (pytest.param(*pair, id=f"{page}-{k}") for k, pair in enumerate(found))


@pytest.fixture
def data_csv(tmp_path, monkeypatch):
    """The file that the README reads, in the working directory."""
    X, y = load_diabetes(return_X_y=True, scaled=False)
    header = ",".join([f"feature{k}" for k in range(X.shape[1])] + ["target"])
    np.savetxt(tmp_path / "data.csv", np.column_stack([X, y]), delimiter=",", header=header)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("code, shown", list(examples()))
@pytest.mark.usefixtures("data_csv")
def test_a_block_runs_and_prints_what_is_shown(code, shown, capsys):
    exec(compile(code, "a block", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out == shown
    assert shown or "assert" in code


def test_blocks_are_many_and_the_first_is_short():
    blocks = [body for kind, body in BLOCK.findall(README) if kind == "python"]
    assert len(blocks) >= 8
    assert len(blocks[0].splitlines()) <= 8


def test_a_second_sweep_compiles_nothing(compilations):
    [code] = [body for kind, body in BLOCK.findall(README) if kind == "python" and "sweep" in body]
    exec(compile(code, "README.md", "exec"), {})
    with compilations() as compiled:
        exec(compile(code, "README.md", "exec"), {})
    assert compiled() == 0


def test_commands_do_all_the_set_up_by_themselves():
    [commands] = [body for kind, body in BLOCK.findall(README) if kind == "sh"]
    lesson, tests = (shlex.split(line, comments=True) for line in commands.splitlines())
    for command in (lesson, tests):
        assert command[:5] == ["python3", "-m", "venv", ".venv", "&&"]
        assert command[5:8] == [".venv/bin/pip", "install", "-e"]
    assert lesson[9:] == ["&&", ".venv/bin/gdpure"]
    assert tests[9:] == ["&&", ".venv/bin/python", "-m", "pytest", *"-n 2 --dist loadfile".split()]


def test_layout_lists_the_modules_there_are():
    layout = README.split("\n## Layout\n")[1].split("```")[1]
    listed = set(re.findall(r"\b\w+\.py\b", layout))
    there = {
        path.name for room in ("gdpure", "specs", "plots") for path in (ROOT / room).rglob("*.py")
    }
    assert listed == there - {"__init__.py"}
    for path in re.findall(r"^(\S+)", layout, re.MULTILINE)[1:]:
        assert (ROOT / path).exists()


def test_the_table_of_other_libraries_is_the_one_that_was_made():
    assert (ROOT / "tests" / "benchmarks" / "peers.txt").read_text().rstrip() in README


def test_the_page_of_specs_is_short_and_its_settings_are_read(tmp_path):
    assert SPECS.count("\n") <= 180
    [toml] = [body for kind, body in BLOCK.findall(SPECS) if kind == "toml"]
    (tmp_path / "pyproject.toml").write_text(toml)
    [(target, said)] = settings.read(tmp_path).check.items()
    assert str(target) in README + SPECS and said.method == "any" and "decrease" in said.expected


def test_links_lead_somewhere():
    links = re.findall(r"\]\((?!http)([^)]+)\)", README)
    links += [f"specs/{link}" for link in re.findall(r"\]\((?!http)([^)]+)\)", SPECS)]
    pictures = re.findall(r'(?:src|srcset)="([^"]+)"', README)
    assert len(pictures) == 8  # four figures, on light and on dark paper
    for target in [*links, *pictures]:
        assert (ROOT / target).exists(), target


def test_readme_runs_under_strict_jax():
    assert jax.config.jax_numpy_dtype_promotion == "strict"
    assert jax.config.jax_numpy_rank_promotion == "raise"
