"""Typesetting: the words of the lesson as HTML, with symbols, exponents and signs of print."""

from __future__ import annotations

import html
import re
from itertools import zip_longest

from gdpure.chapters import Chapter, Descriptions, Table

_GREEK = {"theta": "θ", "eta": "η", "mu": "μ"}
_SPELLED = (
    (r"\bd f / d theta", "∂f/∂theta"),
    (r"\btheta_(\d)", r"θ<sub>\1</sub>"),
    (r"\b(theta|eta|mu)\b", lambda name: _GREEK[name[1]]),
    (r"\^(\d+)", r"<sup>\1</sup>"),
    (r"(\d)e([-+])0*(\d+)", lambda e: f"{e[1]}\u202f×\u202f10<sup>{_MINUS[e[2]]}{e[3]}</sup>"),
    (r"\b[fLkxyt]\b", r"<em>\g<0></em>"),
    (r"(?<![\w>])-(?=[\d. ])", "\N{MINUS SIGN}"),
    (r" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"),
)
_MINUS = {"-": "\N{MINUS SIGN}", "+": ""}


def typeset(text: str) -> str:
    """Return words of the lesson as HTML: symbols, exponents and signs as they are printed.

    Examples
    --------
    >>> assert typeset("theta_0^2 < -1e-05") == (
    ...     "θ<sub>0</sub><sup>2</sup> &lt; −1\u202f×\u202f10<sup>−5</sup>"
    ... )
    """
    text = html.escape(text, quote=False)
    for pattern, spelled in _SPELLED:
        text = re.sub(pattern, spelled, text)
    return text


def chapter(i: int, one: Chapter) -> str:
    """Return the i-th chapter of the lesson as HTML.

    Examples
    --------
    >>> assert "<p>it is round</p>" in chapter(1, Chapter("A bowl", ("it is round",)))
    """
    heading = f"<h2>{i}\N{EN SPACE}{typeset(one.title)}</h2>"
    return f"<section>\n{heading}\n{''.join(map(_block, one.blocks))}</section>"


def _block(block: str | Table | Descriptions) -> str:
    if isinstance(block, str):
        return f"<p>{typeset(block.strip()).replace(chr(10), '<br>')}</p>\n"
    if isinstance(block, Descriptions):
        items = (f"<dt>{typeset(a)}</dt><dd>{typeset(b)}</dd>\n" for a, b in block.items)
        short = ' class="short"' * (max(len(text) for _, text in block.items) < 40)
        return f"<dl{short}>\n{''.join(items)}</dl>\n"
    heads = "".join(f'<th scope="col">{typeset(head)}</th>' for head, _ in block.columns)
    rows = []
    for first, *rest in zip_longest(*(cells for _, cells in block.columns), fillvalue=""):
        cells = "".join(f"<td>{_padded(cell)}</td>" for cell in rest)
        rows.append(f'<tr><th scope="row">{_padded(first)}</th>{cells}</tr>\n')
    named = "" if block.columns[0][0] else ' class="named"'
    return (
        f'<div class="table" tabindex="0" role="group" aria-label="table"><table{named}>\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{''.join(rows)}</tbody></table></div>\n"
    )


def _padded(cell):
    """Return a cell whose trailing spaces are as wide as the point and the digits it lacks."""
    text = str(cell)
    bare = text.rstrip()
    lacking = len(text) - len(bare)
    point = "\N{PUNCTUATION SPACE}" if lacking and "." not in bare else ""
    return typeset(bare) + point + "\N{FIGURE SPACE}" * (lacking - len(point))
