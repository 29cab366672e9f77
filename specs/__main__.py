"""The command line: ``gdpure check module:attribute`` and ``gdpure theorems``."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import importlib
import json
import os
import sys
import traceback
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_RED, _GREEN, _DIM, _BOLD = "bold red", "green", "dim", "bold"
_REPORT = {
    r"\d+ VIOLATED|^VIOLATED|\d+ ERROR|ERROR(?= \()": _RED,
    r"\b\d+ holds?\b|\bholds\b": _GREEN,
    r"^(smallest case|likely cause|details|note):": _BOLD,
    r"^  (theorem|assumes|smallest|found|cause|how often|try it)(?=  )": _BOLD,
    r"^gdpure \d.*|not applicable.*": _DIM,
}
_TABLE = {r"^\S.*": _BOLD, r"^  [a-z][a-z-]*(?=  )": "cyan", r"^ +assumes .*": _DIM}


class _Refused(Exception):
    """One sentence for who typed the command."""


def main(argv: list[str] | None = None) -> int:
    """Run ``check`` or ``theorems`` and return the exit status.

    Parameters
    ----------
    argv
        The arguments, by default those of the process.

    Returns
    -------
    int
        0 if all is well, 1 if a theorem is violated or nothing was tested, 2 if the command cannot
        be carried out.

    Examples
    --------
    >>> import contextlib, io
    >>> with contextlib.redirect_stdout(io.StringIO()) as printed:
    ...     assert main(["theorems", "fejer"]) == 0
    >>> assert "cocoercivity" in printed.getvalue()
    """
    asked = _parser().parse_args(argv)
    try:
        return asked.run(asked)
    except _Refused as refusal:
        return _refuse(refusal)
    except KeyboardInterrupt:
        _refuse("stopped")
        return 130


def _parser():
    parser = argparse.ArgumentParser("gdpure", description="Theorems, as programs that run.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser(
        "check",
        help="try every theorem on an optimizer",
        description="Try every theorem that applies on an optimizer, and report. "
        "The exit status is 0 if all hold, 1 if one is violated, 2 if there was nothing to try.",
    )
    check.add_argument(
        "target",
        metavar="TARGET",
        help="what to check, as module:attribute; the module may lie in this folder "
        "(homework:my_descent) or be installed (optax:sgd)",
    )
    check.add_argument(
        "--only",
        metavar="NAME[,NAME]",
        action="append",
        type=_names,
        help="these theorems or families, instead of all",
    )
    check.add_argument(
        "--method",
        metavar="METHOD",
        help='what to hold it to: "descent", "any", or a gdpure rule as module:attribute whose '
        "recurrence it should follow; by default gradient descent",
    )
    check.add_argument(
        "--platform",
        choices=("cpu", "gpu", "all"),
        help="where; by default where JAX runs",
    )
    check.add_argument(
        "--instances",
        type=_count,
        metavar="N",
        help="how many in each dtype, by default 6144, or 384 where JAX cannot trace the target",
    )
    check.add_argument("--seed", type=_seed, default=0, metavar="N", help="of all that is random")
    check.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="everything as JSON, to a file, or instead of the report; a list with --platform all",
    )
    check.set_defaults(run=_check)
    theorems = commands.add_parser(
        "theorems",
        help="list the theorems",
        description="List all theorems: name, statement, what it assumes, where it is from.",
    )
    theorems.add_argument(
        "name", metavar="NAME", nargs="?", help="one theorem, family or method, instead of all"
    )
    theorems.set_defaults(run=_theorems)
    return parser


def _names(text):
    return [name.strip() for name in text.split(",") if name.strip()]


def _seed(text):
    if not text.isdecimal() or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 2^31 - 1, got {text!r}")
    return int(text)


def _count(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def _refuse(sentence):
    print(f"gdpure: {sentence}", file=sys.stderr)
    return 2


# -- check -----------------------------------------------------------------------------------------


def _check(asked):
    if not find_spec("rich"):
        raise _Refused("checks show their progress by rich: pip install 'gdpure[specs]'")
    file = None if asked.json in (None, "-") else Path(asked.json)
    if file is not None:
        _writable(file)
    # What a stranger's module prints is not part of the report.
    begun = f"importing {asked.target}"
    with _progress(begun) as progress, contextlib.redirect_stdout(sys.stderr):
        subject = _load(asked.target)
        method = asked.method
        if method not in (None, "any", "descent"):
            method = _load(method, "--method")
        reports = _reports(asked, subject, method, progress)
    if asked.json is not None:
        documents = [json.loads(report.to_json()) for report in reports]
        text = json.dumps(documents if asked.platform == "all" else documents[0], indent=2)
        if file is None:
            print(text)
        else:
            file.write_text(text + "\n")
    if asked.json != "-":
        _show("\n\n".join(map(str, reports)), _REPORT)
    return 0 if all(reports) else 1


def _reports(asked, subject, method, progress):
    checks = importlib.import_module("gdpure.specs.optimizer.check")
    platforms, absent = _platforms(asked.platform)
    missing = [f"{platform}: not run, there is none here" for platform in absent]
    if not platforms:
        raise _Refused("; ".join(missing))
    only = [name for names in asked.only for name in names] if asked.only else None
    reports = []
    for k, platform in enumerate(platforms):

        def tell(done, text, k=k):
            progress((k + done) / len(platforms), text)

        try:
            report = checks.check_optimizer(
                subject,
                method=method,
                instances=asked.instances,
                only=only,
                seed=asked.seed,
                platform=platform,
                name=asked.target,
                progress=tell,
            )
        except (TypeError, ValueError) as error:
            raise _own_sentence(error) from error
        reports.append(report)
    last = reports[-1]
    return [*reports[:-1], dataclasses.replace(last, notes=(*last.notes, *missing))]


def _platforms(asked):
    """Return the platforms to run on, and those that were asked for and are not there."""
    import jax

    wanted = {None: [], "all": ["cpu", "gpu"]}.get(asked, [asked])
    absent = []
    for platform in wanted:
        try:
            jax.devices(platform)
        except RuntimeError:
            absent.append(platform)
    return [p for p in wanted if p not in absent] if wanted else [None], absent


def _own_sentence(error):
    """Return the sentence of an error that the checks raised on purpose, else the error."""
    raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    on_purpose = Path(__file__).parent in raised_in.parents
    sentence = str(error).removeprefix("check_optimizer: ")
    if sentence.startswith(("only:", "method ")):
        sentence = f"--{sentence}"
    return _Refused(sentence) if on_purpose else error


def _writable(file):
    try:
        file.open("a").close()  # fails now, not after the check
    except OSError as error:
        raise _Refused(f"--json: cannot write to {file}: {error.strerror or error}") from error


# -- what is checked -------------------------------------------------------------------------------


def _load(target, argument="TARGET") -> Any:
    """Return the object that module:attribute names."""
    module, colon, attribute = target.partition(":")
    path = Path(module)
    if path.suffix == ".py" or len(path.parts) > 1:
        there = f"{path.stem}:{attribute or 'NAME'}"
        raise _Refused(f"{argument} names a module, not a file: write {there}, in its folder")
    if not colon or not all(name.isidentifier() for name in f"{module}.{attribute}".split(".")):
        raise _Refused(f"{argument} must be module:attribute, as in optax:sgd, got {target!r}")
    found = _module(module)
    for k, name in enumerate(attribute.split(".")):
        try:
            found = getattr(found, name)
        except AttributeError:
            here = ".".join([module, *attribute.split(".")[:k]])
            near = difflib.get_close_matches(name, dir(found), 3)
            hint = f"; near it: {', '.join(near)}" if near else ""
            raise _Refused(f"{here} has no attribute {name!r}{hint}") from None
    return found


def _module(name):
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            here = [path.stem for path in Path.cwd().glob("*.py")]
            near = difflib.get_close_matches(name, here, 3)
            hint = f"; near it: {', '.join(near)}" if near else ""
            raise _Refused(
                f"there is no module {error.name!r}, in this folder or installed{hint}"
            ) from None
        raise _Refused(_import_error(name, error)) from error
    except (Exception, SystemExit) as error:  # whatever a stranger's module may raise
        raise _Refused(_import_error(name, error)) from error


def _import_error(name, error):
    """Return what happened while a module was imported, and in which line of it."""
    place = ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f" ({Path(error.filename).name}, line {error.lineno})"
    else:
        frames = traceback.extract_tb(error.__traceback__)
        outside = [f for f in frames if f.filename != __file__ and "importlib" not in f.filename]
        if outside:
            # The line of the module itself, not that of a library which it calls.
            top = next((f for f in outside if f.name == "<module>"), outside[-1])
            place = f" ({Path(top.filename).name}, line {top.lineno})"
    said = error.msg if isinstance(error, SyntaxError) else str(error).partition("\n")[0]
    said = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return f"importing {name} raised {said}{place}"


# -- theorems --------------------------------------------------------------------------------------


def _theorems(asked):
    specs = importlib.import_module("gdpure.specs")
    listing = importlib.import_module("gdpure.specs.listing")
    methods = importlib.import_module("gdpure.specs.theorems.methods").CATALOGUE
    rooms = {name: listing.table(theorems, name) for name, theorems in methods.items()}
    if asked.name is None:
        _show("\n\n".join([listing.table(specs.THEOREMS), *rooms.values()]), _TABLE)
        return 0
    theorems = [(theorem, None) for theorem in specs.THEOREMS]
    theorems += [(theorem, method) for method, known in methods.items() for theorem in known]
    named = [listing.article(*known) for known in theorems if known[0].name == asked.name]
    family = [theorem for theorem in specs.THEOREMS if theorem.family == asked.name]
    found = [rooms[asked.name]] if asked.name in rooms else named
    if not found and not family:
        names = [
            *rooms,
            *(name for theorem, _ in theorems for name in (theorem.name, theorem.family)),
        ]
        near = difflib.get_close_matches(asked.name, dict.fromkeys(names), 3, 0.4)
        hint = f"; near it: {', '.join(near)}" if near else ""
        raise _Refused(f"no theorem, family or method is called {asked.name!r}{hint}")
    _show("\n\n".join(found) if found else listing.table(family), _TABLE)
    return 0


# -- screen ----------------------------------------------------------------------------------------


def _show(text, styles):
    """Print text, in colors where somebody looks at it."""
    if sys.stdout.isatty() and find_spec("rich"):
        from rich.console import Console
        from rich.text import Text

        styled = Text(text)
        for pattern, style in styles.items():
            styled.highlight_regex(f"(?m){pattern}", style)
        Console(highlight=False, soft_wrap=True).print(styled)
    else:
        print(text, flush=True)


@contextlib.contextmanager
def _progress(begun):
    """Yield a function (done, text) that moves a bar, on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
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


if __name__ == "__main__":
    sys.exit(main())
