"""What a planted bug is; the list of all bugs, and what their kinds claim to be."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Planted(NamedTuple):
    """A subject with one bug.

    Attributes
    ----------
    name, subject
        A function of this folder, which can be imported by its name, and the function itself.
    method
        What it claims to be, as `specs.check_optimizer` takes it.
    kind
        Which part of an optimizer it is: "descent", "step", "gradient", ...
    note
        The bug in one line, with the number of a real one.
    """

    name: str
    subject: Callable
    method: Any
    kind: str
    note: str


PLANTED: list[Planted] = []
METHODS: dict[str, Any] = {}


def bugs(kind, method=None):
    """A decorator that enters functions into the catalogue and leaves them as they are."""
    METHODS[kind] = method

    def enter(subject):
        note = subject.__doc__.splitlines()[0]
        PLANTED.append(Planted(subject.__name__, subject, method, kind, note))
        return subject

    return enter
