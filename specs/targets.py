"""Targets: what the command is pointed at, ``module:attribute`` or ``FILE.py:attribute``."""

from __future__ import annotations

import contextlib
import glob
import importlib
import keyword
import os
import re
import sys
import traceback
from collections.abc import Mapping
from importlib import util
from pathlib import Path
from typing import Any, NamedTuple

from gdpure import guards

from .words import near


class Refused(Exception):
    """One sentence for who typed the command."""


class Target(NamedTuple):
    """An attribute of a module or of a file, as it was named: the place of a file ends in .py."""

    place: str
    attribute: str

    def __str__(self):
        """Return what one types."""
        return f"{self.place}:{self.attribute}"

    @property
    def file(self) -> Path | None:
        """The file, relative to the current folder, or None."""
        return Path(self.place) if self.place.endswith(".py") else None

    @property
    def folder(self) -> Path:
        """The folder from which it is imported: that of the file, or the current one."""
        return (self.file.parent if self.file else Path()).resolve()


def as_target(text: str) -> Target | None:
    r"""Return what a text names, or None if it names nothing.

    Examples
    --------
    >>> assert as_target("optax:sgd") == ("optax", "sgd")
    >>> assert as_target(r"C:\class\anna.py:my_descent").file.suffix == ".py"
    >>> assert as_target("optax:sgd(0.1)") is None
    """
    place, _, attribute = text.rpartition(":")
    names = attribute.split(".") if place.endswith(".py") else f"{place}.{attribute}".split(".")
    return Target(place, attribute) if all(map(str.isidentifier, names)) else None


def one(text: str, argument: str, folder: Path = Path()) -> Target:
    """Return what an argument names; its files are relative to a folder.

    Raises
    ------
    Refused
        If it names nothing.
    """
    found = as_target(text)
    if found is None:
        raise Refused(
            f"{argument} must be module:attribute, as in optax:sgd, or FILE.py:attribute, got "
            f"{text!r}"
        )
    if found.file is None or folder == Path():
        return found
    return found._replace(place=os.path.relpath(folder / found.place))


def named(text: str, argument: str, folder: Path = Path()) -> list[Target]:
    """Return all that an argument names, sorted: of a pattern, every file there is.

    Raises
    ------
    Refused
        If it names nothing.
    """
    found = one(text, argument, folder)
    if not is_pattern(found):
        return [found]
    files = [name for name in glob.glob(found.place, recursive=True) if name.endswith(".py")]
    if not files:
        raise Refused(f"{argument}: there is no file {found.place}")
    return [found._replace(place=file) for file in sorted(files)]


def point(text: str, argument: str, folder: Path = Path()) -> Target | float | list[float]:
    """Return a point: numbers as they were typed, one of them alone without a list, or a target.

    Raises
    ------
    Refused
        If it is neither.

    Examples
    --------
    >>> assert point("1, 2", "--at") == [1.0, 2.0] and point("3", "--at") == 3.0
    >>> assert point("cost:start", "--at") == Target("cost", "start")
    """
    try:
        numbers = [float(part) for part in text.removesuffix(",").split(",")]
    except ValueError:
        if as_target(text) is not None:
            return one(text, argument, folder)
        raise Refused(
            f"{argument} must be numbers, as in 1,2,3, or a point as module:attribute, got {text!r}"
        ) from None
    return numbers if "," in text else numbers[0]


def is_pattern(target: Target) -> bool:
    """Return whether it stands for any number of files."""
    file = target.file
    return file is not None and glob.escape(str(file)) != str(file) and not file.exists()


# -- what is imported ------------------------------------------------------------------------------


@contextlib.contextmanager
def importable(*folders: Path):
    """Import from some folders before all others; forget, in the end, what came from there.

    So modules of one name do not meet that lie in several folders, as every homework.py does.
    """
    path, here, before = list(sys.path), os.getcwd(), set(sys.modules)
    roots = list(dict.fromkeys(folder.resolve() for folder in folders))
    sys.path[:0] = map(str, roots)
    try:
        yield
    finally:
        sys.path[:] = path
        os.chdir(here)
        new = set(sys.modules) - before
        own = {name for name in new if "." not in name and _lies_in(sys.modules[name], roots)}
        for name in new:
            if name.partition(".")[0] in own:
                del sys.modules[name]


def _lies_in(module, folders):
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(place and Path(place).parent.resolve() in folders for place in places)


def load(target: Target) -> Any:
    """Return the object that a target names, of a folder that is `importable`.

    Raises
    ------
    Refused
        If it cannot be imported, or is not there.
    """
    found = _module(target)
    names = target.attribute.split(".")
    for k, name in enumerate(names):
        try:
            found = getattr(found, name)
        except AttributeError:
            here = Target(target.place, ".".join(names[:k])) if k else target.place
            hint = near(name, dir(found))
            raise Refused(f"{here} has no attribute {name!r}{hint}") from None
    return found


def _module(target):
    place, file = target.place, target.file
    if file is not None and not file.is_file():
        hint = near(file.name, [other.name for other in file.parent.glob("*.py")])
        raise Refused(f"there is no file {file}{hint}")
    try:
        return importlib.import_module(place) if file is None else _from_file(file.resolve())
    except (Exception, SystemExit) as error:  # whatever a stranger's module may raise
        missing = isinstance(error, ModuleNotFoundError) and error.name
        if file is None and missing and f"{place}.".startswith(f"{missing}."):
            hint = near(place, [other.stem for other in Path.cwd().glob("*.py")])
            raise Refused(
                f"there is no module {missing!r}, in this folder or installed{hint}"
            ) from None
        raise Refused(_import_error(place, error)) from error


def _from_file(file):
    """Return the module of a file, under the name that its neighbors know, if it is free."""
    module = sys.modules.get(file.stem)
    if module is not None and getattr(module, "__file__", None) == str(file):
        return module
    taken = module is not None or not _has_a_name(file)
    spec = util.spec_from_file_location(re.sub(r"\W", "_", str(file)) if taken else file.stem, file)
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(spec.name, None)
        raise
    return module


def _has_a_name(file):
    """Return whether a file can be imported by its name, from its folder."""
    name = file.stem
    reserved = keyword.iskeyword(name) or name in sys.stdlib_module_names
    return name.isidentifier() and not reserved


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
    if "relative import with no known parent" in said:
        place += "; name what lies in a package as package.module:attribute"
    return f"importing {name} raised {said}{place}"


def raised_in(error: BaseException, *places: Target) -> bool:
    """Return whether an error comes from the file of a target, or from what it calls."""
    modules = [sys.modules.get(target.place) for target in places if target.file is None]
    files = [str(target.file.resolve()) for target in places if target.file is not None]
    files += [module.__file__ for module in modules if module is not None]
    return any(frame.filename in files for frame in traceback.extract_tb(error.__traceback__))


def importing(target: Target) -> list[str]:
    """Return lines of Python that import a target, to be run where it was named.

    Examples
    --------
    >>> importing(Target("homework.py", "my_descent"))
    ['from homework import my_descent']
    >>> importing(Target("class/anna.py", "my_descent"))
    ["import sys; sys.path.insert(0, 'class')", 'from anna import my_descent']
    """
    name, file = target.attribute.split(".")[0], target.file
    if file is None:
        return [f"from {target.place} import {name}"]
    here = file.parent == Path()
    lines = [] if here else [f"import sys; sys.path.insert(0, {str(file.parent)!r})"]
    if _has_a_name(file):
        return [*lines, f"from {file.stem} import {name}"]
    return [*lines, f"import runpy; {name} = runpy.run_path({str(file)!r})[{name!r}]"]


# -- what is refused on purpose --------------------------------------------------------------------


def own_sentence(error: Exception, arguments: Mapping[str, str]) -> Exception:
    """Return the sentence of an error that gdpure raised on purpose, else the error.

    An argument with which it begins is called as it was named, on the command line or in a file.

    Examples
    --------
    >>> error = ValueError("certify: step_size must be finite")
    >>> assert own_sentence(error, {"step_size": "--step-size"}) is error  # not raised by gdpure
    """
    frames = traceback.extract_tb(error.__traceback__)
    raised_in = Path(frames[-1].filename) if frames else Path()
    sentence = re.sub(r"^(check_(optimizer|gradient|objective)|certify): ", "", str(error))
    guarded = raised_in == Path(guards.__file__) and sentence != str(error)
    if not guarded and Path(__file__).parent not in raised_in.parents:
        return error
    named = re.compile(r"\w+:?(?=[ \[])")
    return Refused(named.sub(lambda m: arguments.get(m[0], m[0]), sentence, count=1))
