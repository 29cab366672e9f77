"""The command line: ``gdpure check TARGET ...``, ``gdpure certify FILE``, ``gdpure theorems``."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

from . import checking, listing, screen, settings, targets
from .targets import Refused
from .theorems import THEOREMS
from .theorems.facts import FACTS
from .theorems.methods import CATALOGUE
from .words import apart, marked, near, wrapped

_FEW = 3  # so many subjects have a report each, more have a line each


def main(argv: list[str] | None = None) -> int:
    """Run ``check``, ``certify`` or ``theorems`` and return the exit status.

    Parameters
    ----------
    argv
        The arguments, by default those of the process.

    Returns
    -------
    int
        0 if all is well, 1 if a theorem or a law is violated or nothing was tested, 2 if the
        command cannot be carried out.

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
    except Refused as refusal:
        return _refuse(f"{asked.command}: {refusal}")
    except KeyboardInterrupt:
        _refuse(f"{asked.command}: stopped")
        return 130


def _parser():
    parser = argparse.ArgumentParser("gdpure", description="Theorems, as programs that run.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    check = commands.add_parser(
        "check",
        help="try every theorem on optimizers, objectives or gradients",
        description="Try every theorem that applies on optimizers, on what objectives "
        "(gd.Objective) claim, or on gradients, and report. "
        "The exit status is 0 if all hold, 1 if one is violated, 2 if a target cannot be tried.",
    )
    check.add_argument(
        "targets",
        metavar="TARGET",
        nargs="*",
        help="what to check, as module:attribute of this folder or of what is installed "
        "(optax:sgd), or as FILE.py:attribute, where * stands for any name "
        "('submissions/*.py:my_descent'); by default those that [tool.gdpure.check] of "
        "pyproject.toml lists; of more than three, a line each",
    )
    check.add_argument(
        "--only",
        metavar="NAME[,NAME]",
        action="append",
        type=_names,
        help="these theorems or families, instead of all",
    )
    check.add_argument(
        "--gradient-of",
        metavar="TARGET",
        help="the function that every target is said to be the gradient of, at a point",
    )
    check.add_argument(
        "--at",
        metavar="POINT",
        help="that point, or one of an objective: numbers of float64 as 1,2,3 (--at=-1,2 where "
        "the first is negative), or module:attribute; by default what pyproject.toml says",
    )
    check.add_argument(
        "--method",
        metavar="METHOD",
        help='what to hold it to: "descent", "any", or a gdpure rule as module:attribute whose '
        "recurrence it should follow; by default what pyproject.toml says, or gradient descent",
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
    several = "; a list unless it is one TARGET without * on one platform"
    _add_json(check, f"the report{several}")
    check.set_defaults(run=_check, error=check.error)
    certify = commands.add_parser(
        "certify",
        help="say what a recorded run obeys",
        description="Say which laws of gradient descent a recorded run obeys, where it first broke "
        "one, and why. The exit status is 0 if it breaks none, 1 if it does, 2 if it cannot be "
        "read.",
    )
    certify.add_argument(
        "file",
        metavar="FILE.csv",
        type=Path,
        help="a row an iterate; its first line names the columns: theta_0, theta_1, ..., and, "
        "where they were recorded, value and g_0, g_1, ...",
    )
    certify.add_argument(
        "--objective",
        metavar="TARGET",
        help="the function of theta, as module:attribute or FILE.py:attribute; without it, only "
        "what needs none is judged",
    )
    certify.add_argument(
        "--step-size", type=float, metavar="ETA", help="by default inferred from the rows"
    )
    _add_json(certify, "the certificate")
    certify.set_defaults(run=_certify)
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


def _add_json(parser, instead):
    says = f"everything as JSON, to a file, or instead of {instead}"
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE", help=says)


def _names(text):
    return [name.strip() for name in text.split(",") if name.strip()]


def _seed(text):
    return _whole(text, range(2**31), "from 0 to 2^31 - 1")


def _count(text):
    return _whole(text, range(1, sys.maxsize), "of at least 1")


def _whole(text, allowed, words):
    if not text.isdecimal() or int(text) not in allowed:
        raise argparse.ArgumentTypeError(f"must be a whole number {words}, got {text!r}")
    return int(text)


def _refuse(sentence):
    print(f"gdpure {sentence}", file=sys.stderr)
    return 2


# -- check -----------------------------------------------------------------------------------------


def _check(asked):
    if not find_spec("rich"):
        raise Refused("checks show their progress by rich: pip install 'gdpure[specs]'")
    file = _json_file(asked)
    here = Path.cwd()
    project = settings.read(here)
    chosen = [known for text in asked.targets for known in targets.named(text, "TARGET")]
    chosen = list(dict.fromkeys(chosen or project.check))
    if not chosen:
        asked.error("say what to check: TARGET, or tables in [tool.gdpure.check] of pyproject.toml")
    where, options = _platforms(asked.platform), _options(asked)
    several, outcomes = _several(asked), []
    beside = [t.folder for t in (options.gradient_of, options.at) if isinstance(t, targets.Target)]
    for folder, together in itertools.groupby(chosen, lambda target: target.folder):
        with targets.importable(folder, here, project.folder, *beside):
            for target in together:
                outcomes.append(_tried(options, target, project.of(target), where))
                if outcomes[-1].refused and not several:
                    raise Refused(outcomes[-1].refused)
                if asked.json != "-":
                    _tell(asked, outcomes, chosen)
    if asked.json is not None:
        documents = [document for outcome in outcomes for document in outcome.documents()]
        _write(json.dumps(documents if several else documents[0], indent=2), file)
    if any(outcome.refused for outcome in outcomes):
        return 2
    return 0 if all(all(outcome.reports) for outcome in outcomes) else 1


def _options(asked):
    """Return what was typed, read as targets and numbers where it names them."""
    method = asked.method
    if method not in (None, "any", "descent"):
        method = targets.one(method, "--method")
    of, at = asked.gradient_of, asked.at
    return checking.Asked(
        [name for names in asked.only for name in names] if asked.only else None,
        method,
        asked.instances,
        asked.seed,
        None if of is None else targets.one(of, "--gradient-of"),
        None if at is None else targets.point(at, "--at"),
    )


def _several(asked):
    """Return whether several reports are asked for, however many there are."""
    return (
        len(asked.targets) != 1
        or asked.platform == "all"
        or targets.is_pattern(targets.one(asked.targets[0], "TARGET"))
    )


def _tell(asked, outcomes, chosen):
    """Show the last outcome: a line of a table if there are many, else all of it."""
    last = outcomes[-1]
    if len(chosen) > _FEW:
        screen.show(last.lines(max(len(str(target)) for target in chosen)))
        if len(outcomes) == len(chosen):
            more = (
                f"{listing.summary(outcomes)}; {_again(asked, 'TARGET')} says all about one of them"
            )
            screen.show(marked(wrapped(more)))
    elif last.refused:
        _refuse(f"{asked.command}: {last.refused}")
    else:
        reports = [report.lines(_again(asked, last.name)) for report in last.reports]
        screen.show(apart(reports if len(outcomes) == 1 else [[], *reports]))


def _again(asked, name):
    """Return the command for one target, with what was typed of where, how and with which seed."""
    typed = {
        "--gradient-of": asked.gradient_of,
        "--at": asked.at,
        "--method": asked.method,
        "--platform": asked.platform,
        "--instances": asked.instances,
        "--seed": asked.seed or None,
    }
    known = {option: str(value) for option, value in typed.items() if value is not None}
    # What begins with a minus is else taken for an option.
    pairs = [[f"{o}={v}"] if v.startswith("-") else [o, v] for o, v in known.items()]
    return shlex.join(["gdpure", "check", name, *itertools.chain(*pairs)])


def _tried(options, target, said, where):
    """Return what comes of a target, on all platforms."""
    (platforms, missing), reports = where, []
    # What a stranger's module prints is not part of the report.
    with screen.progress(f"importing {target}") as progress:
        with contextlib.redirect_stdout(sys.stderr):
            try:
                for k, platform in enumerate(platforms):

                    def tell(done, text, k=k):
                        progress((k + done) / len(platforms), text)

                    reports.append(checking.report_on(target, said, options, platform, tell))
            except Refused as refusal:
                return listing.Outcome(str(target), [], str(refusal))
    last = reports[-1]
    reports[-1] = dataclasses.replace(last, notes=(*last.notes, *missing))
    return listing.Outcome(str(target), reports)


def _platforms(asked):
    """Return the platforms to run on, and sentences on those that are not there."""
    import jax

    wanted = {None: [], "all": ["cpu", "gpu"]}.get(asked, [asked])
    found, missing = [], []
    for platform in wanted:
        try:
            jax.devices(platform)
            found.append(platform)
        except RuntimeError:
            missing.append(f"{platform}: not run, there is none here")
    if wanted and not found:
        raise Refused("; ".join(missing))
    return found or [None], missing


# -- certify ---------------------------------------------------------------------------------------


def _certify(asked):
    from .run.certify import certify
    from .run.table import read_csv

    file, here = _json_file(asked), Path.cwd()
    recorded, target = read_csv(asked.file), None
    if asked.objective is not None:
        target = targets.one(asked.objective, "--objective")
    # What a stranger's module prints is no part of the certificate.
    folders = (here, *([target.folder] if target else []))
    with targets.importable(*folders), contextlib.redirect_stdout(sys.stderr):
        objective = targets.load(target) if target else None
        try:
            certificate = certify(objective, step_size=asked.step_size, **recorded)
        except (TypeError, ValueError) as error:
            own = targets.own_sentence(error, {"step_size": "--step-size"})
            own = Refused(f"{asked.file}: {own}") if isinstance(own, Refused) else own
            raise own from error
    if asked.json != "-":
        print(certificate)
    if asked.json is not None:
        _write(certificate.to_json(), file)
    return 0 if certificate else 1


# -- JSON ------------------------------------------------------------------------------------------


def _json_file(asked):
    """Return the file that JSON goes to, or None: it fails now, not after all the work."""
    if asked.json in (None, "-"):
        return None
    file = Path(asked.json)
    try:
        file.open("a").close()
    except OSError as error:
        raise Refused(f"--json: cannot write to {file}: {error.strerror or error}") from error
    return file


def _write(text, file):
    if file is None:
        print(text)
    else:
        file.write_text(text + "\n")


# -- theorems --------------------------------------------------------------------------------------


def _theorems(asked):
    rooms = {name: listing.table(theorems, name) for name, theorems in CATALOGUE.items()}
    rooms["facts"] = listing.table(FACTS, "facts")
    if asked.name is None:
        screen.show(apart([listing.table(THEOREMS), *rooms.values()]))
        return 0
    theorems = listing.known()
    named = [listing.article(*known) for known in theorems if known[0].name == asked.name]
    family = [theorem for theorem in THEOREMS if theorem.family == asked.name]
    named += [listing.table([fact], "facts") for fact in FACTS if fact.name == asked.name]
    found = [rooms[asked.name]] if asked.name in rooms else named
    if not found and not family:
        names = [name for theorem, _ in theorems for name in (theorem.name, theorem.family)]
        hint = near(asked.name, [*rooms, *names])
        raise Refused(f"no theorem, family or method is called {asked.name!r}{hint}")
    screen.show(apart(found) if found else listing.table(family))
    return 0


if __name__ == "__main__":
    sys.exit(main())
