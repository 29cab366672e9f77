"""The gallery: references by numbers, pixels, texts and bytes; its command; bugs that must show."""

import functools
import io
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from texts import every_text_can_be_read, no_text_is_clipped_or_overlaps

from gdpure import plots
from gdpure.plots import gallery, references, views
from gdpure.plots.__main__ import main
from gdpure.plots.figures import samples, sweeps
from gdpure.plots.palette import THEMES
from gdpure.plots.views import certified, fields

NAMES = pytest.mark.parametrize("name", gallery.GALLERY)
OTHER = references.other_versions()


@functools.cache
def figure(name, theme="light"):
    return gallery.draw(name, theme)


@functools.cache
def drawn(name, theme="light"):
    return references.drawn(figure(name, theme), theme)


# -- tiers 1 to 4 ----------------------------------------------------------------------------------


@NAMES
@pytest.mark.parametrize("theme", THEMES)
def test_numbers_and_pixels_are_those_of_the_reference(name, theme):
    change = references.changes(drawn(name, theme), name, theme, exact=not OTHER)
    assert references.passes(change, exact=not OTHER), change


@NAMES
@pytest.mark.parametrize("theme", THEMES)
def test_every_text_is_whole_apart_and_legible(name, theme):
    fig = figure(name, theme)
    no_text_is_clipped_or_overlaps(fig, theme)
    every_text_can_be_read(fig, THEMES[theme])


@NAMES
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.skipif(bool(OTHER), reason=f"bytes are those of other versions: {OTHER}")
def test_bytes_are_those_of_the_reference(name, theme):
    for ending, content in drawn(name, theme).files.items():
        kept = references.place(references.FOLDER, name, theme, ending)
        assert kept.read_bytes() == content, ending


@NAMES
def test_every_figure_says_what_it_is(name):
    fig = figure(name)
    assert len(plots.alt_text(fig)) > 60
    assert any(ax.get_title(loc="left") for ax in fig.axes) or fig.texts
    assert len(plots.record(fig)) > len(fig.axes)  # more than limits: every figure has marks


def test_there_is_no_reference_without_a_figure():
    stems = {path.name.split(".")[0] for path in references.FOLDER.iterdir()} - {"versions"}
    assert stems == set(gallery.GALLERY)
    assert set(gallery.FUNCTIONS) == set(gallery.GALLERY)


# -- bugs ------------------------------------------------------------------------------------------


def changed(name):
    now = references.drawn(gallery.draw(name))
    return references.changes(now, name, "light", exact=not OTHER)


def patched(monkeypatch, module, name, change):
    """Falsify what a function returns."""
    honest = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *args, **more: change(honest(*args, **more)))


def half_a_cell(grid):
    return grid._replace(z=(grid.z + np.roll(grid.z, 1, 1)) / 2)


def transposed(grid):
    return grid._replace(z=jax.image.resize(grid.z.T, grid.z.shape, "linear"))


def one_percent(swept):
    return swept._replace(smoothness=1.01 * swept.smoothness, edge=swept.edge / 1.01)


def doubled(found):
    return found | {"convex": found["convex"]._replace(values=2 * found["convex"].values)}


def vertex(region):
    [triangle] = region.polygons
    return region._replace(polygons=(triangle + [[0.05, 0], [0, 0], [0, 0]],))


def against(shown):
    return shown._replace(gradients=-shown.gradients)


# Which figure, where it gets its numbers from, and what a bug makes of them.
BUGS = {
    "trajectory off by one": ("descent", views, "points_of", lambda x: np.roll(x, -1, 0)),
    "vertex of the triangle 0.05 away": ("per_sample", samples, "confusion", vertex),
    "minimizer 0.05 away": ("landscape", fields, "minima", lambda points: points + 0.05),
    "convex bound twice as large": ("certificate", certified, "proven", doubled),
    "half a cell to the side": ("landscape", fields, "field", half_a_cell),
    "L wrong by 1 %": ("step_sweep", sweeps.sweeps, "step_sweep", one_percent),
    "arrows of the wrong sign": ("per_sample", samples, "samples", against),
    "line of minimizers 0.03 away": ("landscape_line", fields, "line", lambda ends: ends + 0.03),
    "grid transposed": ("descent", fields, "field", transposed),
}


@pytest.mark.parametrize("bug", BUGS)
def test_bugs_show_in_the_numbers_and_in_the_pixels(bug, monkeypatch):
    name, module, function, change = BUGS[bug]
    patched(monkeypatch, module, function, change)
    change = changed(name)
    assert change.numbers and change.pixels > references.MOST_ELSEWHERE, change


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A gallery of two figures, and a folder of references of its own."""
    few = {name: gallery.GALLERY[name] for name in ("descent", "landscape_line")}
    monkeypatch.setattr(gallery, "GALLERY", few)
    monkeypatch.setattr(references, "FOLDER", tmp_path / "plots" / "reference")
    (tmp_path / "pyproject.toml").touch()
    return tmp_path / "plots" / "reference"


def test_figures_are_drawn_anew_and_compared(small, capsys):
    assert main([]) == 0
    assert "new" in capsys.readouterr().out
    files = {path.name: path.read_bytes() for path in small.iterdir()}
    assert sorted(files) == sorted(
        ["versions.json"]
        + [f"{n}.{e}" for n in gallery.GALLERY for e in ("npz", "pixels.png", "svg")]
    )
    assert main([]) == 0 and main(["--check"]) == 0
    assert "changed" not in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in small.iterdir()} == files


def test_check_names_what_differs_and_writes_nothing(small, capsys, monkeypatch):
    main([])
    files = {path.name: path.read_bytes() for path in small.iterdir()}
    patched(monkeypatch, views, "points_of", lambda points: points + 0.01)
    capsys.readouterr()
    assert main(["--check"]) == 1
    printed = capsys.readouterr().out
    assert "1 of 2 differ: descent" in printed and "path" in printed
    assert {path.name: path.read_bytes() for path in small.iterdir()} == files
    assert main([]) == 0  # regeneration says so, too, and writes
    assert (small / "descent.npz").read_bytes() != files["descent.npz"]


def test_only_the_text_may_change(small, capsys, monkeypatch):
    main([])
    monkeypatch.setitem(gallery.GALLERY, "descent", lambda theme: titled(theme, "other words"))
    capsys.readouterr()
    assert main(["--check"]) == 1
    row = next(line for line in capsys.readouterr().out.splitlines() if "descent" in line)
    assert row.split() == ["descent", "same", "same", "changed"]


def titled(theme, title):
    f, run = gallery._run(1.75, 20)
    return plots.descent(f, run, theme=theme, title=title)


def test_elsewhere_text_is_not_compared_and_pixels_have_room(small, capsys, monkeypatch):
    main([])
    stored = json.loads((small / references.VERSIONS).read_text())
    (small / references.VERSIONS).write_text(json.dumps(stored | {"freetype": "another"}))
    monkeypatch.setitem(gallery.GALLERY, "descent", lambda theme: titled(theme, "other words"))
    capsys.readouterr()
    assert main(["--check"]) == 0
    assert "freetype" in capsys.readouterr().out


def test_names_themes_and_formats(small, tmp_path, capsys):
    out = tmp_path / "mine"
    assert main(["descent", "--out", str(out), "--theme", "dark", "--format", "png,pdf"]) == 0
    endings = ("pdf", "pixels.png", "png")
    wanted = ["descent.npz", *(f"descent.dark.{ending}" for ending in endings), "versions.json"]
    assert sorted(path.name for path in out.iterdir()) == sorted(wanted)
    assert not small.exists()


def test_the_list_names_every_figure_and_its_purpose(capsys):
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(gallery.GALLERY)
    assert all(len(line.split()) > 4 for line in lines)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["certifcate"], "no figure is called 'certifcate'; did you mean certificate?"),
        (["qqq"], "no figure is called 'qqq'; --list shows them"),
    ],
)
def test_an_unknown_figure_is_one_sentence(arguments, sentence, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"gdpure plots: {sentence}\n"


def test_an_unknown_format_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--format", "gif"])
    assert "formats are svg, png, pdf, got 'gif'" in capsys.readouterr().err


def test_outside_a_checkout_a_folder_must_be_named(small, capsys):
    Path(small.parent.parent / "pyproject.toml").unlink()
    assert main(["descent"]) == 2
    assert "say --out DIR" in capsys.readouterr().err


def test_a_folder_that_is_none_is_one_sentence(small, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert main(["descent", "--out", str(tmp_path / "file" / "below")]) == 2
    [sentence] = capsys.readouterr().err.splitlines()
    assert sentence.startswith("gdpure plots: --out: ") and "file/below" in sentence


def test_another_size_is_another_picture(tmp_path):
    shutil.copy(references.FOLDER / "descent.npz", tmp_path / "descent.npz")
    fig = figure("descent")
    plots.save(fig, tmp_path / "descent", "svg")
    plots.save(fig, tmp_path / "descent.pixels", "png", text=False, dpi=50)
    change = references.changes(drawn("descent"), "descent", "light", False, tmp_path)
    assert change.pixels == float("inf") and not change.numbers


def test_the_numbers_of_a_figure_are_stored_as_they_are():
    now = drawn("descent")
    with np.load(io.BytesIO(now.files["npz"])) as stored:
        assert set(stored) == set(now.numbers)
        assert all(np.array_equal(stored[k], now.numbers[k], equal_nan=True) for k in stored)
