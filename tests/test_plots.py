"""Figures: what is drawn is read back from the artists and compared with what is true."""

import doctest
import importlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import gdpure as gd
from gdpure import plots
from gdpure.lesson import quadratic, regression
from gdpure.plots import views

ROUNDOFF = 2.0**-24


def lopsided(p):
    """Different in every direction, so that nothing transposed or mirrored looks the same."""
    return p[0] ** 2 + 10 * p[1] + jnp.sin(p[0])


def drawn(axes, role):
    return [artist for artist in axes.get_children() if artist.get_gid() == f"gd:{role}"]


@pytest.fixture(scope="module")
def run():
    return gd.descend(quadratic(), jnp.array([2.0, 1.0]), 0.1, steps=10)


# -- views -----------------------------------------------------------------------------------------


def test_a_field_is_indexed_by_row_and_column():
    grid = views.field(lopsided, jnp.array([[-2.0, 4.0], [-1.0, 1.0]]), n=7)
    assert grid.z.shape == (7, 7) and grid.x[0] == -2 and grid.y[-1] == 1
    for i, y in enumerate(grid.y):
        for j, x in enumerate(grid.x):
            assert abs(grid.z[i, j] - lopsided((x, y))) <= 4 * ROUNDOFF * 30


def test_the_center_of_a_window_is_hit_exactly():
    center = jnp.array([0.2, 0.9])
    seen = views.window(jnp.array([[2.0, 2.0]]), center)
    grid = views.field(lopsided, jnp.stack([center - 1, center + 1], 1), n=5)
    assert np.allclose(seen.mean(1), center, atol=4 * ROUNDOFF)
    assert abs(grid.x[2] - 0.2) <= 2 * ROUNDOFF and abs(grid.y[2] - 0.9) <= 2 * ROUNDOFF


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=4))
def test_a_window_is_a_square_that_shows_all_points(points):
    points = jnp.array(points, jnp.float32)
    seen = np.asarray(views.window(points))
    assert views.inside(points, seen).all()
    width, height = seen[:, 1] - seen[:, 0]
    assert width > 0 and abs(width - height) <= 64 * ROUNDOFF


@given(st.tuples(*[st.integers(-8, 8).map(lambda k: k / 4)] * 4).filter(lambda t: any(t[2:])))
def test_a_line_is_cut_at_the_window(numbers):
    point, direction = np.array(numbers[:2]), np.array(numbers[2:])
    window = np.array([[-1.0, 1.0], [-0.5, 2.0]])
    ends = np.asarray(views.line(*map(jnp.float32, (point, direction, window))))
    t = np.linspace(-200, 200, 20001)  # brute force: does any of it lie inside?
    inside = ((window[:, 0] <= (q := point + t[:, None] * direction)) & (q <= window[:, 1])).all(1)
    if np.isnan(ends).any():
        assert not inside.any()
        return
    on_line = np.cross(np.append(direction, 0), np.column_stack([ends - point, [0, 0]]))
    assert np.abs(on_line).max() <= 64 * ROUNDOFF
    slack = 64 * ROUNDOFF
    assert np.all(ends >= window[:, 0] - slack) and np.all(ends <= window[:, 1] + slack)
    at_edge = np.isclose(ends, window[:, 0], atol=slack) | np.isclose(
        ends, window[:, 1], atol=slack
    )
    assert at_edge.any(1).all()


def test_the_views_go_through_jit():
    window = jnp.array([[-1.0, 1.0], [-1.0, 1.0]])
    shown = jax.jit(lambda f: views.samples(f, jnp.array([2.0, 2.0]), window, n=5))(regression())
    assert shown.field.z.shape == (3, 5, 5) and shown.minimizers.point.shape == (3, 2)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"field: n must be odd.* got 4"):
        views.field(lopsided, jnp.zeros((2, 2)), n=4)
    with pytest.raises(ValueError, match=r"field: window must be .*got shape \(4,\)"):
        views.field(lopsided, jnp.zeros(4))
    with pytest.raises(ValueError, match="landscape: window must be given"):
        plots.landscape(lopsided)
    many = gd.least_squares(jnp.ones((13, 2)), jnp.ones(13))
    with pytest.raises(ValueError, match="at most 12 examples .* got 13"):
        plots.per_sample(many, jnp.zeros(2))
    with pytest.raises(ValueError, match="formats must be of png, svg, pdf, got 'gif'"):
        plots.save(Figure(), "never", formats="gif")


def test_the_views_need_no_matplotlib():
    code = "import sys; from gdpure.plots import views; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=300).returncode == 0


# -- figures ---------------------------------------------------------------------------------------


def contour_points(axes):
    [rings] = drawn(axes, "levels")
    for level, path in zip(rings.levels, rings.get_paths(), strict=True):
        yield level, path.vertices


def test_the_drawn_levels_are_levels_of_the_function():
    [_, plane, _] = plots.landscape(lopsided, window=[[-2.0, 4.0], [-1.0, 5.0]]).axes
    lines = list(contour_points(plane))
    assert len(lines) >= 4
    # Linear interpolation between grid points h apart is off by h^2 / 8 of the curvature, 3 here.
    h = 6 / 128
    for level, points in lines:
        values = points[:, 0] ** 2 + 10 * points[:, 1] + np.sin(points[:, 0])
        assert np.all(np.abs(values - level) <= 3 * h**2 / 8 + 100 * ROUNDOFF)


def test_the_surface_shows_the_function():
    [space, _, _] = plots.landscape(lopsided, window=[[-2.0, 4.0], [-1.0, 5.0]]).axes
    [surface] = drawn(space, "surface")
    # The corners of the cells have no public getter, and a new name since matplotlib 3.11.
    corners = surface._faces if hasattr(surface, "_faces") else surface._vec[:3].T
    x, y, z = np.asarray(corners, np.float64).reshape(-1, 3).T
    assert np.allclose(z, x**2 + 10 * y + np.sin(x), rtol=0, atol=100 * ROUNDOFF * 60)


def test_the_only_minimizer_is_a_star_and_the_path_is_the_run(run):
    [space, plane, _] = plots.landscape(quadratic(), run).axes
    [star], [path] = drawn(plane, "minimizer"), drawn(plane, "path")
    assert star.get_xydata().tolist() == [[0, 0]]
    assert np.array_equal(path.get_xydata(), run.history.point)
    [path] = drawn(space, "path")
    assert np.array_equal(np.transpose(path.get_data_3d()[:2]), run.history.point)
    assert np.array_equal(path.get_data_3d()[2], run.history.value)


def test_all_of_a_line_of_minimizers_is_drawn():
    f = gd.least_squares(jnp.array([[1.0, 3.0]]), jnp.array([2.8]))
    [space, plane, _] = plots.landscape(f).axes
    assert not drawn(plane, "minimizer")
    [line] = drawn(plane, "minimizers")
    assert np.allclose(line.get_xydata() @ [1, 3], 2.8, rtol=0, atol=64 * ROUNDOFF)
    low, high = plane.get_xlim()
    assert np.allclose(sorted(line.get_xdata()), [low, high], atol=64 * ROUNDOFF)
    [line] = drawn(space, "minimizers")
    assert np.allclose(np.array(line.get_data_3d())[:2].T @ [1, 3], 2.8, atol=64 * ROUNDOFF)


def test_what_is_not_known_is_not_drawn():
    fig = plots.landscape(lopsided, window=[[-2, 4], [-1, 5]])
    assert not drawn(fig.axes[1], "minimizer") and "no known minimizer" in texts(fig)
    assert "\N{BLACK STAR} a minimizer" in texts(plots.landscape(gd.landscapes.himmelblau))


def texts(fig):
    return [text.get_text() for text in fig.texts]


def note(fig):
    [found] = [text for text in fig.texts if text.get_gid() == "gd:notes"]
    return found.get_text()


def test_what_is_left_out_is_counted(run):
    fig = plots.landscape(quadratic(), run, window=[[-1, 1], [-1, 1]])
    outside = np.sum(np.abs(run.history.point).max(1) > 1)
    assert note(fig) == f"{outside} iterates lie outside the window" and outside > 0
    fig = plots.landscape(lambda p: jnp.log(p[0]) + p[1] ** 2, window=[[-1, 1], [-1, 1]])
    assert note(fig) == f"{65 * 129} of {129 * 129} grid values are not finite: blank"
    assert note(plots.landscape(quadratic(), run)) == ""


def test_convergence_draws_the_values_of_the_run(run):
    promised = 5 * 0.64 ** np.arange(11)
    [axes] = (fig := plots.convergence(run, promised=promised)).axes
    [measured], [bound] = drawn(axes, "measured"), drawn(axes, "promised")
    assert np.array_equal(measured.get_xdata(), np.arange(11))
    assert np.array_equal(measured.get_ydata(), run.history.value)
    assert np.array_equal(bound.get_ydata(), promised)
    assert axes.get_yscale() == "log" and axes.get_xlabel() and axes.get_ylabel() == "$f(x_k)$"
    assert note(fig) == ""


def test_values_without_a_place_on_the_axis_are_marked():
    run = gd.descend(quadratic(), jnp.array([2.0, 1.0]), 0.5, steps=3)  # arrives in one step
    assert note(plots.convergence(run)).startswith("3 of 4 values are not positive")


def test_a_run_that_diverged_says_so():
    f = gd.unpack(lambda a, b: a**4 + b**2)
    run = gd.descend(f, jnp.array([9.0, 1.0]), 1.0, steps=30)
    assert f"diverged after iteration {run.final.count}" in note(plots.convergence(run))


def test_each_example_has_its_line_and_its_arrow():
    f, at = regression(), jnp.array([2.0, 2.0])
    fig = plots.per_sample(f, at)
    panels, x, y = fig.axes[:3], [1, 2, 3], [1, 2.2, 2.8]
    gradients = np.array([[6, 6], [7.6, 15.2], [10.4, 31.2]])
    scale = float(note(fig).split("\N{MINUS SIGN}")[1].split()[0])
    for i, axes in enumerate(panels):
        [line], [arrow] = drawn(axes, "minimizers"), drawn(axes, "arrow")
        assert np.allclose(line.get_xydata() @ [1, x[i]], y[i], rtol=0, atol=100 * ROUNDOFF)
        start, end = arrow._posA_posB  # what it was made of; the path is in display coordinates
        assert np.allclose(start, [2, 2])
        assert np.allclose(end, 2 - scale * gradients[i], atol=100 * ROUNDOFF)
        assert axes.get_xlim() == panels[0].get_xlim() and axes.get_ylim() == panels[0].get_ylim()
        assert axes.get_xlim()[0] <= end[0] <= axes.get_xlim()[1]
        h = (axes.get_xlim()[1] - axes.get_xlim()[0]) / 128
        for level, points in contour_points(axes):
            values = (points @ [1, x[i]] - y[i]) ** 2
            curvature = 2 * (1 + x[i] ** 2)
            assert np.all(np.abs(values - level) <= curvature * h**2 / 8 + 1000 * ROUNDOFF)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_any_small_number_of_examples_has_room(n):
    f = gd.least_squares(gd.with_intercept(jnp.arange(1.0, n + 1)), jnp.ones(n))
    fig = plots.per_sample(f, jnp.array([2.0, 2.0]))
    assert len(fig.axes) == n + 1
    no_text_is_clipped_or_overlaps(fig)


def no_text_is_clipped_or_overlaps(fig):
    """Whatever is written lies inside the figure, and nothing is written over anything else."""
    fig.set_dpi(200)
    with importlib.import_module("gdpure.plots.save").style():
        canvas = FigureCanvasAgg(fig)
        canvas.draw()
        renderer = canvas.get_renderer()
        texts = fig.findobj(lambda a: isinstance(a, matplotlib.text.Text) and a.get_text().strip())
        boxes = [(text, outline(text, renderer)) for text in texts if text.get_visible()]
        undrawn = set(undrawn_labels(fig))  # afterwards: to ask for ticks moves them
    boxes = [(text.get_text(), box) for text, box in boxes if text not in undrawn]
    for i, (text, box) in enumerate(boxes):
        assert np.all((box.vertices >= 0) & (box.vertices <= fig.bbox.size)), text
        for other, that in boxes[:i]:
            assert not box.intersects_path(that, filled=True), (text, other)


def outline(text, renderer):
    """The rectangle around a text, turned with it, less a pixel at each side."""
    center = np.mean(text.get_window_extent(renderer).get_points(), 0)
    angle = text.get_rotation()
    text.set_rotation(0)
    half = text.get_window_extent(renderer).size / 2 - 1
    text.set_rotation(angle)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    turn = matplotlib.transforms.Affine2D().rotate_deg(angle).translate(*center)
    return matplotlib.path.Path(turn.transform(corners), closed=False)


def undrawn_labels(fig):
    """The labels that ticks outside the limits keep."""
    for axes in fig.axes:
        for axis in axes._axis_map.values():
            drawn = axis._update_ticks()
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if tick not in drawn:
                    yield from (tick.label1, tick.label2)


def test_no_text_is_clipped_or_overlaps(run):
    f = regression()
    valley = gd.descend(f, jnp.array([2.0, 2.0]), 0.09, steps=100)
    names = (r"intercept $\theta_0$", r"slope $\theta_1$")
    for fig in (
        plots.landscape(quadratic(), run),
        plots.landscape(f, valley, names=names, title="mean cost"),
        plots.landscape(gd.least_squares(jnp.array([[1.0, 1.0]]), jnp.array([1.0]))),
        plots.landscape(gd.landscapes.himmelblau),
        plots.landscape(lopsided, window=[[-2, 4], [-1, 5]]),
        plots.convergence(run, promised=5 * 0.64 ** np.arange(11)),
        plots.convergence(valley, minimum=0.02),
        plots.per_sample(f, jnp.array([2.0, 2.0]), names=names),
    ):
        no_text_is_clipped_or_overlaps(fig)


def test_float64_objectives_are_drawn_in_their_precision():
    with jax.enable_x64(True):
        f = gd.least_squares(np.eye(2), np.ones(2))
        run = gd.descend(f, np.zeros(2), 0.1, steps=3)
        [_, plane, _] = plots.landscape(f, run).axes
        f32 = gd.least_squares(np.eye(2, dtype=np.float32), np.ones(2, np.float32))
        plots.landscape(f32)
    assert drawn(plane, "path")[0].get_xydata().dtype == np.float64


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_the_same_figure_gives_the_same_bytes(form, run, tmp_path):
    paths = [
        plots.save(plots.landscape(quadratic(), run), tmp_path / name, [form])[0]
        for name in ("one", "new/folder/two")
    ]
    assert [path.name for path in paths] == [f"one.{form}", f"two.{form}"]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", f"one.{form}"]


def test_settings_of_the_user_neither_reach_a_figure_nor_change(run, tmp_path):
    [plain] = plots.save(plots.convergence(run), tmp_path / "plain")
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "savefig.dpi": 30}):
        before = dict(matplotlib.rcParams)
        [hostile] = plots.save(plots.convergence(run), tmp_path / "hostile")
        assert dict(matplotlib.rcParams) == before
    assert plain.read_bytes() == hostile.read_bytes()


def test_a_figure_that_cannot_be_written_leaves_nothing_behind(run, tmp_path, monkeypatch):
    [path] = plots.save(plots.convergence(run), tmp_path / "kept.v1")
    before = path.read_bytes()
    assert path.name == "kept.v1.png"

    def fail(*_):
        raise OSError("no space")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space"):
        plots.save(Figure(), tmp_path / "kept.v1")
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_figures_leave_pyplot_alone():
    code = (
        "import sys, jax.numpy as jnp; from gdpure import plots; import gdpure as gd; "
        "plots.landscape(gd.landscapes.bowl); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=300).returncode == 0


@pytest.mark.parametrize("name", ["views", "figures", "save"])
def test_doctests(name):
    module = importlib.import_module(f"gdpure.plots.{name}")
    extra = {"jnp": jnp, "gd": gd}
    assert doctest.testmod(module, extraglobs=extra).failed == 0


def test_every_public_name_is_there():
    assert all(callable(getattr(plots, name)) for name in plots.__all__ if name != "views")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = plots.nothing
