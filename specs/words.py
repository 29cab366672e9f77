"""Words, numbers and lines: how everything that is said is set."""

from __future__ import annotations

import dataclasses
import difflib
import math
import textwrap
from collections.abc import Iterable
from typing import Any, NamedTuple

WIDTH = 100


class Span(NamedTuple):
    """A part of a line, and its role: a label, a name, good, bad, or aside; by default none."""

    text: str
    role: str = ""


Line = list[Span]


def listed(names: list[str]) -> str:
    """Return names as one says them: ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def named(names: list[str]) -> str:
    """Return names, not too many of them."""
    return ", ".join(names if len(names) <= 7 else [*names[:6], f"and {len(names) - 6} more"])


def near(name: str, known: Iterable[str]) -> str:
    """Return which of the known names may be meant, to follow a sentence that knows none such."""
    found = difflib.get_close_matches(name, list(dict.fromkeys(known)), 3, 0.4)
    return f"; near it: {', '.join(found)}" if found else ""


def number(x, digits=3) -> str:
    """Return a number with three digits; 0 has one."""
    return f"{x:.{digits}g}" if x else "0"


def digits_of(x: float, error: float) -> str:
    """Return a number with the digits that are known of it, nine at most."""
    if not math.isfinite(error) or abs(x) <= error:
        return "0" if math.isfinite(error) else "?"
    known = math.floor(math.log10(abs(x) / error)) + 1 if error else 9
    return f"{x:.{min(known, 9)}g}"


def share(x: float) -> str:
    """Return a number up to 1 with two digits; what is less than 1 is not rounded to it."""
    return f"{0.99 if 0.99 < x < 1 else x:.2g}"


def wrapped(text: str, width: int = WIDTH, indent: int = 0) -> list[str]:
    """Return lines of words; those after the first are indented."""
    lines = textwrap.wrap(
        text,
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines


def labeled(label, lines, column):
    """Return a label and lines beside it, in a column of their own."""
    first = label.ljust(column) if len(label) <= column else f"{label}  "
    starts = [first, *[" " * column] * (len(lines) - 1)]
    return [f"{start}{line}".rstrip() for start, line in zip(starts, lines, strict=True)]


def beside(label: str, text: str, column: int) -> list[str]:
    """Return a label and beside it a text of one or more lines, wrapped where they are too long."""
    lines = [part for line in text.split("\n") for part in wrapped(line, WIDTH - column)]
    return labeled(label, lines, column)


def marked(rows: list[str], *label: Span, role: str = "") -> list[Line]:
    """Return rows of text as lines: the first begins with a label, and all else has a role.

    Examples
    --------
    >>> marked(["note:  all", "       is well"], Span("note:", "label"), role="good")[0]
    [Span(text='note:', role='label'), Span(text='  all', role='good')]
    """
    known = sum(len(span.text) for span in label)
    return [
        [*label, Span(row[known:], role)] if label and k == 0 else [Span(row, role)]
        for k, row in enumerate(rows)
    ]


def apart(parts: Iterable[list[Line]]) -> list[Line]:
    """Return the lines of several parts, with an empty one between two of them."""
    return [line for k, part in enumerate(parts) for line in ([[], *part] if k else part)]


def unmarked(lines: Iterable[Line]) -> str:
    """Return lines as text, without roles."""
    return "\n".join("".join(span.text for span in line).rstrip() for line in lines)


def plain(x: Any) -> Any:
    """Return data as JSON has it."""
    if dataclasses.is_dataclass(x):
        return {f.name: plain(getattr(x, f.name)) for f in dataclasses.fields(x)}
    if isinstance(x, dict):
        return {key: plain(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return [plain(value) for value in x]
    if hasattr(x, "tolist"):  # NumPy and JAX
        return plain(x.tolist())
    if isinstance(x, float) and not math.isfinite(x):
        return "NaN" if math.isnan(x) else "Infinity" if x > 0 else "-Infinity"
    return x
