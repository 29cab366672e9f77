"""Points, numbers and functions as text: for who reads them, and as Python."""

from __future__ import annotations

import functools
import math
import re
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from ..subjects import name_of
from .functions import Form

FEW = 6  # so many numbers are shown one by one


def digits_of(x: float, error: float) -> str:
    """Return a number with the digits that are known of it, nine at most."""
    if not math.isfinite(error) or abs(x) <= error:
        return "0" if math.isfinite(error) else "?"
    known = math.floor(math.log10(abs(x) / error)) + 1 if error else 9
    return f"{x:.{min(known, 9)}g}"


def _numbers(part):
    if part.ndim == 0:
        return f"{part:.9g}"
    if part.size > FEW:
        first = ", ".join(f"{x:.9g}" for x in part.ravel()[:3])
        return f"({first}, ..., {part.ravel()[-1]:.9g}), {part.size} numbers"
    rows = part.reshape(len(part), -1) if part.ndim > 1 else [part]
    return f"({'; '.join(', '.join(f'{x:.9g}' for x in row) for row in rows)})"


def text_of(form: Form, x) -> str:
    """Return a point, shape (d,), as one reads it."""
    parts = zip(form.paths, form.parts(x), strict=True)
    return ", ".join(f"{path}{': ' if path else ''}{_numbers(part)}" for path, part in parts)


# -- Python ----------------------------------------------------------------------------------------


class _Source(str):
    """Text that shows itself as it is: a tree of them shows itself as Python."""

    __repr__ = str.__str__


def source_of(form: Form, x) -> str:
    """Return the Python that makes parameters."""
    leaves = []
    for part, dtype, module in zip(form.parts(x), form.dtypes, form.modules, strict=True):
        name = "np" if module is np and dtype != jnp.bfloat16 else "jnp"
        leaves.append(_Source(f'{name}.array({part.tolist()}, "{dtype.name}")'))
    return repr(jax.tree.unflatten(form.structure, leaves))


def import_of(target: Callable, role: str) -> tuple[str, list[str]]:
    """Return what a function is called in Python, and the lines that make it known."""
    name = name_of(target)
    module, _, attribute = name.partition(":")
    if attribute and module != "__main__" and module in sys.modules:
        parts = attribute.split(".")
        place = functools.reduce(
            lambda at, part: getattr(at, part, None), parts, sys.modules[module]
        )
        if place is target:
            return attribute, [f"from {module} import {parts[0]}"]
    return role, [f"# {name} has no name to import it by: put it here as `{role}`"]


_IMPORTS = {
    "jax": "import jax",
    "jnp": "import jax.numpy as jnp",
    "np": "import numpy as np",
    "ravel_pytree": "from jax.flatten_util import ravel_pytree",
}


def program(form: Form, lines: list[str]) -> str:
    """Return Python that imports what its lines use, and computes in the precision of a point."""
    if form.double and any(re.search(r"\bj(ax|np)\.", line) for line in lines):
        lines = ['jax.config.update("jax_enable_x64", True)', *lines]
    text = "\n".join(lines)
    used = [line for name, line in _IMPORTS.items() if re.search(rf"\b{name}[.(]", text)]
    return "\n".join([*used, text])
