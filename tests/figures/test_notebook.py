"""The lesson as a notebook: it runs from top to bottom, and draws what it says."""

import ast
import importlib.resources
import json

import jax
import numpy as np
import pytest
from matplotlib.figure import FigureBase
from texts import no_text_is_clipped_or_overlaps

import gdpure as gd
from gdpure import plots

NOTEBOOK = json.loads(importlib.resources.files(plots).joinpath("lesson.ipynb").read_text())
CELLS = ["".join(c["source"]) for c in NOTEBOOK["cells"] if c["cell_type"] == "code"]


def execute(cell, names):
    """Run a cell and return what a notebook would show: the value of its last expression."""
    tree = ast.parse("".join(line for line in cell.splitlines(True) if not line.startswith("%")))
    last = tree.body[-1]
    shown = isinstance(last, ast.Expr)
    exec(compile(ast.Module(tree.body[: -1 if shown else None], []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if shown else None


@pytest.fixture(scope="module")
def executed():
    names = {}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        shown = [execute(cell, names) for cell in CELLS]
    return names, [fig for fig in shown if isinstance(fig, FigureBase)]


def test_every_cell_runs_and_figures_are_shown(executed, capsys):
    names, figures = executed
    assert len(figures) == sum("plots." in cell for cell in CELLS) >= 7
    assert np.allclose(names["run"].history.point[0], [2, 2])


def test_nothing_written_overlaps(executed):
    for fig in executed[1]:
        no_text_is_clipped_or_overlaps(fig)


def test_it_is_committed_without_output_and_short():
    assert NOTEBOOK["nbformat"] == 4
    assert all(not c.get("outputs") and c.get("execution_count") is None for c in NOTEBOOK["cells"])
    ids = [cell["id"] for cell in NOTEBOOK["cells"]]
    assert len(set(ids)) == len(ids)
    lines = [line for cell in CELLS for line in cell.splitlines() if line.strip()]
    assert len(lines) < 55


def test_what_the_lesson_had_wrong_is_gone(executed):
    """The defects of the lesson's figures, by the letters of the list that was made of them."""
    names, figures = executed
    numbers = [plots.record(fig) for fig in figures]
    costs = [n for n in numbers if "map/levels" in n]
    for drawn, f in zip(costs, (names["f"], names["cost"]), strict=False):
        # a, b: the minimizer is where the gradient vanishes, from facts and from no solver.
        [at] = drawn["map/minimizer"]
        assert np.allclose(gd.reverse(f)(jax.numpy.float32(at))[1], 0, atol=1e-5)
        # c, d: bands and level lines are one scale, no level is empty, the valley has a shape.
        levels = np.unique(drawn["map/levels"][:, 0])
        assert np.allclose(drawn["map/bands"][1:-1], levels) and len(levels) >= 5
    source = "".join(CELLS)
    assert "BFGS" not in source and "flatten" not in source  # b, k
    # i: no name stands for two kinds of things.
    assigned = [
        target.id
        for cell in CELLS
        for node in ast.walk(ast.parse(cell.replace("%matplotlib inline", "")))
        if isinstance(node, ast.Assign)
        for target in ast.walk(node)
        if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store)
    ]
    again = {name for name in assigned if assigned.count(name) > 1}
    assert again <= {"theta", "run"}  # the start and the run of the second cost
    # j: the cost curve is logarithmic, has labels and its bound.
    [curve] = [fig for fig in figures if len(fig.axes) == 1 and fig.axes[0].get_yscale() == "log"]
    assert curve.axes[0].get_xlabel() and curve.axes[0].get_ylabel()
    # l: every figure has a title, and was drawn without the state of pyplot.
    assert all(any(ax.get_title(loc="left") for ax in fig.axes) or fig.texts for fig in figures)
    assert "pyplot" not in source
