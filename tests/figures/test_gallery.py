"""The gallery: references by numbers, pixels, texts and bytes; its command; bugs that must show."""

import functools
import io
import json
import shutil
import tomllib
from pathlib import Path

import jax
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from texts import every_text_can_be_read, no_text_is_clipped_or_overlaps

import gdpure as gd
from gdpure import plots
from gdpure.plots import gallery, references, views
from gdpure.plots.__main__ import main
from gdpure.plots.figures import samples, sweeps
from gdpure.plots.files import render
from gdpure.plots.marks import side_labels
from gdpure.plots.palette import THEMES, look_of
from gdpure.plots.reading import role_of, transform_of
from gdpure.plots.style import style
from gdpure.plots.views import certified, fields
from gdpure.plots.wording import words

NAMES = pytest.mark.parametrize("name", gallery.GALLERY)
OTHER = references.other_versions()


@functools.cache
def figure(name, theme="light", size="page"):
    return gallery.draw(name, theme, size)


@functools.cache
def drawn(name, theme="light"):
    return references.drawn(figure(name, theme), theme)


# -- tiers 1 to 4 ----------------------------------------------------------------------------------


@NAMES
@pytest.mark.parametrize("theme", THEMES)
def test_numbers_words_roles_and_pixels_are_those_of_the_reference(name, theme):
    change = references.changes(drawn(name, theme), name, theme)
    assert references.passes(change, exact=False), change


@NAMES
@pytest.mark.parametrize(
    ("theme", "size"),
    [*((theme, "page") for theme in THEMES), ("light", "column"), ("dark", "slide")],
)
def test_every_text_is_whole_apart_and_legible(name, theme, size):
    fig = figure(name, theme, size)
    no_text_is_clipped_or_overlaps(fig, theme)
    every_text_can_be_read(fig, THEMES[theme])


@NAMES
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.skipif(bool(OTHER), reason=f"bytes are those of other machinery: {OTHER}")
def test_bytes_are_those_of_the_reference(name, theme):
    assert not references.changes(drawn(name, theme), name, theme).bytes


@NAMES
def test_nothing_is_marked_half_way_between_two_pixels(name):
    """There Agg rounds it to the one or the other, by the last digit of its place.

    Of many marks some lie near by chance; what stands there on purpose lies there to a rounding.
    """
    fig = figure(name)
    fig.set_dpi(100)
    with style("light"):
        FigureCanvasAgg(fig).draw()
    for ax in fig.axes:
        for artist in ax.findobj(lambda a: isinstance(a, Line2D | PathCollection) and role_of(a)):
            places = rounded(artist)
            off = np.abs(places % 1 - 0.5).min(initial=1)
            assert off > (0.01 if len(places) == 1 else 1e-6), (ax.get_label(), role_of(artist))


def rounded(artist):
    """Return what Agg rounds to pixels: places of marks, and of lines along an axis."""
    points = artist.get_offsets() if isinstance(artist, PathCollection) else artist.get_xydata()
    places = transform_of(artist).transform(np.asarray(points, float))
    places = places[np.isfinite(places).all(1)]
    if isinstance(artist, Line2D) and artist.get_marker() in ("None", ""):
        return places[:1, np.ptp(places, 0) == 0]
    return places


@NAMES
def test_every_figure_says_what_it_is(name):
    fig = figure(name)
    assert len(plots.alt_text(fig)) > 60
    assert any(ax.get_title(loc="left") for ax in fig.axes) or fig.texts
    assert len(plots.record(fig)) > len(fig.axes)  # more than limits: every figure has marks


def test_the_references_are_those_of_the_gallery_and_small():
    files = list(references.FOLDER.iterdir())
    endings = ("npz", "pixels.png", "svg")
    wanted = {f"{name}.{ending}" for name in gallery.GALLERY for ending in endings}
    wanted |= {f"{name}.dark.svg" for name in references.ON_DARK} | {references.VERSIONS}
    assert {path.name for path in files} == wanted
    assert sum(path.stat().st_size for path in files) <= 5e6
    assert set(gallery.FUNCTIONS) == set(gallery.GALLERY) > set(references.ON_DARK)


def test_the_references_are_no_part_of_the_package():
    project = tomllib.loads((references.FOLDER.parents[1] / "pyproject.toml").read_text())
    installed = project["tool"]["setuptools"]["package-data"]["gdpure.plots"]
    assert not [path for path in references.FOLDER.parent.glob("*/*") for pattern in installed
                if path.match(pattern)]  # fmt: skip


# -- bugs ------------------------------------------------------------------------------------------


def changed(name):
    now = references.drawn(gallery.draw(name))
    return references.changes(now, name, "light")


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
    "grid transposed": ("descent", fields, "field", transposed),
}


@pytest.mark.parametrize("bug", BUGS)
def test_bugs_show_in_the_numbers_and_in_the_pixels(bug, monkeypatch):
    name, module, function, change = BUGS[bug]
    patched(monkeypatch, module, function, change)
    change = changed(name)
    assert change.moved and change.pixels > 10 * references.MOST_PIXELS, change


# -- other processors ------------------------------------------------------------------------------


def starred(place):
    """Return a figure of 100 x 100 pixels with a star and a line at a place."""
    fig = Figure(figsize=(1, 1))
    ax = fig.add_axes((0, 0, 1, 1), xlim=(0, 100), ylim=(0, 100))
    ax.plot([place], [30], "*", ms=20)
    ax.axhline(place)
    return fig


def test_a_last_digit_does_not_move_the_pixels_of_a_reference():
    figures = [starred(50.5 + off) for off in (-1e-12, 1e-12)]
    kept = [references.drawn(fig).files["pixels.png"] for fig in figures]
    assert references.rms(*kept) < 0.01
    saved = [render(fig, "png", "light", dpi=100) for fig in figures]
    assert references.rms(*saved) > 10  # Agg takes a whole pixel


@pytest.mark.parametrize(("factor", "seen"), [(1 + 1e-6, False), (1.5, True)])
def test_numbers_are_compared_where_they_are_seen(factor, seen, tmp_path):
    """A gap of 1e-18 counts by its place on a logarithmic axis, not beside the iteration 900."""
    for end in (1e-18, 1e-18 * factor):
        fig = Figure()
        fig.add_subplot(yscale="log", ylim=(1e-20, 1)).plot([0, 900], [1, end], gid="gd:gap")
        now = references.drawn(fig)
        if not (tmp_path / "gap.npz").exists():
            for ending, content in now.files.items():
                (tmp_path / f"gap.{ending}").write_bytes(content)
    change = references.changes(now, "gap", "light", tmp_path)
    assert change.moved == ["gap"] * seen and change.bytes
    assert np.isclose(change.numbers["gap"], np.log10(factor) / 20, rtol=1e-3)


@pytest.mark.parametrize(("role", "seen"), [("gd", False), ("bound", True), ("depth", True)])
def test_a_mark_has_the_color_of_its_role_on_both_papers(role, seen, tmp_path):
    def line(theme, role):
        look = look_of(theme)
        fig = Figure()
        color = getattr(look, role)
        color = color if isinstance(color, str) else color(0.3)
        fig.add_subplot().plot([0, 1], color=color, gid="gd:path")
        return references.drawn(fig, theme, ())

    (tmp_path / "line.npz").write_bytes(line("light", "gd").files["npz"])
    change = references.changes(line("dark", role), "line", "dark", tmp_path)
    assert bool(change.roles) == seen == (not references.passes(change, exact=False))


def test_what_is_new_gone_or_not_finite_is_not_near(tmp_path):
    def line(role, last):
        fig = Figure()
        fig.add_subplot(xlim=(0, 1), ylim=(0, 1)).plot([0, last], [0, 1], gid=f"gd:{role}")
        return references.drawn(fig)

    for ending, content in line("path", 1.0).files.items():
        (tmp_path / f"line.{ending}").write_bytes(content)
    for now, moved in (
        (line("path", 1.0), []),
        (line("path", np.nan), ["path"]),
        (line("way", 1.0), ["path", "way"]),
    ):
        assert references.changes(now, "line", "light", tmp_path).moved == moved


def test_a_run_in_numpy_is_descent():
    f, run = gallery._run(1.0, 50)
    X, y = map(np.asarray, f.data)
    points = gallery._in_numpy(X, y, 1 / float(gd.facts(f).smoothness), 50)
    assert np.allclose(points, run.history.point, rtol=0, atol=1e-5)  # the rows are of float32


def test_no_word_of_a_figure_is_rounding(monkeypatch):
    before = words(gallery.draw("momentum_plane"))
    patched(monkeypatch, sweeps.sweeps, "measured_rate", lambda rates: rates + 5e-9)
    assert words(gallery.draw("momentum_plane")) == before


def test_labels_of_one_height_are_written_in_their_order():
    ax = Figure().add_subplot(yscale="log", ylim=(1e-20, 1))
    items = [(1e-16 * (1 + off), name, "k") for off, name in ((1e-7, "a"), (0, "b"), (2e-7, "c"))]
    side_labels(ax, items, look_of("light"))
    assert [text.get_text() for text in sorted(ax.texts, key=lambda t: t.get_position()[1])] == [
        "a", "b", "c",
    ]  # fmt: skip


def test_what_is_read_off_a_logarithmic_axis_has_two_digits():
    ax = Figure().add_subplot(yscale="log", ylim=(1e-20, 1))
    ax.plot([0.12345, 3], [1, 1.9052e-15], gid="gd:gap")
    assert "gap: 2 points from (0.1235, 1) to (3, 1.9e-15)" in plots.alt_text(ax.figure)


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A gallery of two figures, and a folder of references of its own."""
    few = {name: gallery.GALLERY[name] for name in ("descent", "convergence")}
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
    assert main(["--check", "--theme", "dark"]) == 0
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


def row_of(figure, printed):
    return next(line for line in printed.splitlines() if line.startswith(figure)).split(maxsplit=1)


def titled(title, **look):
    f, run = gallery._run(1.75, 20)
    return plots.descent(f, run, title=title, **look)


def test_words_are_compared_everywhere(small, capsys, monkeypatch):
    main([])
    elsewhere(small)
    monkeypatch.setitem(gallery.GALLERY, "descent", lambda **look: titled("other words", **look))
    capsys.readouterr()
    assert main(["--check"]) == 1
    assert "1 of 2 differ: descent" in (printed := capsys.readouterr().out)
    assert "other words" in row_of("descent", printed)[1]


def test_last_digits_may_differ_elsewhere_alone(small, capsys, monkeypatch):
    main([])
    patched(monkeypatch, views, "points_of", lambda points: points * (1 + 1e-9))
    capsys.readouterr()
    assert main(["--check"]) == 1
    assert row_of("descent", capsys.readouterr().out)[1].split() == ["same"] * 4 + ["changed"]
    elsewhere(small)
    assert main(["--check"]) == 0
    assert "BLAS kernels" in capsys.readouterr().out


def elsewhere(folder):
    """Make the references of a folder those of another processor."""
    stored = json.loads((folder / references.VERSIONS).read_text())
    other = stored | {"BLAS kernels": "another"}
    (folder / references.VERSIONS).write_text(json.dumps(other))


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
    assert main(["descent", "--check"]) == 2
    assert "--check needs the references" in capsys.readouterr().err


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
    change = references.changes(drawn("descent"), "descent", "light", tmp_path)
    assert change.pixels == float("inf") and not change.moved


def test_the_numbers_of_a_figure_are_stored_as_float32_or_as_they_are():
    fig = Figure()
    fig.add_subplot().plot([0, 1, 2], [np.nan, 1 / 3, 7], gid="gd:near")
    fig.axes[0].plot([0, 1], [1e-300, 1e300], gid="gd:far")
    now = references.drawn(fig)
    with np.load(io.BytesIO(now.files["npz"])) as stored:
        assert set(stored) == {"words", "roles", *now.numbers}
        assert np.array_equal(stored["near"], now.numbers["near"].astype("f4"), equal_nan=True)
        assert np.array_equal(stored["far"], now.numbers["far"])
        assert list(stored["words"]) == now.words and list(stored["roles"]) == now.roles
