"""Maps: what is drawn is read back from the artists and compared with what is true."""

import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from texts import every_text_can_be_read, no_text_is_clipped_or_overlaps

import gdpure as gd
from gdpure import plots
from gdpure.lesson import quadratic, regression
from gdpure.plots import marks, views
from gdpure.plots.palette import THEMES

ROUNDOFF = 2.0**-24
WINDOW = [[-2.0, 4.0], [-1.0, 5.0]]


def lopsided(p):
    """Different in every direction, so that nothing transposed or mirrored looks the same."""
    return p[0] ** 2 + 10 * p[1] + jnp.sin(p[0])


def stranger(t):
    return jnp.sin(3 * t[0]) + t[1] ** 4 - t[0] * t[1]


def line_of_minimizers():
    return gd.least_squares(jnp.array([[1.0, 3.0]]), jnp.array([2.8]))


@pytest.fixture(scope="module")
def run():
    return gd.descend(quadratic(), jnp.array([2.0, 1.0]), 0.1, steps=10)


def notes(ax):
    return [text.get_text() for text in ax.texts if text.get_gid() == "gd:notes"]


def drawn(of):
    return plots.record(getattr(of, "figure", of) if not isinstance(of, Figure) else of)


# -- the law of each mark --------------------------------------------------------------------------


def levels_are_levels(rows, value, curvature, spacing, scale):
    """Each vertex lies on its level; linear interpolation is off by h^2 / 8 of the curvature."""
    level, x, y = rows.T
    off = np.abs(value(x, y) - level)
    assert off.max() <= curvature * spacing**2 / 8 + 16 * ROUNDOFF * scale


def crosses_levels_at_right_angles(path, gradients):
    """Each step of descent is along the gradient: the cross product is rounding."""
    steps = np.diff(path, axis=0)
    cross = steps[:, 0] * gradients[:-1, 1] - steps[:, 1] * gradients[:-1, 0]
    size = np.linalg.norm(steps, axis=1) * np.linalg.norm(gradients[:-1], axis=1)
    assert np.all(np.abs(cross) <= 1e-9 * size)


def test_the_drawn_levels_are_levels_of_the_function():
    rows = drawn(plots.level_sets(lopsided, WINDOW))["levels"]
    assert len(np.unique(rows[:, 0])) >= 4

    def value(x, y):
        return x**2 + 10 * y + np.sin(x)

    levels_are_levels(rows, value, 3, 6 / 128, 60)
    with pytest.raises(AssertionError):  # half a cell to the side, or another level
        levels_are_levels(rows + [0, 6 / 320, 0], value, 3, 6 / 128, 60)
    with pytest.raises(AssertionError):  # transposed
        levels_are_levels(rows[:, [0, 2, 1]], value, 3, 6 / 128, 60)


@settings(max_examples=12)
@given(st.tuples(*[st.integers(-6, 6).map(lambda k: k / 2)] * 3), st.integers(1, 4))
def test_levels_of_random_quadratics_are_levels(numbers, steep):
    a, b, tilt = numbers
    f = gd.quadratic(jnp.array([[4.0, 1.0], [1.0, float(steep)]]), jnp.array([a, b]), tilt)
    rows = drawn(plots.level_sets(f, [[a - 3, a + 2], [b - 1, b + 3]]))["levels"]

    def value(x, y):
        return 2 * (x - a) ** 2 + (x - a) * (y - b) + steep / 2 * (y - b) ** 2 + tilt

    levels_are_levels(rows, value, 5, 5 / 128, 64 + abs(tilt))


def test_the_surface_shows_the_function():
    ax = plots.surface(lopsided, WINDOW)
    [surface] = [artist for artist in ax.collections if artist.get_gid() == "gd:surface"]
    # The corners of the cells have no public getter, and a new name since matplotlib 3.11.
    corners = surface._faces if hasattr(surface, "_faces") else surface._vec[:3].T
    x, y, z = np.asarray(corners, np.float64).reshape(-1, 3).T
    assert np.allclose(z, x**2 + 10 * y + np.sin(x), rtol=0, atol=100 * ROUNDOFF * 60)


def test_the_path_is_the_run_on_the_map_and_on_the_surface(run):
    numbers = drawn(plots.landscape(quadratic(), path=run))
    assert numbers["map/minimizer"].tolist() == [[0, 0]]
    assert np.array_equal(numbers["map/path"], run.history.point)
    assert np.array_equal(numbers["surface/path"][:, :2], run.history.point)
    # The value at x_k is f(x_k), and not that of the step before.
    assert np.array_equal(numbers["surface/path"][:, 2], run.history.value)
    assert not np.array_equal(numbers["surface/path"][1:, 2], run.history.value[:-1])
    assert np.array_equal(numbers["map/start"][0], run.history.point[0])


def test_descent_crosses_the_level_lines_at_right_angles():
    with jax.enable_x64(True):
        f = gd.quadratic(jnp.array([[3.0, 1.0], [1.0, 2.0]]), jnp.array([0.5, -1.0]))
        run = gd.descend(f, jnp.array([2.0, 1.5]), 0.2, steps=12)
        path = drawn(plots.descent(f, run))["path"]
    hessian, center = np.array([[3.0, 1.0], [1.0, 2.0]]), np.array([0.5, -1.0])
    gradients = (path - center) @ hessian
    crosses_levels_at_right_angles(path, gradients)
    with pytest.raises(AssertionError):  # one coordinate after the other: not gradient descent
        crosses_levels_at_right_angles(path * [1, 1.01], gradients)
    with pytest.raises(AssertionError):  # each gradient is that of the point before
        crosses_levels_at_right_angles(path[1:], gradients[:-1])


def test_arrows_are_the_steps_or_point_down_the_gradient():
    f, start = gd.landscapes.himmelblau, jnp.array([0.5, 0.0])
    run = gd.descend(f, start, 0.01, steps=4)
    numbers = drawn(plots.descent(f, run, arrows="step"))
    steps = [numbers[key] for key in numbers if key.startswith("step")]
    assert np.allclose([at for at, _ in steps], run.history.point[:-1], atol=0)
    assert np.allclose([by for _, by in steps], np.diff(run.history.point, axis=0), atol=0)
    numbers = drawn(plots.descent(f, run, arrows="-grad"))
    for at, by in (numbers[key] for key in numbers if key.startswith("-grad")):
        a, b = at
        gradient = np.array(
            [
                4 * a * (a**2 + b - 11) + 2 * (a + b**2 - 7),
                2 * (a**2 + b - 11) + 4 * b * (a + b**2 - 7),
            ]
        )
        cosine = by @ gradient / np.linalg.norm(by) / np.linalg.norm(gradient)
        assert cosine <= -1 + 1e-9


# -- minimizers: a point, a line, nothing ----------------------------------------------------------


def test_all_of_a_line_of_minimizers_is_drawn():
    numbers = drawn(plots.landscape(line_of_minimizers()))
    assert "map/minimizer" not in numbers and "map/lowest found" not in numbers
    line, (horizontal, _) = numbers["map/minimizers"], numbers["map/limits"]
    assert np.allclose(line @ [1, 3], 2.8, rtol=0, atol=64 * ROUNDOFF)
    assert np.allclose(sorted(line[:, 0]), horizontal, atol=64 * ROUNDOFF)
    for key in ("surface/minimizers", "surface/minimizers 2"):  # on the surface, and on its floor
        assert np.allclose(numbers[key][:, :2] @ [1, 3], 2.8, atol=64 * ROUNDOFF)
    with pytest.raises(AssertionError):  # a line 0.03 to the side
        assert np.allclose((line + 0.03) @ [1, 3], 2.8, rtol=0, atol=64 * ROUNDOFF)


def test_what_is_not_proven_is_hollow_and_named():
    ax = plots.level_sets(lambda p: (p[0] - 1) ** 2 + p[1] ** 4, WINDOW)
    [star] = [line for line in ax.lines if line.get_gid() == "gd:lowest found"]
    assert star.get_markerfacecolor() == THEMES["light"].paper
    assert "minimizer" not in drawn(ax) and "lowest found" in ax.get_title(loc="right")


@pytest.mark.parametrize(
    ("f", "said"), [(lopsided, "falls beyond the window"), (lambda p: 3 + 0 * p[0], "constant")]
)
def test_what_is_lowest_on_the_border_is_not_found(f, said):
    ax = plots.level_sets(f, WINDOW)
    assert "lowest found" not in drawn(ax) and ax.get_title(loc="right") == said
    assert ("levels" in drawn(ax)) == (said != "constant")


def test_every_known_minimizer_is_a_filled_star():
    ax = plots.level_sets(gd.landscapes.himmelblau)
    stars = [line for line in ax.lines if line.get_gid() == "gd:minimizer"]
    found = np.concatenate([star.get_xydata() for star in stars])
    assert np.allclose(found, gd.landscapes.MINIMIZERS["himmelblau"])
    assert all(star.get_markerfacecolor() == THEMES["light"].ink for star in stars)
    assert ax.get_title(loc="right").endswith("minimizers")


# -- nothing disappears ----------------------------------------------------------------------------


def test_what_lies_outside_the_window_is_marked_and_counted(run):
    ax = plots.descent(quadratic(), run, window=[[-1, 1], [-1, 1]])
    outside = int(np.sum(np.abs(run.history.point).max(1) > 1))
    marks = drawn(ax)["outside the window"]
    assert len(marks) == outside > 0 and np.abs(marks).max() == 1
    assert notes(ax) == [f"{outside} outside the window"]
    assert ax.get_title(loc="right").endswith("the only minimizer")  # nothing replaces the key
    assert "outside the window" not in drawn(plots.descent(quadratic(), run))


def test_what_is_not_finite_is_hatched_and_counted():
    ax = plots.level_sets(lambda p: jnp.log(p[0]) + p[1] ** 2, [[-1, 1], [-1, 1]])
    marked = drawn(ax)["not finite"]
    assert np.isfinite(marked).sum() == 81 * 129  # of 161 columns, those up to 0
    assert notes(ax) == ["not finite: 50 %"]
    assert ax.get_title(loc="right").startswith(("\N{WHITE STAR} lowest", "falls"))


def test_a_surface_that_float32_just_holds_is_drawn():
    """Its values add up to more than float32 holds."""
    fig = plots.landscape(lambda p: jnp.exp(20 * (p[0] ** 2 + p[1] ** 2)))
    assert np.isfinite(fig.axes[0].azim)


def test_labels_tell_levels_apart_and_say_what_they_are_less():
    fig = plots.landscape(lambda p: 1e6 + p[0] ** 2 + p[1] ** 2)
    levels = np.unique(drawn(fig)["map/levels"][:, 0])
    [bar] = fig.axes[1].child_axes
    labels = [float(text.get_text()) for text in bar.get_yticklabels()]
    assert len(set(labels)) == len(labels)
    assert np.allclose(1e6 + np.array(labels), levels, rtol=0, atol=1e6 * ROUNDOFF)
    on_map = [float(t.get_text()) for t in fig.axes[1].texts if t.get_gid() == "gd:level label"]
    assert set(on_map) <= set(labels)
    assert notes(fig.axes[1]) == ["levels of $f$ \N{MINUS SIGN} 1000000"]
    no_text_is_clipped_or_overlaps(fig)


@pytest.mark.parametrize("examples", [1, 50_000])
def test_the_room_that_a_map_takes_does_not_grow_with_grid_times_examples(examples):
    """A row of the grid at a time: 161 x 50,000 numbers, not 129 times as many."""
    f = gd.least_squares(np.ones((examples, 2), np.float32), np.ones(examples, np.float32))
    field = jax.jit(lambda f, window: views.fields._values(f, *window))
    x, y = jnp.linspace(-1, 1, 161), jnp.linspace(-1, 1, 129)
    room = field.lower(f, (x, y)).compile().memory_analysis().temp_size_in_bytes
    assert room <= 4 * (4 * 161 * (examples + 129)) + 2**16


def test_the_bands_of_the_bar_are_those_of_the_map_and_of_the_surface():
    fig = plots.landscape(lopsided, WINDOW)
    edges = drawn(fig)["map/bands"]
    levels = np.unique(drawn(fig)["map/levels"][:, 0])
    assert np.allclose(edges[1:-1], levels)
    [bar] = fig.axes[1].child_axes
    labels = [text.get_text().replace("\N{MINUS SIGN}", "-") for text in bar.get_yticklabels()]
    said = [(float(label), level) for label, level in zip(labels, levels, strict=True) if label]
    assert len(said) > len(levels) / 2 and np.allclose(*np.transpose(said))


# -- one step --------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [quadratic(), regression(), gd.landscapes.rosenbrock, stranger])
def test_one_step_is_against_the_gradient_and_at_right_angles_to_the_level(f):
    at, eta = jnp.array([0.3, 1.2]), 0.05
    value, gradient = gd.reverse(f)(at)
    ax = plots.one_step(f, at, eta)
    numbers, scale = drawn(ax), float(jnp.linalg.norm(gradient))
    start, step = numbers["step"]
    assert np.allclose(start, at, rtol=0, atol=0)
    assert np.allclose(
        step, -eta * gradient, rtol=4 * ROUNDOFF, atol=4 * ROUNDOFF * np.abs(at).max()
    )
    assert np.allclose(numbers["end"][0], start + step, atol=1e-12)
    _, uphill = numbers["direction of the gradient"]
    assert np.isclose(np.linalg.norm(uphill), np.linalg.norm(step), rtol=1e-12)
    assert np.isclose(uphill @ gradient, np.linalg.norm(uphill) * scale, rtol=1e-5)
    tangent = np.diff(numbers["tangent"], axis=0)[0]
    assert abs(tangent @ uphill) <= 1e-12 * np.linalg.norm(tangent) * np.linalg.norm(uphill)
    level = numbers["level of the start"]
    assert np.allclose(level[:, 0], value, rtol=ROUNDOFF)
    # The level passes the point as near as a cell of the grid is wide, and less by its square.
    cell = np.ptp(numbers["limits"][0]) / 128
    assert np.linalg.norm(level[:, 1:] - start, axis=1).min() <= cell
    no_text_is_clipped_or_overlaps(ax.figure)
    every_text_can_be_read(ax.figure, THEMES["light"])


def test_a_step_that_is_none_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match=r"^one_step: at must be a point with a finite gradient"):
        plots.one_step(quadratic(), jnp.zeros(2), 0.1)
    with pytest.raises(ValueError, match=r"^one_step: at must be a point with a finite gradient"):
        plots.one_step(lambda p: jnp.log(p[0]) + p[1], jnp.array([-1.0, 0.0]), 0.1)


def test_where_a_solver_stopped_is_crossed_beside_what_is_proven():
    stops = np.array([[0.28, 0.84], [1.48, 0.44]], np.float32)
    fig = plots.landscape(line_of_minimizers(), found=stops)
    numbers = drawn(fig)
    assert np.array_equal(numbers["map/found"], stops) and "map/minimizers" in numbers
    assert np.array_equal(numbers["surface/found"][:, :2], stops)
    assert (
        fig.axes[1].get_title(loc="right")
        == "dashed: all minimizers, \N{MULTIPLICATION SIGN} found"
    )
    no_text_is_clipped_or_overlaps(fig)
    with pytest.raises(ValueError, match=r"^landscape: found must be a point of shape \(2,\)"):
        plots.landscape(quadratic(), found=jnp.zeros(3))


# -- every figure can be read ----------------------------------------------------------------------


@pytest.mark.parametrize("theme", THEMES)
def test_texts_are_legible_and_apart(run, theme):
    valley = gd.descend(regression(), jnp.array([2.0, 2.0]), 0.09, steps=100)
    lost = gd.descend(stranger, jnp.array([0.3, 1.2]), 0.05, steps=30)
    names = (r"intercept $\theta_0$", r"slope $\theta_1$")
    figures = [
        plots.landscape(regression(), path=valley, names=names, title="mean cost", theme=theme),
        plots.descent(stranger, lost, theme=theme).figure,
    ]
    if theme == "light":  # where a text lies is the same in all themes
        figures += [
            plots.landscape(quadratic(), path=run),
            plots.landscape(line_of_minimizers()),
            plots.landscape(gd.landscapes.himmelblau),
            plots.landscape(lopsided, WINDOW),
            plots.landscape(stranger),
            plots.surface(stranger).figure,
            plots.level_sets(stranger).figure,
        ]
    for figure in figures:
        no_text_is_clipped_or_overlaps(figure, theme)
        every_text_can_be_read(figure, THEMES[theme])


def test_float64_objectives_are_drawn_in_their_precision():
    with jax.enable_x64(True):
        f = gd.least_squares(np.eye(2), np.ones(2))
        run = gd.descend(f, np.zeros(2), 0.1, steps=3)
        path = drawn(plots.descent(f, run))["path"]
        assert np.array_equal(path, run.history.point)
        f32 = gd.least_squares(np.eye(2, dtype=np.float32), np.ones(2, np.float32))
        assert views.field(f32, views.window_of(f32)).z.dtype == np.float32
        plots.landscape(f32)


# -- layers ----------------------------------------------------------------------------------------


def test_axes_that_are_given_are_drawn_on_and_look_the_same():
    fig = Figure(figsize=(7, 3.5))
    left, right = fig.subplots(1, 2)
    assert plots.level_sets(lopsided, WINDOW, ax=left) is left
    assert not right.has_data() and not left.spines["top"].get_visible()
    part = Figure(figsize=(8, 8)).subfigures(2, 1)[1]
    assert plots.landscape(lopsided, WINDOW, fig=part) is part and len(part.axes) == 2


def test_a_function_that_has_a_name_is_called_by_it():
    [title] = [text.get_text() for text in plots.landscape(stranger).texts]
    assert title == "surface and level sets of stranger"
    for f, of in (
        (gd.landscapes.double_well, " of double well"),
        (gd.unpack(lambda a, b: a * b), ""),
        (views.field(stranger, jnp.asarray(WINDOW)), ""),
    ):
        assert plots.level_sets(f).get_title(loc="left") == f"level sets{of}"


def test_a_view_may_be_given_for_the_objective():
    field = views.field(lopsided, jnp.asarray(WINDOW))
    one, other = drawn(plots.level_sets(field)), drawn(plots.level_sets(lopsided, WINDOW))
    assert np.array_equal(one["levels"], other["levels"])


def test_mistakes_are_one_sentence(run):
    f = quadratic()
    with pytest.raises(TypeError, match="^landscape: draws a whole figure: pass fig=.*not ax="):
        plots.landscape(f, ax=Figure().add_subplot())
    with pytest.raises(TypeError, match="^descent: draws one axes: pass ax=.*not fig="):
        plots.descent(f, run, fig=Figure())
    with pytest.raises(TypeError, match="^landscape: fig must be a Figure.*got Axes"):
        plots.landscape(f, fig=Figure().add_subplot())
    with pytest.raises(TypeError, match="^level_sets: ax must be an Axes, got Figure"):
        plots.level_sets(f, ax=Figure())
    with pytest.raises(ValueError, match="^surface: ax must be made with projection='3d'"):
        plots.surface(f, ax=Figure().add_subplot())
    for projection in ("polar", "3d"):
        with pytest.raises(ValueError, match="^level_sets: ax must be made with projection='rect"):
            plots.level_sets(f, ax=Figure().add_subplot(projection=projection))
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        plots.landscape(f, colour="red")
    with pytest.raises(ValueError, match="arrows must be 'step', '-grad' or None, got 'up'"):
        plots.descent(f, run, arrows="up")
    with pytest.raises(ValueError, match=r"^landscape: the path must be a run .*\[3,3\]"):
        plots.landscape(f, path=np.zeros((3, 3)))
    for names in ("ab", ("a",), (1, 2)):
        for draw in (plots.level_sets, plots.landscape):
            with pytest.raises(ValueError, match="^names must be two, of the two parameters"):
                draw(f, names=names)
    with pytest.raises(ValueError, match="no value in the window is finite"):
        plots.level_sets(lambda p: jnp.log(-jnp.abs(p[0]) - 1))
    with pytest.raises(ValueError, match="; gd.unpack"):
        plots.landscape(lambda a, b: a**2 + b**2)
    with pytest.raises(ValueError, match="jax.numpy does$"):
        plots.landscape(lambda p: math.exp(p[0]) + p[1] ** 2)
    three = gd.least_squares(jnp.ones((4, 3)), jnp.ones(4))
    for draw in (plots.level_sets, plots.surface, plots.landscape):
        with pytest.raises(ValueError, match=r"^\w+: a map needs an objective of two parameters"):
            draw(three)


# -- several runs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_several_runs_share_a_map_and_have_their_names_beside_them(run, theme):
    other = gd.descend(quadratic(), jnp.array([2.0, 1.0]), gd.HeavyBall(0.1, 0.8), steps=15)
    third = np.array([[-1.5, 1.0], [-1.0, -1.0], [0.5, -1.5]])
    runs = {"GD": run, "momentum": other, "mine": third}
    ax = plots.descent(quadratic(), runs, theme=theme)
    numbers = drawn(ax)
    for name, points in runs.items():
        expected = points if name == "mine" else points.history.point
        assert np.array_equal(numbers[f"path, {name}"], expected)
    assert sum(key.startswith("bands") for key in numbers) == 1  # one ground
    low, high = numbers["limits"].T
    assert all(((p >= low) & (p <= high)).all() for k, p in numbers.items() if "path" in k)
    assert ax.get_title(loc="left") == "GD ends lowest"
    lines = {line.get_gid(): line for line in ax.lines}
    assert len({lines[f"gd:path, {name}"].get_color() for name in runs}) == 3
    labels = {t.get_text(): t.get_position() for t in ax.texts if t.get_gid() == "gd:label"}
    assert set(labels) == set(runs)
    for name, place in labels.items():  # each is nearest to its own path
        near = {of: np.abs(numbers[f"path, {of}"] - place).max(1).min() for of in runs}
        assert min(near, key=near.get) == name
    no_text_is_clipped_or_overlaps(ax.figure, theme)
    every_text_can_be_read(ax.figure, THEMES[theme])


def test_one_run_in_a_mapping_has_its_name_and_four_have_no_colors(run):
    assert "path, GD" in drawn(plots.descent(quadratic(), {"GD": run}))
    with pytest.raises(ValueError, match="^descent: a mapping .* one to three, got 4"):
        plots.descent(quadratic(), dict.fromkeys("abcd", run))
    with pytest.raises(ValueError, match="^descent: the path must be"):
        plots.descent(quadratic(), {"GD": run, "values": np.ones(3)})
    lost = {name: np.array([[1.0, 1.0], [np.nan, np.nan]]) for name in ("one", "other")}
    assert plots.descent(quadratic(), lost).get_title(loc="left") == "all runs diverge"


# -- anybody's functions ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "window"),
    [
        (gd.landscapes.rosenbrock, [[-2, 2], [-1, 3]]),
        (lambda p: 3 * p[0] - 2 * p[1] - 20, WINDOW),
        (lambda p: 1e-8 * (p[0] ** 2 + p[0] * p[1] + p[1] ** 2), WINDOW),
        (lambda p: 1e9 * (p[0] ** 2 + p[1] ** 2), [[-1e6, 1e6], [-1e6, 1e6]]),
    ],
    ids=["rosenbrock", "linear", "tiny", "huge"],
)
def test_labels_of_levels_are_whole_and_inside_the_map(f, window):
    ax = plots.level_sets(f, window)
    labels = [text for text in ax.texts if text.get_gid() == "gd:level label"]
    seen = [text for text in labels if text.get_visible()]
    assert len(seen) >= 3
    for text in seen:
        box = text.get_window_extent()
        assert ax.bbox.x0 < box.x0 and box.x1 < ax.bbox.x1, text.get_text()
        assert ax.bbox.y0 < box.y0 and box.y1 < ax.bbox.y1, text.get_text()
    no_text_is_clipped_or_overlaps(ax.figure)


def test_parameters_of_very_different_units_are_seen_and_it_is_said():
    path = np.array([[900 * 0.5**k, 0.8 * 0.7**k] for k in range(10)])
    ax = plots.descent(lambda p: (p[0] / 1000) ** 2 + p[1] ** 2, path)
    ends = ax.transAxes.inverted().transform(ax.transData.transform(path[[0, -1]]))
    assert (np.abs(ends[0] - ends[1]) > 0.5).all()
    assert notes(ax) == ["each axis has its own scale: angles are not kept"]
    box = ax.get_window_extent()
    assert 0.5 < box.height / box.width < 2
    assert notes(plots.descent(quadratic(), path[:, [1, 1]])) == []


def test_keys_and_notes_join():
    ax = plots.level_sets(quadratic(), WINDOW)
    look = THEMES["light"]
    marks.key(ax, "crosses", look)
    assert ax.get_title(loc="right").endswith("the only minimizer, crosses")
    marks.note_below(ax, ["one"], look)
    marks.note_below(ax, ["", "two"], look)
    assert notes(ax) == ["one; two"]


def test_what_has_no_vector_of_two_is_told_what_to_do():
    run = gd.descend(lambda t: t["a"] ** 2, {"a": jnp.array(1.0)}, 0.1, steps=1)
    with pytest.raises(ValueError, match="descent: .* got a dict; jax.flatten_util.ravel_pytree"):
        plots.descent(lambda t: t[0] ** 2 + t[1], run)
    for draw in (plots.level_sets, plots.landscape):
        with pytest.raises(ValueError, match=rf"{draw.__name__}: .*gd.unpack\(f\) is f\(theta\)"):
            draw(lambda a, b: a + b)


def test_no_mark_of_a_path_hides_a_part_of_a_level_label():
    def f(t):  # its last level is -0.45, and the path ends beside that label
        return jnp.cos(2 * t[0]) + 0.3 * t[0] ** 2 + t[1] ** 2 - 0.5 * t[0] * t[1]

    run = gd.descend(f, jnp.array([2.0, 1.5]), 0.15, steps=15)
    ax = plots.landscape(f, path=run).axes[1]
    labels = [t for t in ax.texts if t.get_gid() == "gd:level label" and t.get_visible()]
    boxes = [text.get_window_extent() for text in labels]
    points = ax.transData.transform(run.history.point)
    assert labels and not [point for box in boxes for point in points if box.contains(*point)]


def test_a_figure_can_be_copied_as_others_can():
    fig = plots.descent(quadratic(), gd.descend(quadratic(), jnp.array([2.0, 1.0]), 0.1, steps=3))
    assert len(pickle.loads(pickle.dumps(fig.figure)).axes) == 1
