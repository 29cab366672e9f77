"""The porch: ``gdpure`` runs the lesson and prints it; ``--html FILE`` and ``--out DIR`` draw it.

``gdpure check``, ``certify`` and ``theorems`` belong to `gdpure.specs`, ``gdpure plots`` belongs to
`gdpure.plots`; each is imported for its commands only.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np

_COMMANDS = """\
commands:
  check TARGET     try every theorem on your optimizer: gdpure check optax:sgd
  certify FILE     say what a recorded run obeys: gdpure certify run.csv
  theorems [NAME]  list the theorems
  plots [NAME]     draw the gallery of figures, or compare it with its references

gdpure COMMAND --help says more.
"""
_FORMATS = ("png", "svg", "pdf")
_WIDTH = 80


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    argv
        The arguments, by default those of the process.

    Examples
    --------
    >>> import contextlib, io
    >>> with contextlib.redirect_stdout(io.StringIO()) as printed:
    ...     assert main([]) == 0
    >>> assert "17.466667" in printed.getvalue()
    """
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] in (["check"], ["certify"], ["theorems"]):
        return _hand_over("gdpure.specs.__main__", argv)
    if argv[:1] == ["plots"]:
        return _hand_over("gdpure.plots.__main__", argv[1:], "matplotlib")
    parser = argparse.ArgumentParser(
        "gdpure",
        description="Gradient descent: the lesson, and the theorems about it.",
        epilog=_COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--html", metavar="FILE", type=Path, help="write it as one page with sliders, too"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="write its figures there, too")
    parser.add_argument("--theme", choices=("light", "dark"), help="of the figures")
    parser.add_argument(
        "--format",
        metavar="FORMAT[,FORMAT]",
        type=_formats,
        help="of the figures: png, svg, pdf; by default png",
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    asked, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.error(
            f"unrecognized arguments: {' '.join(unknown)}; the commands are check, certify, "
            "theorems and plots, and come first; without one, gdpure prints the lesson"
        )
    if asked.version:
        print("gdpure", version("gdpure"))
        return 0
    if asked.out is None and (asked.theme or asked.format):
        parser.error("--theme and --format are of the figures: say --out DIR, too")
    if not find_spec("rich"):
        return _refuse("the lesson is printed by rich: pip install 'gdpure[specs]'")
    if refusal := _unwritable("--html", asked.html) or _unwritable("--out", asked.out):
        return _refuse(refusal)
    try:
        return _run(asked.html, asked.out, asked.theme or "light", asked.format or ("png",))
    except BrokenPipeError:
        return _read_enough()
    except OSError as error:  # the disk is full, say
        place = error.filename or asked.out or asked.html
        if place is None:
            raise
        return _refuse(f"cannot write to {place}: {error.strerror or error}")


def _unwritable(option, path):
    """Return why nothing can be written to a file (--html) or a folder (--out), now; "" if it can.

    What is missing of the folder is made.
    """
    if path is None:
        return ""
    if missing := _missing("hypothesis", "matplotlib"):
        return f"{option}: {missing}"
    try:
        folder = path if option == "--out" else path.parent
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # fails now, not after the lesson
        if option == "--html" and path.exists():
            path.open("r+b").close()
    except OSError as error:
        return f"{option}: cannot write to {path}: {error.strerror or error}"
    return ""


def _formats(text):
    named = tuple(part.strip() for part in text.split(","))
    for form in named:
        if form not in _FORMATS:
            raise argparse.ArgumentTypeError(f"formats are {', '.join(_FORMATS)}, got {form!r}")
    return named


_NEEDED = {
    "hypothesis": "theorems are tried by hypothesis: pip install 'gdpure[specs]'",
    "matplotlib": "figures are drawn by matplotlib: pip install 'gdpure[plots]'",
}


def _missing(*libraries):
    """Return what to do about the first of some libraries that is not installed."""
    return next((_NEEDED[name] for name in libraries if not find_spec(name)), "")


def _hand_over(command, argv, *libraries):
    missing = _missing("hypothesis", *libraries)
    if missing:
        return _refuse(missing, 2)
    try:
        return importlib.import_module(command).main(argv)
    except BrokenPipeError:
        return _read_enough()


def _read_enough():
    """Silence what is still to be printed: its reader has left, as in `gdpure | head`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _refuse(sentence, status=1):
    print(f"gdpure: {sentence}", file=sys.stderr)
    return status


def _run(html, out, theme, formats):
    import jax

    from gdpure.chapters import chapters
    from gdpure.lesson import lesson

    whole = jax.device_get(jax.jit(lesson)())
    told = chapters(whole, _by_scikit_learn(whole.regression.x, whole.regression.y))
    parts = (
        (_title(f"{i}  {one.title}"), *map(_drawn, one.blocks)) for i, one in enumerate(told, 1)
    )
    _print(*chain(*parts))
    if html is not None:
        _print(_title("Page"))
        page = importlib.import_module("gdpure.plots.page").page(told)
        html.write_text(page, "utf-8", newline="\n")
        print(html, flush=True)
    if out is not None:
        _print(_title("Figures"))
        plots = importlib.import_module("gdpure.plots")
        for name, fig in importlib.import_module("gdpure.plots.lesson").figures(whole, theme):
            print(*plots.save(fig, out / name, formats), sep="\n", flush=True)
    return 0


def _by_scikit_learn(x, y):
    """Return intercept and slope as fitted by scikit-learn, in a list: empty where it is absent."""
    if not find_spec("sklearn"):
        return []
    from sklearn.linear_model import LinearRegression

    fitted = LinearRegression().fit(np.asarray(x, np.float64)[:, None], np.asarray(y, np.float64))
    return [(fitted.intercept_, *fitted.coef_)]


# -- how it is printed -----------------------------------------------------------------------------


def _print(*parts):
    from rich.console import Console

    console = Console(highlight=False, width=_WIDTH)
    with console.capture() as printed:
        for part in parts:
            console.print(part)
    lines = "\n".join(line.rstrip() for line in printed.get().splitlines())
    print(re.sub(r"\n{3,}", "\n\n", lines), flush=True)


def _title(text):
    return f"\n[bold]{text}[/bold]\n"


def _drawn(block):
    """Return a block of a chapter as what rich prints."""
    from rich import box
    from rich.markup import escape
    from rich.padding import Padding
    from rich.table import Table

    from gdpure.chapters import Descriptions

    if isinstance(block, str):
        return escape(block)
    if isinstance(block, Descriptions):
        table = Table.grid(padding=(0, 2))
        for name, text in block.items:
            table.add_row(f"[bold]{escape(name)}[/bold]", escape(text))
        return Padding(table, (1, 2), expand=False)
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for heading, _ in block.columns:
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for row in zip_longest(*(cells for _, cells in block.columns), fillvalue=""):
        table.add_row(*map(str, row))
    return table


if __name__ == "__main__":
    sys.exit(main())
