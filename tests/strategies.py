"""Problems for Hypothesis to draw: few fixed shapes, exact readable numbers, scales apart."""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

SHAPES = [(1, 1), (2, 3), (7, 3)]  # one entry, rank-deficient, tall


class Problem(NamedTuple):
    """A least-squares problem and a start, float32 arrays."""

    X: np.ndarray
    y: np.ndarray
    start: np.ndarray


def arrays(shape):
    """Small integers and halves times one power of two: exact in float32, far from its limits."""
    entries = st.integers(-16, 16).map(lambda k: k / 2)
    scale = st.integers(-6, 6).map(lambda k: 2.0**k)
    return st.builds(
        lambda a, s: (a * s).astype(np.float32),
        hnp.arrays(np.float64, shape, elements=entries),
        scale,
    )


@st.composite
def problems(draw, shapes=tuple(SHAPES)):
    """Least squares of a few shapes; X is not zero, so that it has a step size."""
    n, d = draw(st.sampled_from(shapes))
    X = draw(arrays((n, d)).filter(np.any))
    return Problem(X, draw(arrays((n,))), draw(arrays((d,))))


def fractions(most=2.0):
    """The step size in units of 1/L, in sixteenths."""
    return st.integers(1, round(16 * most) - 1).map(lambda k: k / 16)
