"""The screen: lines in colors and a bar, by rich, where somebody looks; else plain text."""

from __future__ import annotations

import contextlib
import sys
from importlib.util import find_spec

from .words import unmarked

_STYLES = {"bad": "bold red", "good": "green", "aside": "dim", "label": "bold", "name": "cyan"}


def show(lines):
    """Print lines, in colors where somebody looks at them."""
    if sys.stdout.isatty() and find_spec("rich"):
        from rich.console import Console
        from rich.text import Text

        styled = [
            Text.assemble(*((text, _STYLES.get(role, "")) for text, role in line)) for line in lines
        ]
        Console(highlight=False, soft_wrap=True).print(Text("\n").join(styled))
    else:
        print(unmarked(lines), flush=True)


@contextlib.contextmanager
def progress(begun):
    """Yield a function (done, text) that moves a bar, on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),  # names are no markup
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(begun, total=1.0)
        yield lambda done, text: bar.update(task, completed=done, description=text)
