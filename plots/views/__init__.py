"""Views: the numbers of figures as plain arrays, by pure JAX functions, without matplotlib."""

from .attraction import Basins, basins
from .certified import Certificate, certificate
from .comparisons import (
    Conditioned,
    Stepped,
    conditioned,
    rules_for,
    scalings,
    stepped,
)
from .convergence import Bound, gaps, proven
from .disagreement import Confusion, confusion
from .examples import Samples, samples
from .fields import (
    Field,
    Minimizers,
    checked_window,
    field,
    inside,
    line,
    lowest,
    minima,
    minimizers,
    of_two_parameters,
    points_of,
    precision,
    window,
    window_of,
)
from .fits import Fits, Modes, fitted, line_data, modes
from .grounds import Ground, ground
from .quotients import Differences, differences
from .stochastic import Race, race
from .sweeps import MomentumPlane, StepSweep, momentum_plane, step_sweep
from .tangents import Tangents
from .tightness import Tightness

__all__ = [  # pyright: ignore[reportUnsupportedDunderAll]
    name for name, it in globals().items() if getattr(it, "__module__", "").startswith(__name__)
]
