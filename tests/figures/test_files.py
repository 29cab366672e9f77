"""Files: the same figure gives the same bytes, says what it shows, and is whole or not there."""

import os
import re
import subprocess
import sys

import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import gdpure as gd
from gdpure import plots
from gdpure.lesson import quadratic
from gdpure.plots import references


@pytest.fixture(scope="module")
def run():
    return gd.descend(quadratic(), jnp.array([2.0, 1.0]), 0.1, steps=10)


def picture(run, **options):
    return plots.landscape(quadratic(), path=run, **options)


@pytest.fixture(scope="module")
def drawn(run):
    return picture(run)


@pytest.fixture(scope="module")
def again(run):
    return picture(run)


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_the_same_figure_gives_the_same_bytes(form, drawn, again, tmp_path):
    figures = {"one": drawn, "new/folder/two": again}
    paths = [plots.save(fig, tmp_path / name, [form])[0] for name, fig in figures.items()]
    assert [path.name for path in paths] == [f"one.{form}", f"two.{form}"]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", f"one.{form}"]


def test_a_figure_may_be_saved_twice_and_without_its_text(drawn, tmp_path):
    [first] = plots.save(drawn, tmp_path / "first", dpi=50)
    [silent] = plots.save(drawn, tmp_path / "silent", text=False, dpi=50)
    [again] = plots.save(drawn, tmp_path / "again", dpi=50)
    assert first.read_bytes() == again.read_bytes() != silent.read_bytes()
    assert 0 < references.rms(first.read_bytes(), silent.read_bytes()) < 40


def test_settings_of_the_user_neither_reach_a_figure_nor_change(run, drawn, tmp_path):
    [plain] = plots.save(drawn, tmp_path / "plain")
    hostile = {"font.size": 30, "lines.linewidth": 9, "savefig.dpi": 30, "axes.facecolor": "red",
               "figure.autolayout": True, "savefig.bbox": "tight", "font.family": ["monospace"],
               "contour.linewidth": 5, "text.usetex": False, "path.simplify": True}  # fmt: skip
    with matplotlib.rc_context(hostile):
        before = dict(matplotlib.rcParams)
        [other] = plots.save(picture(run), tmp_path / "hostile")
        assert dict(matplotlib.rcParams) == before
    assert plain.read_bytes() == other.read_bytes()


def test_other_processes_give_the_same_bytes_and_pyplot_is_left_alone(drawn, tmp_path):
    code = (
        "import sys, jax.numpy as jnp; import gdpure as gd; from gdpure import plots; "
        "from gdpure.lesson import quadratic; "
        "run = gd.descend(quadratic(), jnp.array([2.0, 1.0]), 0.1, steps=10); "
        "plots.save(plots.landscape(quadratic(), path=run), sys.argv[1], 'svg'); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "LC_ALL": "C"}
    command = [sys.executable, "-c", code, str(tmp_path / "there")]
    subprocess.run(command, check=True, timeout=300, env=environment)
    [here] = plots.save(drawn, tmp_path / "here", "svg")
    assert here.read_bytes() == (tmp_path / "there.svg").read_bytes()


def corner(path):
    with Image.open(path) as opened:
        return opened.convert("RGB").getpixel((0, 0))


def test_dark_paper_is_dark_to_its_edge(run, drawn, tmp_path):
    [path] = plots.save(picture(run, theme="dark"), tmp_path / "dark", dpi=50)
    assert corner(path) == (0x12, 0x18, 0x1F)
    with pytest.raises(ValueError, match="save: theme must be the one that the figure was drawn"):
        plots.save(drawn, tmp_path / "light", theme="dark")


def test_a_theme_of_ones_own_is_saved_in_it(run, tmp_path):
    mine = {"paper": "#fff8e7"}
    [path] = plots.save(picture(run, theme=mine), tmp_path / "mine", theme=mine, dpi=50)
    assert corner(path) == (0xFF, 0xF8, 0xE7)


# -- what it says ----------------------------------------------------------------------------------


def test_every_format_says_what_is_drawn(drawn, tmp_path):
    said = plots.alt_text(drawn)
    png, svg = plots.save(drawn, tmp_path / "fig", ["png", "svg"])
    with Image.open(png) as opened:
        assert opened.info["Description"] == said
    head = svg.read_text()
    assert 'role="img" aria-labelledby="gd-desc"' in head
    assert re.search(r'<desc id="gd-desc">(.*?)</desc>', head, re.S).group(1) == said
    assert 'id="gd:path"' in head


def test_the_numbers_of_the_text_are_drawn(run):
    fig = plots.descent(quadratic(), run).figure
    said, numbers = plots.alt_text(fig), plots.record(fig)
    assert "path: 11 points from (2, 1) to (0.2147, 0.1074)" in said
    assert said.startswith("10 steps")
    shown = {f"{x:.4g}" for array in numbers.values() for x in np.ravel(array)}
    counts = {str(len(array)) for array in numbers.values()}
    for number in re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?", said.partition(":")[2]):
        assert number in shown | counts, number


def test_an_empty_figure_says_so():
    assert plots.alt_text(Figure()) == "An empty figure."


# -- what is written -------------------------------------------------------------------------------


def test_a_crash_leaves_the_old_file(run, tmp_path, monkeypatch):
    fig = plots.descent(quadratic(), run)
    [path] = plots.save(fig, tmp_path / "kept.v1")
    before = path.read_bytes()
    assert path.name == "kept.v1.png"

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match=r"^save: cannot write .*kept.v1.png: No space left"):
        plots.save(Figure(), tmp_path / "kept.v1")
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_none_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="^save: cannot write .*file/fig.png: "):
        plots.save(Figure(), tmp_path / "file" / "fig")

    def refuse(*_, **__):  # as seen by a user; root may write anywhere
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.write_bytes", refuse)
    with pytest.raises(OSError, match="^save: cannot write .*fig.png: Permission denied"):
        plots.save(Figure(), tmp_path / "fig")


@pytest.mark.parametrize(
    ("name", "formats", "written"),
    [
        ("figure.png", None, ["figure.png"]),
        ("figure.SVG", None, ["figure.svg"]),
        ("figure.png", ("png", "pdf"), ["figure.png", "figure.pdf"]),
        ("run.v1", None, ["run.v1.png"]),
        ("figure", "svg", ["figure.svg"]),
    ],
)
def test_an_ending_is_not_written_twice(name, formats, written, tmp_path):
    paths = plots.save(Figure(figsize=(1, 1)), tmp_path / name, formats)
    assert paths == [tmp_path / name for name in written] and all(path.exists() for path in paths)


def test_mistakes_are_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="formats must be of png, svg, pdf, got 'gif'"):
        plots.save(Figure(), tmp_path / "never", "gif")
    with pytest.raises(TypeError, match="save: fig must be a Figure or Axes of one, got int"):
        plots.save(3, tmp_path / "never")
    assert not list(tmp_path.iterdir())


def test_every_public_name_is_there():
    assert all(hasattr(plots, name) for name in plots.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = plots.nothing
