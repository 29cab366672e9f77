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

__all__ = [
    "Basins",
    "Bound",
    "Certificate",
    "Conditioned",
    "Confusion",
    "Differences",
    "Field",
    "Fits",
    "Ground",
    "Minimizers",
    "Modes",
    "MomentumPlane",
    "Race",
    "Samples",
    "StepSweep",
    "Stepped",
    "Tangents",
    "Tightness",
    "basins",
    "certificate",
    "checked_window",
    "conditioned",
    "confusion",
    "differences",
    "field",
    "fitted",
    "gaps",
    "ground",
    "inside",
    "line",
    "line_data",
    "lowest",
    "minima",
    "minimizers",
    "modes",
    "momentum_plane",
    "of_two_parameters",
    "points_of",
    "precision",
    "proven",
    "race",
    "rules_for",
    "samples",
    "scalings",
    "step_sweep",
    "stepped",
    "window",
    "window_of",
]
