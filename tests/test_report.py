"""Reports: what they say of every verdict, in how many lines, and that JSON has all of it."""

import dataclasses
import json
import math

import pytest

from gdpure import specs
from gdpure.specs.listing import article, table
from gdpure.specs.report import Counterexample, Report, Row, Verdict
from gdpure.specs.words import unmarked

VERSIONS = {"gdpure": "0.1.0", "jax": "0.10.2", "python": "3.11.7"}
CASE = Counterexample(
    lines=(
        ("theorem", "x[k+1] = x[k] - eta grad f(x[k])\ndefinition of gradient descent"),
        ("assumes", "eta known (0.5)\nnothing about f"),
        ("smallest", "f(a, b) = (a + b)^2 / 2,   x[0] = (1, 0)\nhere L = 2, so eta = 1/L"),
        (
            "x[1]",
            "must be    (0.5, -0.50)\n"
            "returned   (0.5, -0.25)\n"
            "off by     0.25 in coordinate 1; rounding explains at most 1.2e-07",
        ),
    ),
    smallest="f(a, b) = (a + b)^2 / 2 from (1, 0), step 1/2",
    must_be="(0.5, -0.5)",
    returned="(0.5, -0.25)",
    off_by=0.25,
    explained=1.2e-7,
    cause="coordinates are updated one after the other",
    reproduction="import numpy as np; from homework import my_descent\nmy_descent(np.ones(2))",
)
SHORT = dataclasses.replace(CASE, lines=(), cause="", reproduction="", explained=0.0)


def rows(theorem, family, verdict, **known):
    """One theorem in both dtypes, with the same verdict."""
    return [Row(theorem, family, dtype, verdict, **known) for dtype in ("float32", "float64")]


def holding(*theorems, family="bookkeeping", **known):
    known = {"instances": 2000, "informative": 2000} | known
    return [row for name in theorems for row in rows(name, family, Verdict.HOLDS, **known)]


def violated(*theorems, family="monotone descent", case=None, first=0):
    known = {"instances": 2000, "informative": 2000, "violated": 1604, "excess": 2e6}
    known |= {"first": first, "counterexample": case}
    return [row for name in theorems for row in rows(name, family, Verdict.VIOLATED, **known)]


def report(*found, subject="homework:my_descent", method="gradient descent", notes=()):
    return Report(subject, method, "cpu", VERSIONS, 0, tuple(found), notes)


WHOLE = report(
    *holding("starts", "ends", "form", "finite", excess=0.41),
    *(
        row
        for name in ("value", "gradient")
        for row in rows(
            name,
            "gradient agreement",
            Verdict.NOT_APPLICABLE,
            reason="the subject brings no gradient of its own",
        )
    ),
    *violated("step-identity", case=CASE),
    *holding("fejer", family="monotone descent"),
    *violated("descent-lemma", "contraction"),
    *violated("closed-form", family="convergence", case=SHORT, first=2),
    *holding("value-rate", family="convergence"),
)

# Every verdict with what a report of it says; all of them of theorems beside four that hold.
SENTENCES = {
    Verdict.HOLDS: ("", "  odd                 1 holds"),
    Verdict.VIOLATED: ("returned 3 rows", "1 VIOLATED   it (returned 3 rows)"),
    Verdict.NOT_APPLICABLE: ("no step size", "  odd                 not applicable (no step size)"),
    Verdict.VACUOUS: ("nothing applies", "  odd                 vacuous (nothing applies)"),
    Verdict.BLOCKED: ("rests on form", "  odd                 blocked (rests on form)"),
    Verdict.EXPECTED_FAILURE: ("momentum", "  odd                 expected failure (momentum)"),
    Verdict.ERROR: ("it raised", "  odd                 ERROR (it raised)"),
}


def plain(text):
    """The text as it is, after a look at its form: plain, narrow, nothing at the ends of lines."""
    lines = text.split("\n")
    copied = [line for line in lines if line.startswith("details:")]  # a command stays whole
    assert all(len(line) <= 100 for line in lines if line not in copied)
    assert text.isascii() and "\t" not in text
    assert all(line == line.rstrip() for line in lines)
    assert "\n\n\n\n" not in text and text == text.strip("\n")
    return text


# -- the whole report ------------------------------------------------------------------------------


def test_a_whole_report_reads_like_this():
    assert (
        plain(str(WHOLE))
        == """\
homework:my_descent, held to gradient descent (cpu, float32 and float64, seed 0)
gdpure 0.1.0, jax 0.10.2, python 3.11.7
  bookkeeping         4 hold
  gradient agreement  not applicable (the subject brings no gradient of its own)
  monotone descent    1 holds, 3 VIOLATED   step-identity: off by 0.25 where rounding allows 1e-07
                                            descent-lemma, contraction
  convergence         1 holds, 1 VIOLATED   closed-form: off by 0.25 where rounding allows nothing
  2,000 instances a theorem and dtype; the closest, starts, used 0.41 of what rounding allows
smallest case: f(a, b) = (a + b)^2 / 2 from (1, 0), step 1/2, must be (0.5, -0.5), is (0.5, -0.25)
likely cause:  coordinates are updated one after the other
details:       gdpure check homework:my_descent --only step-identity"""
    )


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_its_line(verdict):
    reason, line = SENTENCES[verdict]
    odd = rows("it", "odd", verdict, reason=reason, instances=5, violated=5)
    text = plain(str(report(*holding("a", "b", "c", "d"), *odd)))
    assert line in text
    assert "4 hold" in text


@pytest.mark.parametrize("verdict", Verdict)
def test_a_report_is_true_if_something_holds_and_nothing_is_wrong(verdict):
    odd = rows("it", "odd", verdict, reason="why")
    wrong = verdict in (Verdict.VIOLATED, Verdict.ERROR)
    assert bool(report(*holding("a"), *odd)) == (not wrong)
    assert bool(report(*odd)) == (verdict is Verdict.HOLDS)


def test_reasons_of_some_of_a_family_are_told_apart():
    text = plain(
        str(
            report(
                *holding("a"),
                *rows("b", "bookkeeping", Verdict.NOT_APPLICABLE, reason="no step size"),
                *rows("c", "bookkeeping", Verdict.NOT_APPLICABLE, reason="no step size"),
                *rows("d", "bookkeeping", Verdict.NOT_APPLICABLE, reason="no final state"),
                *rows("e", "bookkeeping", Verdict.EXPECTED_FAILURE, reason="momentum"),
            )
        )
    )
    assert text.split("\n")[2:7] == [
        "  bookkeeping         1 holds",
        "                      1 expected failure   e (momentum)",
        "                      2 not applicable     b, c (no step size)",
        "                      1 not applicable     d (no final state)",
        "  2,000 instances a theorem and dtype",
    ]


def test_what_was_expected_to_fail_and_holds_is_reported():
    lucky = holding("e", reason="momentum: not a descent method")
    for others in (holding("a", "b", "c"), []):
        found = report(*others, *lucky)
        assert "expected to fail, but holds (momentum: not a descent method)" in plain(str(found))
        assert found


def test_many_names_are_cut_short():
    text = str(report(*violated(*(f"theorem-{k}" for k in range(12)))))
    assert "theorem-5, and 6 more" in " ".join(text.split()) and "theorem-6" not in text


def test_names_reasons_and_cases_of_any_length_are_wrapped():
    long = "a very long reason, with many words that go on and on " * 8
    case = dataclasses.replace(
        CASE, smallest="x " * 90, must_be="(1, 2, 3) " * 9, cause=long, explained=math.inf
    )
    plain(
        str(
            report(
                *violated("a" * 40, case=case, family="a family with quite a long name"),
                *holding("b", "c"),
                *rows("d", "other", Verdict.ERROR, reason=long),
                *rows("e", "other", Verdict.NOT_APPLICABLE, reason=long),
                subject="a_package.with_a_long_name.and_modules:and_an_attribute.of_an_attribute",
                notes=(long,),
            )
        )
    )


def test_the_way_to_the_details_is_one_that_works():
    found = report(*violated("a", case=CASE), *holding("b", "c", "d"), subject="gd.Constant(0.1)")
    assert "details:       print(report.details())" in str(found)
    assert "VIOLATED  a" in found.details()


def test_notes_are_printed():
    found = report(*holding("a"), notes=("step size 0.1, inferred", "gpu: not run"))
    assert str(found).endswith(
        "note:          step size 0.1, inferred\nnote:          gpu: not run"
    )


def test_what_was_not_tested_is_not_shown_to_hold():
    assert str(report()).endswith("Nothing was tested, so nothing is shown.")
    vacuous = rows("a", "odd", Verdict.VACUOUS, reason="no instance meets its assumptions")
    assert "Nothing was tested" in str(report(*vacuous)) and not report(*vacuous)
    assert "Nothing was tested" not in str(WHOLE)


def test_repr_is_one_line_for_a_failing_assertion():
    assert repr(WHOLE) == (
        "<Report on homework:my_descent: 6 hold, 4 VIOLATED, 2 not applicable: "
        "step-identity, descent-lemma, contraction, closed-form>"
    )


# -- several dtypes --------------------------------------------------------------------------------


def in_dtypes(first, second):
    return [
        Row("it", "odd", dtype, verdict, reason=f"{verdict} here", instances=7, violated=1)
        for dtype, verdict in (("float32", first), ("float64", second))
    ]


@pytest.mark.parametrize("other", [v for v in Verdict if v is not Verdict.VIOLATED])
def test_violated_in_any_dtype_is_violated(other):
    for pair in ((Verdict.VIOLATED, other), (other, Verdict.VIOLATED)):
        text = str(report(*holding("a", "b", "c"), *in_dtypes(*pair)))
        assert "1 VIOLATED" in text and "3 hold" in text
        dtype = ("float32", "float64")[pair.index(Verdict.VIOLATED)]
        assert f"{dtype} only" in text


@pytest.mark.parametrize("other", Verdict)
def test_a_theorem_holds_if_it_holds_wherever_it_applies(other):
    text = str(report(*holding("a", "b", "c"), *in_dtypes(Verdict.HOLDS, other)))
    holds = other in (Verdict.HOLDS, Verdict.NOT_APPLICABLE)
    assert ("  odd                 1 holds" in text) == holds
    assert ("float64 only" in text) == (not holds)


def test_a_dtype_with_a_counterexample_is_shown():
    bare, shown = violated("a", case=None)[0], violated("a", case=CASE)[1]
    assert "off by 0.25" in str(report(bare, shown, *holding("b", "c", "d")))


# -- few theorems ----------------------------------------------------------------------------------


def test_a_violated_theorem_reads_like_this():
    found = report(*violated("step-identity", case=CASE))
    shown = """\
VIOLATED  step-identity                  homework:my_descent, float32 and float64, cpu, seed 0

  theorem     x[k+1] = x[k] - eta grad f(x[k])   definition of gradient descent
  assumes     eta known (0.5)                    nothing about f
  smallest    f(a, b) = (a + b)^2 / 2,   x[0] = (1, 0)
              here L = 2, so eta = 1/L

  x[1]        must be    (0.5, -0.50)
              returned   (0.5, -0.25)
              off by     0.25 in coordinate 1; rounding explains at most 1.2e-07

  cause       likely: coordinates are updated one after the other
  how often   1,604 of 2,000 instances in float32 and 1,604 of 2,000 in float64, first at k = 0

  try it      import numpy as np; from homework import my_descent
              my_descent(np.ones(2))"""
    assert plain(found.details()) == shown
    assert plain(str(found)).endswith(f"\n\n{shown}")


def test_what_a_counterexample_leaves_out_is_told_from_its_numbers():
    text = plain(report(*violated("closed-form", case=SHORT, first=2)).details())
    assert text.split("\n")[2:6] == [
        "  at k = 2    must be    (0.5, -0.5)",
        "              returned   (0.5, -0.25)",
        "              off by     0.25; rounding explains nothing",
        "",
    ]
    assert "cause" not in text and "try it" not in text


def test_a_violation_without_numbers_says_what_was_found():
    found = report(*rows("form", "bookkeeping", Verdict.VIOLATED, reason="returned 3 rows"))
    assert "  found       returned 3 rows" in plain(found.details())


def test_a_cause_that_is_spelled_out_is_not_said_twice():
    case = dataclasses.replace(CASE, lines=(*CASE.lines, ("cause", "this, because of that")))
    text = report(*violated("a", case=case)).details()
    assert "this, because of that" in text and "one after the other" not in text


def test_a_note_that_is_too_long_goes_below():
    case = dataclasses.replace(CASE, lines=(("theorem", "x " * 30 + "\n" + "y " * 30),))
    plain(report(*violated("a", case=case)).details())


def test_details_of_named_theorems_only():
    both = WHOLE.details()
    assert both.count("VIOLATED  ") == 4 and "\n\n\nVIOLATED" in both
    assert WHOLE.details("closed-form").count("VIOLATED  ") == 1
    assert report(*holding("a")).details() == "No theorem is violated."


def test_a_theorem_that_holds_alone_says_on_how_much():
    found = report(*holding("fejer", informative=1990, excess=0.4118))
    rest = "2,000 instances (1,990 informative), using 0.41 of what rounding allows"
    assert plain(str(found)).split("\n")[2:] == [
        f"  fejer   holds in float32: {rest}",
        f"          holds in float64: {rest}",
    ]


@pytest.mark.parametrize(
    ("excess", "written"), [(0.9996, "0.99"), (1.0, "1"), (0.4118, "0.41"), (2e-5, "2e-05")]
)
def test_what_is_allowed_is_not_used_up_by_rounding_the_report(excess, written):
    assert f"using {written} of what" in str(report(*holding("fejer", excess=excess)))
    assert f"used {written} of what" in str(report(*holding(*"abcd", excess=excess)))


def test_few_theorems_are_one_by_one_and_the_violated_last():
    found = report(
        *violated("step-identity", case=CASE),
        *holding("starts", excess=0.0),
        *rows("ends", "bookkeeping", Verdict.NOT_APPLICABLE, reason="no final state"),
        notes=("a note",),
    )
    assert plain(str(found)).split("\n")[2:8] == [
        "  starts   holds in float32: 2,000 instances",
        "           holds in float64: 2,000 instances",
        "  ends     not applicable: no final state",
        "note:          a note",
        "",
        "VIOLATED  step-identity                  homework:my_descent, float32 and float64, cpu, "
        "seed 0",
    ]


def test_parts_of_a_line_have_roles():
    def of(role):
        return [span.text.strip() for line in WHOLE.lines() for span in line if span.role == role]

    assert of("bad") == ["3 VIOLATED", "1 VIOLATED"] and of("good") == [
        "4 hold",
        "1 holds",
        "1 holds",
    ]
    assert of("label") == ["smallest case:", "likely cause:", "details:"]
    assert of("aside")[1] == "not applicable (the subject brings no gradient of its own)"


# -- JSON ------------------------------------------------------------------------------------------


def test_json_has_everything():
    read = json.loads(WHOLE.to_json())
    assert read.pop("schema") == 1 and read.pop("holds") is False
    assert read == json.loads(json.dumps(dataclasses.asdict(WHOLE)))
    [first] = [row for row in read["rows"] if row["counterexample"]][:1]
    assert first["counterexample"]["lines"][0] == list(CASE.lines[0])
    assert first["verdict"] == "VIOLATED" and first["violated"] == 1604


@pytest.mark.parametrize(
    ("number", "written"),
    [(math.inf, "Infinity"), (-math.inf, "-Infinity"), (math.nan, "NaN"), (0.1, 0.1)],
)
def test_json_of_any_number_is_valid(number, written):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    case = dataclasses.replace(CASE, off_by=number)
    text = report(*violated("a", case=case)).to_json()
    read = json.loads(text, parse_constant=refuse)
    assert read["rows"][0]["counterexample"]["off_by"] == written
    plain(str(report(*violated("a", case=case))))


def test_json_of_numpy_numbers():
    import jax.numpy as jnp
    import numpy as np

    found = report(
        Row("a", "odd", "float32", Verdict.HOLDS, instances=np.int64(3), excess=jnp.float32(0.5))
    )
    [row] = json.loads(found.to_json())["rows"]
    assert row["instances"] == 3 and row["excess"] == 0.5


def test_json_is_the_same_again():
    assert WHOLE.to_json() == dataclasses.replace(WHOLE).to_json()


# -- the theorems ----------------------------------------------------------------------------------


def test_the_table_has_every_theorem():
    text = plain(unmarked(table(specs.THEOREMS)))
    words = " ".join(text.split())
    for theorem in specs.THEOREMS:
        assert f"\n  {theorem.name} " in text and f"{theorem.family}\n" in text
        for part in (theorem.statement, theorem.source, ", ".join(theorem.assumes)):
            assert " ".join(part.split()) in words, part
    assert table([]) == []


@pytest.mark.parametrize("theorem", specs.THEOREMS, ids=lambda theorem: theorem.name)
def test_an_article_has_all_about_a_theorem(theorem):
    words = " ".join(plain(unmarked(article(theorem))).split())
    parts = (theorem.name, theorem.family, theorem.statement, theorem.source, *theorem.assumes)
    for part in (*parts, *theorem.needs):
        assert " ".join(part.split()) in words, part
