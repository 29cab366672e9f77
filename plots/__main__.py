"""The command line: ``gdpure plots`` draws the gallery and compares it with its references."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import json
import sys
from pathlib import Path

from .palette import THEMES

_FORMATS = ("svg", "png", "pdf")


def main(argv: list[str] | None = None) -> int:
    """Draw, compare or list figures of the gallery, and return the exit status.

    Parameters
    ----------
    argv
        The arguments, by default those of the process.

    Returns
    -------
    int
        0 if all is well, 1 if a figure differs from its reference, 2 if the command cannot be
        carried out.

    Examples
    --------
    >>> import contextlib, io
    >>> with contextlib.redirect_stdout(io.StringIO()) as printed:
    ...     assert main(["--list"]) == 0
    >>> assert "certificate" in printed.getvalue()
    """
    asked = _parser().parse_args(argv)
    from . import gallery, references

    if asked.list:
        return _list(gallery)
    names = asked.names or list(gallery.GALLERY)
    for name in names:
        if name not in gallery.GALLERY:
            close = difflib.get_close_matches(name, gallery.GALLERY, 1)
            meant = f"; did you mean {close[0]}?" if close else "; --list shows them"
            return _refuse(f"no figure is called {name!r}{meant}")
    out = asked.out or references.FOLDER
    if not _in_checkout(references.FOLDER):
        if asked.check:
            return _refuse("--check needs the references, which lie in a checkout of the source")
        if asked.out is None:
            return _refuse("outside a checkout of the source a folder must be named: say --out DIR")
    try:
        return _go_through(names, asked, out)
    except OSError as error:
        return _refuse(f"--out: {error}")
    except KeyboardInterrupt:
        _refuse("stopped")
        return 130


def _parser():
    parser = argparse.ArgumentParser(
        "gdpure plots",
        description="Draw the figures of the gallery anew and say what changed. The exit status is "
        "0, with --check 1 if a figure differs from its reference.",
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="these figures, instead of all")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="write there, instead of to plots/reference/"
    )
    parser.add_argument("--theme", choices=tuple(THEMES), default="light", help="paper and colors")
    parser.add_argument(
        "--format",
        metavar="FORMAT[,FORMAT]",
        type=_formats,
        default=("svg",),
        help="of the figures to look at: svg, png, pdf; by default svg",
    )
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    parser.add_argument("--list", action="store_true", help="list the figures and stop")
    return parser


def _formats(text):
    named = tuple(part.strip() for part in text.split(","))
    for form in named:
        if form not in _FORMATS:
            raise argparse.ArgumentTypeError(f"formats are {', '.join(_FORMATS)}, got {form!r}")
    return named


def _in_checkout(folder):
    return (folder.parent.parent / "pyproject.toml").exists()


def _list(gallery):
    for name, function in gallery.FUNCTIONS.items():
        purpose = (function.__doc__ or "").partition("\n")[0]
        print(f"{name:20}{purpose}")
    return 0


def _go_through(names, asked, out):
    from ..specs.screen import progress
    from . import gallery, references
    from .files import write

    different = references.other_versions()
    table, failed = [], []
    with progress("drawing") as say:
        for i, name in enumerate(names):
            say(i / len(names), f"drawing {name}")
            now = references.drawn(gallery.draw(name, asked.theme), asked.theme, asked.format)
            change = references.changes(now, name, asked.theme)
            table.append((name, *_in_words(change)))
            if not references.passes(change, exact=not different):
                failed.append(name)
            if not asked.check:
                for ending, content in now.files.items():
                    if asked.out or references.kept(name, asked.theme, ending):
                        write(references.place(out, name, asked.theme, ending), content)
    recorded = out / references.VERSIONS
    if not asked.check and (len(names) == len(gallery.GALLERY) or not recorded.exists()):
        write(recorded, _packed(references.versions()))  # of some figures it would not be true
    _print_table(table)
    if different and references.FOLDER.exists():
        print(f"not the machinery of the references ({different}): bytes may be others")
    if asked.check and failed:
        print(f"{len(failed)} of {len(names)} differ: {', '.join(failed)}")
    return int(asked.check and bool(failed))


def _packed(found):
    return (json.dumps(found, indent=1) + "\n").encode()


def _in_words(change):
    if change.new:
        return ("new",) * 5
    data = f"changed: {', '.join(change.moved)}" if change.moved else "same"
    words = f"changed: {' | '.join(change.words)}" if change.words else "same"
    roles = f"changed: {' | '.join(change.roles)}" if change.roles else "same"
    pixels = f"changed, RMS {change.pixels:.2g}" if change.pixels else "same"
    return data, words, roles, pixels, "changed" if change.bytes else "same"


def _print_table(rows):
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "data", "words", "colors", "pixels", "bytes", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, width=None if sys.stdout.isatty() else 110).print(table)


def _refuse(sentence):
    with contextlib.suppress(BrokenPipeError):
        print(f"gdpure plots: {sentence}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
