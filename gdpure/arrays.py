"""Arrays: what counts as one, of whatever library it is, and what an error says of it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def describe(x: Any) -> str:
    """Return what an error says of a value: its dtype and shape, or its type and text."""
    if hasattr(x, "dtype") and hasattr(x, "shape"):
        form = f"{x.dtype}[{','.join(map(str, x.shape))}]"
        ours = is_array(x) or isinstance(x, jax.ShapeDtypeStruct)
        return form if ours else f"{_kind(x)} {form}"
    text = repr(x)
    if callable(x) and hasattr(x, "__name__"):
        return f"the function {x.__name__}"
    if len(text) <= 40:
        return f"{type(x).__name__} {text}"
    if isinstance(x, (list, tuple, dict)):
        return f"a {type(x).__name__} of {len(x)}"
    return f"an object of type {_kind(x)}"


def _kind(x: Any) -> str:
    return f"{type(x).__module__}.{type(x).__qualname__}".removeprefix("builtins.")


def is_number(x: Any) -> bool:
    """Whether x is a number or an array of numbers."""
    return is_array(x) or isinstance(x, (int, float, complex))


def is_array(x: Any) -> bool:
    """Whether x is an array of NumPy's or JAX's, or makes itself one of JAX's."""
    return isinstance(x, (jax.Array, np.ndarray, np.generic)) or hasattr(x, "__jax_array__")


# -- arrays of other libraries ---------------------------------------------------------------------


def array(caller: str, name: str, x: Any) -> Any:
    """Return an array of another library as one of NumPy's that JAX takes; all else as it is.

    That of a data frame, say, of a masked array without masks, or of bytes in another order. What
    has gaps or holds anything but numbers is refused.
    """
    if is_plain(x) or isinstance(x, np.generic) or not hasattr(x, "__array__"):
        return x
    if np.ma.is_masked(x):
        where = _first(np.ma.getmaskarray(x))
        raise ValueError(f"{caller}: {name} must be finite, got a masked entry{where}")
    try:
        given = np.asarray(x)
    except Exception:  # some libraries have arrays that they do not hand over
        return x
    if given.dtype == object and not isinstance(x, np.ndarray):  # columns of several dtypes
        for place, entry in np.ndenumerate(given):
            if not is_number(entry):
                raise TypeError(
                    f"{caller}: {name} must be an array of numbers, got {_kind(x)} with "
                    f"{describe(entry)} at {place}"
                )
        given = np.array(given.tolist())
    return given.astype(given.dtype.newbyteorder("="), copy=False)


def is_plain(x: Any) -> bool:
    """Whether x is an array just as JAX takes it."""
    native = type(x) is np.ndarray and x.dtype.isnative and not holds_no_numbers(x)
    return native or isinstance(x, jax.Array)


def holds_no_numbers(x: Any) -> bool:
    """Whether x is an array of NumPy's of text, dates or objects."""
    return isinstance(x, np.ndarray | np.generic) and x.dtype.kind in "OUSMm"


def dtype_of(x: Any) -> Any:
    """Return the dtype of an array inside of JAX: without x64, NumPy's float64 is float32."""
    given = x.dtype if hasattr(x, "dtype") else np.result_type(x)
    return given if isinstance(x, jax.Array) else jax.dtypes.canonicalize_dtype(given)


def remedy(x: Any) -> str:
    """Return how to make an array of numbers of what is none, as an error says it."""
    if isinstance(x, np.ndarray) and x.dtype == object:
        return "; .astype(float) if it holds numbers"
    ways = [name for name in ("toarray", "todense") if hasattr(x, name)]
    return f"; .{ways[0]}() makes it one" if ways else ""


def _first(wrong: np.ndarray) -> str:
    """Return where an array is first True, as an error says it."""
    where = tuple(map(int, np.argwhere(wrong)[0]))
    return f" at {where}" if where else ""


def finite(caller: str, name: str, x: np.ndarray, dtype: Any) -> np.ndarray:
    """Return a NumPy array in another dtype; refuse what is not finite there."""
    with np.errstate(over="ignore"):
        narrow = x.astype(dtype, copy=False)
    if not np.isfinite(narrow).all():
        wrong = ~np.isfinite(narrow)
        got, end = x[wrong][0], jnp.finfo(dtype).max
        hint = f"; {np.dtype(dtype).name} ends at {float(end):.2g}" if np.isfinite(got) else ""
        raise ValueError(f"{caller}: {name} must be finite, got {got}{_first(wrong)}{hint}")
    return narrow


def exact(caller: str, name: str, x: Any, dtype: Any) -> None:
    """Demand integers that a floating-point dtype holds exactly."""
    info = jnp.finfo(dtype)
    largest, limit = max(abs(int(x.min())), abs(int(x.max()))), 2 ** (info.nmant + 1)
    if largest <= limit:
        return
    odd = x // ((x & -x) | (x == 0).astype(x.dtype))  # a power of 2 costs a float no digit
    wrong = abs(odd) > limit
    if wrong.any() or largest > float(info.max):
        got = int(x.ravel()[wrong.argmax()]) if wrong.any() else largest
        raise ValueError(
            f"{caller}: {name} holds the integer {got}, which {np.dtype(dtype).name} does not "
            "represent exactly; scale it, or convert it to floating point yourself"
        )
