"""Tightness: random runs stay below what is proven, extremal ones attain it, bugs do not."""

import doctest
from dataclasses import replace
from itertools import combinations

import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

import gdpure as gd
from gdpure import specs
from gdpure.plots.figures import tightness as figures
from gdpure.plots.figures.tightness import tightness
from gdpure.plots.reading import record
from gdpure.plots.views import tightness as views
from gdpure.specs.balls import Ball

TIGHT = [t for t in specs.THEOREMS if t.extremal and not t.equality]
BOUNDS = {t.name: t for t in TIGHT}


@pytest.fixture(scope="module")
def judged():
    """The view, and the random batch that it ran, with what was found in it."""
    seen = []
    judge = views.judge

    def kept(subject, theorems, batch, *rest, **options):
        seen.append((theorems, batch, judge(subject, theorems, batch, *rest, **options)))
        return seen[-1][2]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "judge", kept)
        return views.tightness(), seen[0]


def drawn(monkeypatch, shown, **options):
    monkeypatch.setattr(figures.views, "tightness", lambda *_, **__: shown)
    return tightness(**options)


def broken_laws(found, names=BOUNDS):
    """Return which laws of the figure its numbers break, with what rounding it draws."""
    broken = set()
    for name in names:
        allowed = found[f"distance to 1/rounding, {name}"][:, 0].max()
        if not allowed <= 1e-9:
            broken.add("rounding")
        if (abs(found[f"ratio/extremal, {name}"][:, 0] - 1) > allowed).any():
            broken.add("attained")
        if (found[f"ratio/random, {name}"][:, 0] > 1 + 1e-9).any():
            broken.add("under 1")
    return broken


# -- what is drawn ---------------------------------------------------------------------------------


def test_every_tight_theorem_is_drawn_and_obeys_the_laws(judged, monkeypatch):
    shown, _ = judged
    assert {row.theorem for row in shown.rows} == set(BOUNDS) and len(TIGHT) >= 7
    found = record(drawn(monkeypatch, shown))
    assert broken_laws(found) == set()
    for row in shown.rows:
        assert (row.random.ratio <= 1 + row.random.rounding).all() and len(row.random.ratio) > 60
        assert (abs(row.extremal.ratio - 1) <= row.extremal.rounding).all()
        assert len(row.extremal.ratio) == len(BOUNDS[row.theorem].extremal)
        assert np.array_equal(found[f"ratio/random, {row.theorem}"][:, 0], row.random.ratio)
        for part in ("random", "extremal"):
            ratio = found[f"ratio/{part}, {row.theorem}"][:, 0]
            away = found[f"distance to 1/{part}, {row.theorem}"][:, 0]
            # A dot is no nearer than rounding can tell, and 0 stands at the end of the axis.
            least = row.random.rounding if part == "random" else 1e-19
            assert np.array_equal(away, np.maximum(abs(1 - ratio), least))


def test_random_ratios_are_those_of_a_descent_by_hand(judged):
    shown, (theorems, batch, findings) = judged
    [row] = [row for row in shown.rows if row.theorem == "linear-value"]
    [finding] = [f for t, f in zip(theorems, findings, strict=True) if t.name == "linear-value"]
    clear, tried = finding.applies & (finding.allowed < 1e-9 * finding.bound), 0
    for i, ratio in zip(np.flatnonzero(clear), row.random.ratio, strict=True):
        features, center, bend, start = (
            np.asarray(leaf)[i] for leaf in (batch.features, batch.center, batch.bend, batch.start)
        )
        eta, L, mu = (float(leaf[i]) for leaf in (batch.step_size, batch.smoothness,
                                                  batch.strong_convexity))  # fmt: skip
        if np.isfinite(bend):
            continue
        tried += 1
        hessian, offset = features.T @ features / len(features), start - center
        gaps = [offset @ hessian @ offset / 2]
        for _ in range(10):
            offset = offset - eta * hessian @ offset
            gaps.append(offset @ hessian @ offset / 2)
        assert abs(eta * L - 1) < 1e-12
        bound = max(abs(1 - eta * L), abs(1 - eta * mu)) ** 20 * gaps[0]
        # Both runs are as far from the exact one as the view allows, 1e-9 of the bound.
        assert abs(gaps[-1] / bound - ratio) <= 3e-9
    assert tried > 30


def test_theorems_are_grouped_by_what_they_bound(judged):
    shown, _ = judged
    order = [row.bounded for row in shown.rows]
    assert order == sorted(order, key=["value", "gradient", "distance"].index)
    assert {row.bounded for row in shown.rows if "distance" in row.theorem} == {"distance"}
    assert {row.bounded for row in shown.rows if "gradient" in row.theorem} == {"gradient"}


def test_the_axis_of_distances_counts_zero(judged, monkeypatch):
    ax = drawn(monkeypatch, judged[0]).axes[1]
    assert [t.get_text() for t in ax.get_xticklabels()][-1] == "0"
    assert ax.get_xlim() == (3, 1e-19) and ax.get_xscale() == "log"


# -- bugs ------------------------------------------------------------------------------------------


def too_short(point, gradient, step_size):
    return point - 0.999 * step_size * gradient(point)


def plain(point, gradient, step_size):
    return point - step_size * gradient(point)


def test_a_step_a_thousandth_too_short_is_seen():
    fig = tightness(subject=too_short)
    assert "attained" in broken_laws(record(fig))
    assert fig.axes[0].get_title(loc="left").endswith("breaks 7 of 7 bounds")
    assert "attains all 7 bounds" in tightness(subject=plain).axes[0].get_title(loc="left")


def scaled(theorem, factor):
    def law(trace):
        measured, bound = theorem.law(trace)
        return measured, Ball(bound.middle * factor, bound.radius * factor)

    return replace(theorem, law=law)


@pytest.mark.parametrize(
    ("factor", "law", "said"),
    [(2.0, "attained", "misses 1 of 1"), (0.5, "under 1", "breaks 1 of 1")],
)
def test_a_bound_that_is_wrong_by_two_is_seen(factor, law, said):
    wrong = scaled(BOUNDS["linear-distance"], factor)
    fig = tightness(wrong)
    assert law in broken_laws(record(fig), [wrong.name])
    assert said in fig.axes[0].get_title(loc="left")


def test_ratios_beyond_the_window_are_marked_and_counted():
    fig = tightness(["linear-value"], lambda step_size: gd.Constant(0.5 * step_size))
    found = record(fig)
    ratios = np.concatenate(
        [found[f"ratio/{p}, linear-value"][:, 0] for p in ("random", "extremal")]
    )
    marks = sum(len(v) for key, v in found.items() if "outside the window" in key)
    assert marks == (ratios > found["ratio/limits"][0, 1]).sum() > 0
    assert any(text.get_text().startswith(f"{marks} ratio") for text in fig.texts)


# -- bad input, and what all figures share ---------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"theorems": ["value"]}, "no inequality 'value' with extremal functions; there are"),
        ({"theorems": "divergence"}, "no inequality 'divergence'"),
        ({"theorems": ["value-rate", 3]}, "no inequality 3"),
        ({"theorems": []}, "at least one theorem"),
        ({"steps": 0}, "steps must be"),
        ({"instances": 0}, "instances must be"),
        ({"seed": -1}, "seed must be"),
        ({"subject": gd.Constant(0.1)}, "pass a function of step_size"),
        ({"subject": "abc"}, "the subject must be"),
        ({"ax": None}, "draws a whole figure"),
    ],
)
def test_tightness_refuses_what_it_cannot_draw(options, sentence):
    with pytest.raises((TypeError, ValueError), match=f"^tightness: .*{sentence}"):
        tightness(**options)


def test_drawing_twice_is_the_same_and_changes_nothing(judged, monkeypatch):
    before = dict(matplotlib.rcParams)
    one, other = (record(drawn(monkeypatch, judged[0])) for _ in range(2))
    assert dict(matplotlib.rcParams) == before and one.keys() == other.keys()
    assert all(np.array_equal(one[key], other[key]) for key in one)
    fig = Figure(figsize=(7.2, 4))
    assert tightness(fig=fig) is fig


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_text_lies_on_another_or_leaves_the_figure(judged, monkeypatch, theme):
    fig = drawn(monkeypatch, judged[0], theme=theme)
    FigureCanvasAgg(fig).draw()
    texts = [t for ax in fig.axes for t in (*ax.get_children(), ax.xaxis.label)]
    texts += [t for ax in fig.axes for t in ax.get_xticklabels()] + list(fig.texts)
    texts = [t for t in texts if isinstance(t, Text) and t.get_text() and t.get_visible()]
    shapes = [t.get_window_extent() for t in texts]
    assert len(shapes) > 20
    for shape in shapes:
        assert (shape.min >= fig.bbox.min - 1).all() and (shape.max <= fig.bbox.max + 1).all()
    for one, other in combinations(shapes, 2):
        overlap = np.minimum(one.max, other.max) - np.maximum(one.min, other.min)
        assert (overlap <= 1).any()


@pytest.mark.parametrize("module", [views, figures])
def test_the_examples_are_true(module):
    names = {"gd": gd, "jnp": jnp, "np": np}
    assert doctest.testmod(module, extraglobs=names).failed == 0
