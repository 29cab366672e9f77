"""Tightness: random runs stay below what is proven, extremal ones attain it, bugs do not."""

import doctest
import re
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser
from texts import no_text_is_clipped_or_overlaps

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
    """Return which laws of the figure its numbers break; rounding is less than 1e-9 of a bound."""
    broken = set()
    for name in names:
        if (abs(found[f"extremal, {name}"][:, 0] - 1) > 1e-9).any():
            broken.add("attained")
        if (found[f"random, {name}"][:, 0] > 1 + 1e-9).any():
            broken.add("under 1")
    return broken


def unspaced(formula):
    """Return a formula, which may be in pieces on several lines, without what is between them."""
    return re.sub(r"\\quad|\\ |[\s$]", "", formula)


# -- what is drawn ---------------------------------------------------------------------------------


def test_every_tight_theorem_is_drawn_and_obeys_the_laws(judged, monkeypatch):
    shown, _ = judged
    assert {row.theorem for row in shown.rows} == set(BOUNDS) and len(TIGHT) >= 7
    ax = drawn(monkeypatch, shown)
    found = record(ax.figure)
    assert broken_laws(found) == set()
    said = [unspaced(text.get_text()) for text in ax.texts]
    for y, row in enumerate(shown.rows):
        assert (row.random.ratio <= 1 + row.random.rounding).all() and len(row.random.ratio) > 60
        assert (abs(row.extremal.ratio - 1) <= row.extremal.rounding).all()
        assert row.extremal.rounding.max() <= 1e-9
        assert len(row.extremal.ratio) == len(BOUNDS[row.theorem].extremal)
        assert unspaced(figures.in_math(BOUNDS[row.theorem].statement)) in said
        for part in ("random", "extremal"):
            ratio, height = found[f"{part}, {row.theorem}"].T
            assert np.array_equal(ratio, getattr(row, part).ratio)
            assert ((y < height) & (height < y + 1)).all()


def test_random_ratios_are_those_of_a_descent_by_hand(judged):
    shown, (theorems, batch, findings) = judged
    [row] = [row for row in shown.rows if row.theorem == "linear-value"]
    [finding] = [f for t, f in zip(theorems, findings, strict=True) if t.name == "linear-value"]
    clear, tried = finding.applies & (finding.allowed < 1e-9 * finding.bound), 0
    for i, ratio in zip(np.flatnonzero(clear), row.random.ratio, strict=True):
        features, center, bend, start = (
            leaf[..., i] for leaf in (batch.features, batch.center, batch.bend, batch.start)
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


@pytest.mark.parametrize("theorem", TIGHT, ids=lambda theorem: theorem.name)
def test_a_statement_is_a_formula_that_keeps_its_symbols(theorem):
    formula = figures.in_math(theorem.statement)
    MathTextParser("path").parse(formula)
    assert not re.search(r"<=|[*\[\]]|(?<!\\)\b(?:eta|mu|max|l)\b", formula)
    assert formula.count("eta") == theorem.statement.count("eta")


# -- bugs ------------------------------------------------------------------------------------------


def too_short(point, gradient, step_size):
    return point - 0.999 * step_size * gradient(point)


def plain(point, gradient, step_size):
    return point - step_size * gradient(point)


def test_a_step_a_thousandth_too_short_is_seen():
    ax = tightness(subject=too_short)
    assert "attained" in broken_laws(record(ax.figure))
    assert ax.get_title(loc="left").endswith("breaks 7 of 7 bounds")
    assert "attains all 7 bounds" in tightness(subject=plain).get_title(loc="left")


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
    ax = tightness(wrong)
    assert law in broken_laws(record(ax.figure), [wrong.name])
    assert said in ax.get_title(loc="left")


def test_ratios_beyond_the_window_are_marked_and_counted():
    ax = Figure().add_subplot()

    def short(step_size):
        return gd.Constant(0.5 * step_size)

    assert tightness(["linear-value"], short, ax=ax) is ax
    found = record(ax.figure)
    ratios = np.concatenate([found[f"{p}, linear-value"][:, 0] for p in ("random", "extremal")])
    marks = sum(len(v) for key, v in found.items() if "outside the window" in key)
    assert marks == (ratios > found["limits"][0, 1]).sum() > 0
    assert any(text.get_text().startswith(f"{marks} ratio") for text in ax.texts)


@pytest.mark.parametrize(("size", "inches"), [("page", 0.47), ("column", 0.73 * 7 / 8.5)])
def test_a_row_alone_has_the_height_of_a_row_and_its_text_has_room(size, inches):
    ax = tightness(["linear-value"], size=size)
    assert abs(ax.bbox.height / ax.figure.dpi - inches) < 0.02
    no_text_is_clipped_or_overlaps(ax.figure)


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
        ({"fig": None}, "draws one axes"),
    ],
)
def test_tightness_refuses_what_it_cannot_draw(options, sentence):
    with pytest.raises((TypeError, ValueError), match=f"^tightness: .*{sentence}"):
        tightness(**options)


@pytest.mark.parametrize("module", [views, figures])
def test_the_examples_are_true(module):
    names = {"gd": gd, "jnp": jnp, "np": np}
    assert doctest.testmod(module, extraglobs=names).failed == 0
