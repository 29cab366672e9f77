"""The README is true: its Python runs, prints what is shown, and its commands need no set-up."""

import re
import shlex
from pathlib import Path

import jax
import numpy as np
import pytest
from sklearn.datasets import load_diabetes

import gdpure as gd
from gdpure import plots
from gdpure.plots.gallery import GALLERY
from gdpure.specs import settings

ROOT = Path(__file__).parents[1]
ROOMS = ("gdpure", "specs", "plots")
NAMES = ["README.md", *(f"{room}/README.md" for room in (*ROOMS, "tests"))]
PAGES = {name: (ROOT / name).read_text() for name in NAMES}
README, SPECS = PAGES["README.md"], PAGES["specs/README.md"]
BLOCK = re.compile(r"```(\w+)\n(.*?)```\n", re.DOTALL)


def examples():
    """Each python block, with the text block that follows it before the next python block."""
    for page, text in PAGES.items():
        found = []
        text = text.split("\n## The files\n")[0].split("\n## The gallery\n")[0]
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


SET_UP, *LINES = [b for kind, b in BLOCK.findall(PAGES["plots/README.md"]) if kind == "python"]


@pytest.fixture(scope="module")
def drawing():
    names = {}
    exec(compile(SET_UP, "plots/README.md", "exec"), names)
    return names


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_the_gallery_draws(line, drawing):
    exec(compile(line.replace("plots", "film = plots", 1), "plots/README.md", "exec"), drawing)
    assert len(plots.alt_text(drawing["film"].figure)) > 60


def test_the_gallery_has_every_figure():
    drawn = {name for line in LINES for name in re.findall(r"plots\.(\w+)\(", line)}
    parts = {"alt_text", "record", "save", "save_animation", "surface", "level_sets"}
    functions = {name for name in plots.__all__ if callable(getattr(plots, name))} - {"THEMES"}
    assert drawn - parts == functions - parts
    text = PAGES["plots/README.md"]
    assert set(re.findall(r"\(reference/(\w+)\.svg\)", text)) == set(GALLERY)


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


def test_the_readme_is_short():
    assert len(README.encode()) <= 12_000


@pytest.mark.parametrize("room", ROOMS)
def test_the_page_of_a_room_lists_its_modules(room):
    files = PAGES[f"{room}/README.md"].split("\n## The files\n")[1].split("```")[1]
    listed = set(re.findall(r"\b\w+\.py\b", files))
    assert listed == {path.name for path in (ROOT / room).rglob("*.py")} - {"__init__.py"}
    for path in re.findall(r"^([\w/.]+)", files, re.MULTILINE)[1:]:
        assert (ROOT / room / path).exists(), path


def test_the_page_of_the_core_has_all_its_names():
    names = PAGES["gdpure/README.md"].split("\n## The names\n")[1].split("\n## ")[0]
    assert set(gd.__all__) <= set(re.findall(r"`(\w+)`", names))


def test_the_tables_are_those_that_were_made():
    made = (ROOT / "tests" / "benchmarks" / "peers.txt").read_text().rstrip()
    assert made in PAGES["tests/README.md"]
    measured = (ROOT / "tests" / "benchmarks" / "results.md").read_text().split("\n\n")[0]
    assert measured in PAGES["tests/README.md"]


def test_a_theorem_is_added_by_a_short_page_and_settings_are_read(tmp_path):
    adding = SPECS.partition("\n## A law\n")[2].partition("\n## The files\n")[0]
    assert 50 <= adding.count("\n") <= 155
    [toml] = [body for kind, body in BLOCK.findall(SPECS) if kind == "toml"]
    (tmp_path / "pyproject.toml").write_text(toml)
    [(target, said)] = settings.read(tmp_path).check.items()
    assert str(target) in README + SPECS and said.method == "any" and "decrease" in said.expected


@pytest.mark.parametrize("page", NAMES)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", PAGES[page])
    for target in [*links, *re.findall(r'(?:src|srcset)="([^"]+)"', PAGES[page])]:
        assert (ROOT / page).parent.joinpath(target).exists(), target


def test_readme_runs_under_strict_jax():
    assert jax.config.jax_numpy_dtype_promotion == "strict"
    assert jax.config.jax_numpy_rank_promotion == "raise"
