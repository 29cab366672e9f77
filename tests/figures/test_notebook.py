"""The lesson as a notebook: what it stores is what it shows, and all of the original is in it.

Its outputs are made anew by ``jupyter nbconvert --to notebook --inplace``, first with ``--execute
--ExecutePreprocessor.record_timing=False``, then with ``--coalesce-streams``.
"""

import ast
import base64
import contextlib
import importlib.resources
import io
import json
import re

import jax
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from PIL import Image
from texts import every_text_can_be_read, no_text_is_clipped_or_overlaps

import gdpure as gd
from gdpure import plots
from gdpure.lesson import lesson
from gdpure.plots import references
from gdpure.plots.lesson import figures
from gdpure.plots.palette import THEMES

NOTEBOOK = json.loads(importlib.resources.files(plots).joinpath("lesson.ipynb").read_text())
CELLS = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
SOURCES = ["".join(cell["source"]) for cell in CELLS]
TEXT = "\n\n".join("".join(c["source"]) for c in NOTEBOOK["cells"] if c["cell_type"] == "markdown")
NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?")
ROUNDOFF = 2.0**-24


def execute(source, names):
    """Run a cell; return what it prints, and the value of its last expression."""
    tree = ast.parse(source)
    last = tree.body[-1]
    valued = isinstance(last, ast.Expr) and "print(" not in ast.unparse(last)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(ast.Module(tree.body[: -1 if valued else None], []), "cell", "exec"), names)
        value = eval(ast.unparse(last), names) if valued else None
    return printed.getvalue(), value


@pytest.fixture(scope="module")
def executed():
    names = {}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return names, [execute(source, names) for source in SOURCES]


@pytest.fixture(scope="module")
def drawn(executed):
    return [value for _, value in executed[1] if isinstance(value, Axes | FigureBase)]


def stored(cell):
    """Return what a cell of the file prints and shows: text, bundle of its value, and about it."""
    printed = "".join("".join(o["text"]) for o in cell["outputs"] if o["output_type"] == "stream")
    shown = [o for o in cell["outputs"] if o["output_type"] == "execute_result"]
    assert len(shown) <= 1 and len(cell["outputs"]) == bool(printed) + len(shown)  # no warnings
    bundle = {kind: "".join(content) for o in shown for kind, content in o["data"].items()}
    return printed, bundle, [o["metadata"] for o in shown]


def same(now, then):
    """Whether texts are equal but for the last digits, which are roundings of float32.

    A run of a hundred steps and a mean of three carry less than 2^7 of them; a number that was
    written with few digits may be off by one in the last of these.
    """
    words, before = (NUMBER.sub("#", "".join(text.split())) for text in (now, then))
    if words != before:
        return False
    for a, b in zip(NUMBER.findall(now), NUMBER.findall(then), strict=True):
        digits, _, power = b.partition("e")
        unit = 10.0 ** (int(power or 0) - len(digits.partition(".")[2])) if "." in b else 0
        least = 2**7 * ROUNDOFF * max(abs(float(a)), abs(float(b)), 1)
        if abs(float(a) - float(b)) > 1.01 * unit + least:
            return False
    return True


def test_texts_may_differ_in_last_digits_and_in_nothing_else():
    assert same("x = [0.81919990 2.]", "x = [0.8191999  2.]")
    assert same("about 0.063 of it", "about 0.062 of it")
    assert same("at (1.2e-07, 3)", "at (0.0, 3)".replace("0.0", "6.0e-08"))
    assert not same("f = 3.2001", "f = 3.2000002")
    assert not same("11 points", "12 points")
    assert not same("f falls", "f rises")


@pytest.mark.parametrize("index", range(len(CELLS)))
def test_what_is_stored_is_what_is_shown(index, executed):
    printed, value = executed[1][index]
    before, bundle, about = stored(CELLS[index])
    assert same(printed, before), (printed, before)
    if hasattr(value, "_repr_mimebundle_"):
        data, metadata = value._repr_mimebundle_()
        assert same(data["text/plain"], bundle["text/plain"])
        assert [m["image/png"]["alt"] for m in about] == [bundle["text/plain"]]
        size = [metadata["image/png"][side] for side in ("width", "height")]
        assert [about[0]["image/png"][side] for side in ("width", "height")] == size
        picture = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
        assert [*picture.size] == [2 * side for side in size]  # as sharp as a retina screen
    else:
        assert same("" if value is None else repr(value), bundle.get("text/plain", ""))


@pytest.mark.skipif(
    bool(references.other_versions()) or jax.default_backend() != "cpu",
    reason="pictures are those of other machinery",
)
def test_stored_pictures_are_those_that_are_drawn(executed):
    for cell, (_, value) in zip(CELLS, executed[1], strict=True):
        if hasattr(value, "_repr_mimebundle_"):
            assert stored(cell)[1]["image/png"].strip() == value._repr_mimebundle_()[0]["image/png"]


def test_it_is_stored_as_if_run_once_from_top_to_bottom():
    assert NOTEBOOK["nbformat"] == 4
    assert [cell["execution_count"] for cell in CELLS] == [*range(1, len(CELLS) + 1)]
    ids = [cell["id"] for cell in NOTEBOOK["cells"]]
    assert len(set(ids)) == len(ids)


# What the original shows, in its order; scikit-learn's line in float32 there reads 0.9000001.
NUMBERS = """\
5.0 | [4., 2.] | [1.6 0.8] | 3.2000 | 0.214748 | 0.107374 | 0.0576460 | 0.900000 | 0.200000 |
16.826666 | 17.466667 | [6. 6.] | 7.6 | 15.2 | 10.4 | 31.199999 |
(0.5000, 0.5000) | (0.4400, 0.8800) | (0.2800, 0.8400)"""


def test_every_number_of_the_original_is_shown():
    shown = "".join(
        printed + bundle.get("text/plain", "") for printed, bundle, _ in map(stored, CELLS)
    )
    for number in NUMBERS.replace("\n", "").split("|"):
        assert number.strip() in shown, number


@pytest.mark.parametrize(
    "step",
    ["theta_0**2 + theta_1**2", "minimize(f, theta, method=\"BFGS\")", "jax.grad(", "gd.reverse(",
     "plots.landscape(f, found", "plots.one_step(", "gd.descend(", "plots.descent(",
     'yscale="linear"', "LinearRegression().fit(", "def by_hand", "specs.check_gradient(",
     "gd.per_sample(", "plots.per_sample(", "specs.certify("],
)  # fmt: skip
def test_every_step_of_the_original_is_taken(step):
    assert step in "\n".join(SOURCES)


def test_the_parts_are_in_the_order_of_a_course():
    heads = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    assert [head.partition(".")[0] for head in heads[:5]] == ["1", "2", "3", "4", "5"]
    assert heads[5].startswith("Appendix")
    first = {word: TEXT.find(word) for word in (r"$\mu$", "$L$", "certify")}
    assert -1 < first[r"$\mu$"] < first["certify"] and -1 < first["$L$"] < first["certify"]
    assert TEXT.count("<summary>Solution</summary>") == TEXT.count("**Exercise") == 2


def test_the_solutions_are_right(executed):
    names = dict(executed[0])
    [edge, easy] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names |= {"theta": jax.numpy.array([2.0, 1.0])}
    with jax.numpy_dtype_promotion("standard"), contextlib.redirect_stdout(io.StringIO()):
        exec(edge, names)
        one, jumps, grows = (
            gd.descend(names["f"], names["theta"], eta, steps=10).history.value
            for eta in (0.5, 1.0, 1.1)
        )
        exec(easy, names)
    assert not one[1:].any() and (jumps == 5).all()
    assert np.allclose(grows[1:] / grows[:-1], 1.44, atol=1e-6)
    assert np.allclose(gd.facts(names["easy"]).minimizer, [-0.2, 1.2], atol=1e-5)
    assert np.allclose(gd.facts(names["easy"]).minimum, 0, atol=1e-10)


def test_the_command_draws_the_same_figures(drawn):
    whole = jax.device_get(jax.jit(lesson)())
    for ours, theirs in zip(drawn, figures(whole, "dark"), strict=True):
        fig = theirs[1].figure
        assert same(plots.alt_text(ours.figure), plots.alt_text(fig))
        no_text_is_clipped_or_overlaps(fig, "dark")
        every_text_can_be_read(fig, THEMES["dark"])


def test_everything_written_is_whole_apart_and_legible(drawn):
    for fig in drawn:
        no_text_is_clipped_or_overlaps(fig.figure)
        every_text_can_be_read(fig.figure, THEMES["light"])


def test_every_figure_calls_the_parameters_theta_and_says_what_it_shows(drawn):
    for fig in drawn:
        axes = fig.figure.axes
        names = {axis.get_label_text() for ax in axes for axis in (ax.xaxis, ax.yaxis)}
        assert not names & {"$a$", "$b$", "a", "b"}
        assert any(ax.get_title(loc="left") for ax in axes) or fig.figure.texts


def test_what_the_lesson_had_wrong_is_gone(executed, drawn):
    """The defects of the lesson's figures, by the letters of the list that was made of them."""
    names = executed[0]
    numbers = [plots.record(fig.figure) for fig in drawn]
    first, mean, *_ = [n for n in numbers if "map/levels" in n]
    for shown, f in ((first, names["f"]), (mean, names["mean_cost"])):
        # a, b: the minimizer is where the gradient vanishes, from facts and from no solver.
        [at] = shown["map/minimizer"]
        assert np.allclose(gd.reverse(f)(jax.numpy.float32(at))[1], 0, atol=1e-5)
        # c, d: bands and level lines are one scale, no level is empty, the valley has a shape.
        levels = np.unique(shown["map/levels"][:, 0])
        assert np.allclose(shown["map/bands"][1:-1], levels) and len(levels) >= 5
    # i: no name stands for two kinds of things.
    assigned = [
        target.id
        for source in SOURCES
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assign)
        for target in ast.walk(node)
        if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store)
    ]
    again = {name for name in assigned if assigned.count(name) > 1}
    again -= {"f", "theta", "run", "known", "step_size", "found", "title"}  # of the other costs
    assert again <= {"a", "b", "value"}  # numbers of a row, while it is printed
    # j, l: every curve has its names, drawn without the state of pyplot.
    for fig in drawn:
        for ax in fig.figure.axes:
            assert (
                ax.get_label() or (ax.get_xlabel() and ax.get_ylabel()) or ax.get_title() == "$f$"
            )
    assert "pyplot" not in "".join(SOURCES)
