"""A recorded run in a table of CSV: a row an iterate, a column a number."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np

from ..targets import Refused
from ..words import near

_COLUMNS = "theta_0, theta_1, ..., value, g_0, g_1, ..."


def read_csv(file: Path) -> dict[str, Any]:
    r"""Return the points, values and gradients of a table, as `certify` takes them.

    Parameters
    ----------
    file
        Its first line names the columns: ``theta_0, theta_1, ...``, and where they were recorded
        ``value`` and ``g_0, g_1, ...``, in any order.

    Returns
    -------
    dict
        ``run`` (N + 1, d); ``values`` (N + 1,) and ``gradients`` (N + 1, d), or None.

    Raises
    ------
    Refused
        If it cannot be read, or is no such table; with the line and the column.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "run.csv"
    ...     _ = file.write_text("theta_0,value\n2,4\n1,1\n")
    ...     found = read_csv(file)
    >>> assert found["run"].tolist() == [[2.0], [1.0]] and found["values"].tolist() == [4.0, 1.0]
    """
    try:
        # What spreadsheets write begins with a mark, which is no part of the first name.
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, strict=True, skipinitialspace=True)
            rows = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    except OSError as error:
        raise Refused(f"cannot read {file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise Refused(f"{file} must be text in UTF-8: {error.reason}") from error
    except csv.Error as error:
        raise Refused(f"{file}, line {reader.line_num}, is no CSV: {error}") from error
    if not rows:
        raise Refused(f"{file} is empty: its first line must name the columns {_COLUMNS}")
    (line, header), *rows = rows
    names = [name.strip() for name in header]
    points, gradients = _named(f"{file}, line {line}", names)
    table = np.array([_numbers(f"{file}, line {k}", names, row) for k, row in rows], np.float64)
    table = table.reshape(len(rows), len(names))
    for k, j in np.argwhere(~np.isfinite(table[:2]))[:1]:
        place = f"{file}, line {rows[k][0]}, column {names[j]}"
        raise Refused(f"{place}: must be finite where a run begins, got {table[k, j]}")
    return {
        "run": table[:, list(map(names.index, points))],
        "values": table[:, names.index("value")] if "value" in names else None,
        "gradients": table[:, list(map(names.index, gradients))] if gradients else None,
    }


def _named(place, names):
    """Return the names of points and of gradients in their order; refuse any others."""
    for k, name in enumerate(names):
        if not re.fullmatch(r"(theta|g)_(0|[1-9][0-9]*)|value", name, re.ASCII):
            hint = near(name, ["value", *(f"{kind}_{i}" for kind in ("theta", "g") for i in "01")])
            raise Refused(
                f"{place}, column {k + 1}: the columns are {_COLUMNS}, got {name!r}{hint}"
            )
        if name in names[:k]:
            raise Refused(f"{place}, column {k + 1}: {name} is there twice")
    points, gradients = (
        sorted((n for n in names if n.startswith(kind)), key=lambda n: int(n.partition("_")[2]))
        for kind in ("theta_", "g_")
    )
    whole = [f"theta_{i}" for i in range(max(len(points), 1))]
    for wanted, found in ((whole, points), ([f"g_{i}" for i in range(len(whole))], gradients)):
        missing = next((name for name in wanted if name not in found), None)
        if missing and (found or wanted is whole):
            raise Refused(f"{place}: there is no column {missing}")
        beyond = next((name for name in found if name not in wanted), None)
        if beyond:
            raise Refused(f"{place}: there is a column {beyond}, and no column theta{beyond[1:]}")
    return points, gradients


def _numbers(place, names, row):
    if len(row) > len(names):
        columns = f"are {len(names)} columns" if len(names) > 1 else "is 1 column"
        raise Refused(f"{place}: there {columns}, got {len(row)} numbers")
    numbers = []
    for name, text in zip(names, [*row, *[""] * (len(names) - len(row))], strict=True):
        try:
            numbers.append(float(text.replace("_", "?")))  # as Python has it, no number of a table
        except ValueError:
            got = repr(text.strip()) if text.strip() else "nothing"
            raise Refused(f"{place}, column {name}: must be a number, got {got}") from None
    return numbers
