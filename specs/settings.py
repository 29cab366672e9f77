"""Settings: what ``[tool.gdpure]`` in a pyproject.toml says of targets.

::

    [tool.gdpure.check."mypackage.optim:my_descent"]
    method = "descent"
    expected-failures = { value-rate = "not proven" }

    [tool.gdpure.check."mypackage.model:gradient"]
    gradient-of = "mypackage.model:cost"
    at = "1,2,3"
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import listing
from .targets import Refused, Target, is_pattern, load, named, one, point
from .words import listed, near


@dataclass(frozen=True)
class Settings:
    """What is said of one target.

    Attributes
    ----------
    method
        "descent", "any", the target that is a rule, or None.
    expected
        Names of theorems, and why each may be broken.
    gradient_of, at
        The function whose gradient the target is, and the point: numbers or a target; or None.
    place
        Where that is written, to begin a sentence with.
    """

    method: str | Target | None = None
    expected: Mapping[str, str] = field(default_factory=dict)
    gradient_of: Target | None = None
    at: Target | float | list[float] | None = None
    place: str = ""

    def rule(self) -> Any:
        """Return the method, imported where it is a target."""
        return load(self.method) if isinstance(self.method, Target) else self.method

    @property
    def arguments(self) -> dict[str, str]:
        """What arguments of the checks are called in the file."""
        return {
            "method": f"{self.place}.method",
            "expected_failures:": f"{self.place}.expected-failures:",
            "f": f"{self.place}.gradient-of",
            "at": f"{self.place}.at",
        }


@dataclass(frozen=True)
class Project:
    """The folder of a pyproject.toml, and what it says of targets, in its order.

    Files are relative to the current folder, as on the command line.
    """

    folder: Path = Path()
    check: Mapping[Target, Settings] = field(default_factory=dict)

    def of(self, target: Target) -> Settings:
        """Return what is said of a target, however it is named."""
        same = [known for known in self.check if self._thing(known) == self._thing(target)]
        same.sort(key=lambda known: bool(known.file) != bool(target.file))
        return self.check[same[0]] if same else Settings()

    def _thing(self, target):
        """Return the file of a target, that of its module if one is beside, and the attribute."""
        inside = target.place.replace(".", "/")
        beside = (
            folder / f"{inside}{end}"
            for folder in (Path(), self.folder)
            for end in (".py", "/__init__.py")
        )
        file = target.file or next(filter(Path.is_file, beside), None)
        return file.resolve() if file else target.place, target.attribute


def read(folder: Path) -> Project:
    """Return what a pyproject.toml says: of the folder, or of the nearest above with such a table.

    Raises
    ------
    Refused
        If it has keys, names or values that mean nothing; with the file and the key.

    Examples
    --------
    >>> assert not read(Path("/")).check
    """
    for above in (folder, *folder.parents):
        file = above / "pyproject.toml"
        if not file.is_file():
            continue
        place = os.path.relpath(file, folder)
        try:
            whole = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise Refused(f"{place} cannot be read: {error}") from error
        tool = _table(f"{place}: tool", whole.get("tool", {}))
        if "gdpure" not in tool:
            continue
        ours = _table(f"{place}: tool.gdpure", tool["gdpure"], ["check"])
        every = f"{place}: tool.gdpure.check"
        listed = _table(every, ours.get("check", {}))
        return Project(above, _targets(listed, every, Path() if above == folder else above))
    return Project()


def _targets(listed, every, folder):
    found = {}
    for name, said in listed.items():
        place = f'{every}."{name}"'
        settings = _settings(said, place, folder)
        every_file = is_pattern(one(name, place, folder))
        for target in named(name, place, folder):
            if target not in found or not every_file:  # what is said of one file wins
                found[target] = settings
    return found


def _settings(said, place, folder):
    said = _table(place, said, ["method", "expected-failures", "gradient-of", "at"])
    method, text = said.get("method"), f"{place}.method"
    if method is not None and not isinstance(method, str):
        raise Refused(f'{text} must be "descent", "any" or a rule, got {_kind(method)}')
    if method not in (None, "descent", "any"):
        method = one(method, text, folder)
    text = f"{place}.expected-failures"
    expected = _table(text, said.get("expected-failures", {}))
    names = [theorem.name for theorem, _ in listing.known()]
    for name, reason in expected.items():
        if name not in names:
            raise Refused(f"{text}: no theorem is called {name!r}{near(name, names)}")
        if not isinstance(reason, str) or not reason.strip():
            got = "an empty one" if isinstance(reason, str) else _kind(reason)
            raise Refused(f"{text}.{name} must be the reason, a text, got {got}")
    found = {}
    for key, read in (("gradient-of", one), ("at", point)):
        known = said.get(key)
        if known is not None and not isinstance(known, str):
            raise Refused(f"{place}.{key} must be a text, got {_kind(known)}")
        found[key] = None if known is None else read(known, f"{place}.{key}", folder)
    return Settings(method, expected, found["gradient-of"], found["at"], place)


def _table(place, found, keys=None) -> dict[str, Any]:
    """Return a table of TOML; refuse what is none, and keys that mean nothing."""
    if not isinstance(found, dict):
        raise Refused(f"{place} must be a table, got {_kind(found)}")
    for key in found:
        if keys is not None and key not in keys:
            known = f"key of it is {keys[0]}" if len(keys) == 1 else f"keys are {listed(keys)}"
            raise Refused(f"{place} has no key {key!r}; the {known}")
    return found


def _kind(found):
    names = {bool: "a boolean", dict: "a table", list: "an array", str: "a text"}
    return names.get(type(found), f"{found}")
