"""The animation is the run, frame by frame; its file is the same each time; its figure the end."""

import base64
import gc
import hashlib
import html
import io

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.animation import FFMpegWriter, PillowWriter
from matplotlib.figure import Figure
from PIL import Image

import gdpure as gd
from gdpure.plots.figures import animation as figures
from gdpure.plots.figures.animation import animate, save_animation
from gdpure.plots.reading import record, role_of
from gdpure.plots.style import style
from gdpure.plots.wording import alt_text

X, Y = np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]]), np.array([1.0, 2.2, 2.8])
HESSIAN = 2 / 3 * X.T @ X
MINIMIZER = np.linalg.solve(HESSIAN, 2 / 3 * X.T @ Y)
ETA, STEPS = 1.9 / np.linalg.eigvalsh(HESSIAN)[1], 24


@pytest.fixture(autouse=True)
def precise():
    with jax.enable_x64(True):
        yield


def lesson():
    return gd.least_squares(jnp.asarray(X), jnp.asarray(Y))


def run_of(steps=STEPS):
    return gd.descend(lesson(), jnp.array([2.0, 2.0]), ETA, steps=steps)


def descended(steps):
    rows = [np.array([2.0, 2.0])]
    for _ in range(steps):
        rows.append(rows[-1] - ETA * HESSIAN @ (rows[-1] - MINIMIZER))
    return np.stack(rows)


def gap(points):
    errors = points - MINIMIZER
    return np.einsum("ki,ij,kj->k", errors, HESSIAN, errors) / 2


def laws_of_a_frame(fig, k, points):
    """The path and the gap of the first k steps, and each gap that of its point."""
    drawn = record(fig)
    assert np.allclose(drawn["map/path"], points[: k + 1], rtol=0, atol=1e-12)
    curve = drawn["gap/measured"]
    assert np.array_equal(curve[:, 0], np.arange(k + 1))
    assert np.allclose(curve[:, 1], gap(points[: k + 1]), rtol=1e-10)
    (left, right), (low, high) = drawn["map/limits"]
    inside = ((points >= [left, low]) & (points <= [right, high])).all(1)[: k + 1]
    marks = [len(v) for role, v in drawn.items() if role.startswith("map/outside")]
    assert sum(marks) == (~inside).sum()
    assert fig.axes[0].get_title(loc="left") == f"{k} step{'s' * (k != 1)}"


def test_the_figure_is_the_last_frame_and_the_path_fits():
    animation = animate(lesson(), run_of())
    laws_of_a_frame(animation.figure, STEPS, descended(STEPS))
    drawn = record(animation.figure)
    assert "map/outside the window" not in drawn
    assert np.allclose(drawn["map/minimizer"], [MINIMIZER], atol=1e-12)
    (least, most), (lowest, highest) = drawn["gap/limits"]
    assert least < 0 and most > STEPS and lowest < gap(descended(STEPS)).min() < 17 < highest


def frames_of(animation, look_at):
    """Save with the writer of matplotlib, and look at the figure in each frame."""

    class Watch(PillowWriter):
        def grab_frame(self, **options):
            look_at(animation.figure)
            super().grab_frame(**options)

    return Watch(fps=6)


def test_every_frame_is_the_run_so_far(tmp_path):
    animation, points, seen = animate(lesson(), run_of(8), every=3, hold=0), descended(8), []

    def look_at(fig):
        seen.append(len(record(fig)["map/path"]) - 1)
        laws_of_a_frame(fig, seen[-1], points)

    with style():
        animation.save(str(tmp_path / "a.gif"), writer=frames_of(animation, look_at), dpi=30)
    assert seen == [0, 3, 6, 8]


def test_points_outside_are_marked_from_the_frame_on_in_which_they_are_reached(tmp_path):
    points, window = descended(8), [[0.0, 2.2], [0.3, 2.2]]
    animation, seen = animate(lesson(), run_of(8), window=window, hold=0), []

    def look_at(fig):
        seen.append(fig.axes[1].get_title(loc="right"))
        laws_of_a_frame(fig, len(seen) - 1, points)

    with style():
        animation.save(str(tmp_path / "a.gif"), writer=frames_of(animation, look_at), dpi=30)
    assert seen[0] == "" and seen[1] == "1 outside the map" and seen[-1] == "4 outside the map"


def shifted(points):
    return np.concatenate([points[:1], points[:-1]])


def exchanged(points):
    return points[:, ::-1]


def truncated(points):
    return points[:-1]


@pytest.mark.parametrize("bug", [shifted, exchanged, truncated], ids=lambda bug: bug.__name__)
def test_a_planted_bug_in_the_path_is_seen(bug, monkeypatch):
    right = figures.views.points_of
    monkeypatch.setattr(figures.views, "points_of", lambda *a: bug(right(*a)))
    with pytest.raises((AssertionError, ValueError)):
        laws_of_a_frame(animate(lesson(), run_of()).figure, STEPS, descended(STEPS))


@pytest.mark.parametrize("factor, shift", [(2, 0), (1, 1)], ids=["twice", "paired with k - 1"])
def test_a_planted_bug_in_the_gap_is_seen(factor, shift, monkeypatch):
    right = figures._gap
    monkeypatch.setattr(figures, "_gap", lambda *a: factor * np.roll(right(*a), shift))
    with pytest.raises(AssertionError):
        laws_of_a_frame(animate(lesson(), run_of()).figure, STEPS, descended(STEPS))


@settings(max_examples=8)
@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0.05, 1.95))
def test_what_is_drawn_at_a_point_is_its_value(a, b, s):
    f = gd.quadratic(jnp.diag(jnp.array([1.0, 3.0])), jnp.array([0.5, -1.0]))
    run = gd.descend(f, jnp.array([a, b]), s / 3, steps=4)
    animation = animate(f, run)
    drawn = record(animation.figure)
    points = drawn["map/path"]
    values = ((points - [0.5, -1.0]) ** 2 * [0.5, 1.5]).sum(1)
    curve = drawn["gap/measured"][:, 1]
    shown = np.isfinite(curve)
    assert np.allclose(curve[shown], values[shown], rtol=1e-14, atol=1e-300)
    assert (values[~shown] == 0).all()
    window = drawn["map/limits"]
    assert ((points >= window[:, 0]) & (points <= window[:, 1])).all()


def test_without_a_minimum_the_value_is_drawn():
    def f(t):
        return jnp.sin(3 * t[0]) + t[1] ** 4 - t[0] * t[1]

    run = gd.descend(f, jnp.array([1.0, -1.0]), 0.1, steps=70)
    for given_run in (run, run.history.point):
        fig = animate(f, given_run).figure
        drawn, (a, b) = record(fig), np.asarray(run.history.point).T
        values = np.sin(3 * a) + b**4 - a * b
        assert np.allclose(drawn["gap/measured"][:, 1], values, rtol=1e-12)
        assert fig.axes[1].get_title(loc="left") == "value  $f(x_k)$"
        assert fig.axes[1].get_yscale() == "linear"


def test_gaps_that_are_not_positive_are_marks_at_the_foot():
    run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.5, steps=3)  # exact in one step
    fig = animate(gd.landscapes.bowl, run).figure
    assert record(fig)["gap/not positive"][:, 0].tolist() == [1, 2, 3]
    assert "3 not above 0" in fig.axes[1].get_title(loc="right")


def test_a_run_that_begins_at_its_end_and_one_that_diverges_are_drawn():
    for start, eta, steps in (([0.0, 0.0], 0.1, 3), ([2.0, 1.0], 0.1, 0), ([2.0, 1.0], 9.0, 300)):
        run = gd.descend(gd.landscapes.bowl, jnp.array(start), eta, steps=steps)
        animation = animate(gd.landscapes.bowl, run)
        fig = animation.figure
        fig.draw_without_rendering()  # the animation listens
        assert len(record(fig)["gap/measured"]) == steps + 1
    assert f"diverged after {int(run.final.count)}" in fig.axes[1].get_title(loc="right")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_file_is_the_same_each_time_opaque_and_ends_with_the_figure(theme, tmp_path):
    before = dict(matplotlib.rcParams)
    one, two = (
        save_animation(animate(lesson(), run_of(3), theme=theme, hold=1), tmp_path / name, dpi=50)
        for name in ("deep/one", "two")
    )
    assert dict(matplotlib.rcParams) == before
    assert one.name == "one.gif" and [path.name for path in one.parent.iterdir()] == ["one.gif"]
    first, second = (hashlib.sha256(path.read_bytes()).hexdigest() for path in (one, two))
    assert first == second
    paper = tuple(int(style_paper(theme)[i : i + 2], 16) for i in (1, 3, 5))
    with Image.open(one) as film:
        assert film.width == 360 and film.n_frames == 4
        for k in range(4):
            film.seek(k)
            assert (
                "transparency" not in film.info or film.convert("RGBA").getpixel((5, 5))[3] == 255
            )
            assert film.convert("RGB").getpixel((185, 3)) == paper
            assert film.info["duration"] == (160 if k < 3 else 1160)  # hundredths of 7/6 s


def test_mp4_is_for_those_who_have_ffmpeg(tmp_path, monkeypatch):
    animation, size = animate(gd.landscapes.bowl, jnp.array([[1.0, 1.0], [0.5, 0.5]]), hold=0), []

    class Writer(PillowWriter):  # in its place: matplotlib's own calls ffmpeg
        def setup(self, fig, outfile, dpi=None):
            size.append(fig.get_size_inches())
            fig.set_size_inches(4, 2)
            super().setup(fig, outfile, dpi)

        def finish(self):
            self.outfile.write_bytes(b"mp4")

    monkeypatch.setitem(figures._WRITERS, "mp4", Writer)
    path = save_animation(animation, tmp_path / "film.MP4", dpi=30)
    assert path == tmp_path / "film.mp4" and path.read_bytes() == b"mp4"
    assert (animation.figure.get_size_inches() == size).all()
    monkeypatch.setattr(Writer, "isAvailable", lambda: False)
    with pytest.raises(ValueError, match="ends in .mp4 needs ffmpeg, .* ends in .gif does not"):
        save_animation(animation, tmp_path / "other.mp4")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not FFMpegWriter.isAvailable(), reason="ffmpeg is not installed here")
def test_ffmpeg_writes_mp4(tmp_path):
    path = save_animation(animate(lesson(), run_of(3), hold=0), tmp_path / "film.mp4", dpi=55)
    assert path.read_bytes()[4:8] == b"ftyp"


def test_a_notebook_plays_the_film_and_says_what_it_shows():
    animation = animate(lesson(), run_of(2), hold=0)
    shown = animation._repr_mimebundle_(include=None, exclude=None)
    said = alt_text(animation.figure)
    assert shown["text/plain"] == said and f'alt="{html.escape(said)}"' in shown["text/html"]
    film = base64.b64decode(shown["text/html"].partition("base64,")[2].partition('"')[0])
    with Image.open(io.BytesIO(film)) as opened:
        assert opened.n_frames == 3


def style_paper(theme):
    with style(theme) as look:
        return look.paper


def test_the_last_frame_of_the_file_is_the_figure(tmp_path):
    animation = animate(lesson(), run_of(3))
    path = save_animation(animation, tmp_path / "film", dpi=50)
    with style():
        animation.figure.savefig(tmp_path / "last.png", dpi=50)
    with Image.open(path) as film, Image.open(tmp_path / "last.png") as still:
        film.seek(film.n_frames - 1)
        pair = [np.asarray(image.convert("RGB"), float) for image in (film, still)]
    assert np.sqrt(np.square(pair[0] - pair[1]).mean()) < 4  # of 255: borders have fewer colors


def test_a_terminal_shows_how_far_a_film_is(tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    seen = {}
    for kind in (Terminal, io.StringIO):
        monkeypatch.setattr("sys.stderr", screen := kind())
        monkeypatch.setenv("TERM", "xterm")
        animation = animate(gd.landscapes.bowl, jnp.array([[1.0, 1.0], [0.5, 0.5]]), hold=0)
        save_animation(animation, tmp_path / "film", dpi=20)
        seen[kind] = screen.getvalue()
    assert "frame 2 of 2" in seen[Terminal] and not seen[io.StringIO]


def test_an_animation_may_be_dropped():
    animation = animate(gd.landscapes.bowl, jnp.array([[1.0, 1.0], [0.5, 0.5]]))
    del animation
    gc.collect()  # warnings are errors here


def test_what_failed_leaves_no_file(tmp_path, monkeypatch):
    animation = animate(gd.landscapes.bowl, jnp.array([[1.0, 1.0], [0.5, 0.5]]))
    honest, calls = animation.figure.savefig, iter([1, 0])
    draw = lambda *given, **more: (1 / next(calls), honest(*given, **more))  # noqa: E731
    monkeypatch.setattr(animation.figure, "savefig", draw)
    with pytest.raises(ZeroDivisionError):
        save_animation(animation, tmp_path / "film")
    assert not list(tmp_path.iterdir())


def test_every_mark_has_a_role():
    fig = animate(lesson(), run_of()).figure
    assert all(role_of(line) for ax in fig.axes for line in ax.lines)


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"run": jnp.zeros((3, 3))}, ValueError, "path"),
        ({"run": jnp.zeros((0, 2))}, ValueError, "path"),
        ({"f": lambda x: x @ jnp.ones(3)}, ValueError, "two parameters"),
        ({"window": [[1.0, 1.0], [0.0, 1.0]]}, ValueError, "left < right"),
        ({"every": 0}, ValueError, "every"),
        ({"fps": 0}, ValueError, "fps"),
        ({"fps": "six"}, TypeError, "fps"),
        ({"hold": -1}, ValueError, "hold"),
        ({"fig": Figure().subfigures(1, 2)[0]}, TypeError, "Figure"),
        ({"ax": Figure().add_axes((0, 0, 1, 1))}, TypeError, "fig="),
    ],
)
def test_bad_input_is_named(arguments, error, words):
    given = {"f": gd.landscapes.bowl, "run": jnp.ones((3, 2))} | arguments
    with pytest.raises(error, match=words):
        animate(given.pop("f"), given.pop("run"), **given)


def test_only_what_animate_returned_is_saved(tmp_path):
    with pytest.raises(TypeError, match="animate"):
        save_animation(Figure(), tmp_path / "film")
