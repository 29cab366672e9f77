"""The public names, which `import gdpure` gives; they are imported when one is asked for."""

from gdpure import landscapes, rules, schedules, stochastic
from gdpure.adapters import observe
from gdpure.descent import (
    Descent,
    History,
    State,
    Status,
    advance,
    begin,
    descend,
    minimize,
    sweep,
)
from gdpure.gradients import analytic, central, forward, per_sample, reverse
from gdpure.linear_models import least_squares, logistic, with_intercept
from gdpure.objectives import (
    Facts,
    Objective,
    empirical_risk,
    facts,
    unpack,
)
from gdpure.quadratics import as_quadratic, closed_form, quadratic
from gdpure.rules import (
    Backtracking,
    BarzilaiBorwein,
    Constant,
    ExactLineSearch,
    HeavyBall,
    Nesterov,
    Polyak,
)
from gdpure.stochastic import stochastic_descend

__all__ = [
    "Backtracking",
    "BarzilaiBorwein",
    "Constant",
    "Descent",
    "ExactLineSearch",
    "Facts",
    "HeavyBall",
    "History",
    "Nesterov",
    "Objective",
    "Polyak",
    "State",
    "Status",
    "advance",
    "analytic",
    "as_quadratic",
    "begin",
    "central",
    "closed_form",
    "descend",
    "empirical_risk",
    "facts",
    "forward",
    "landscapes",
    "least_squares",
    "logistic",
    "minimize",
    "observe",
    "per_sample",
    "quadratic",
    "reverse",
    "rules",
    "schedules",
    "stochastic",
    "stochastic_descend",
    "sweep",
    "unpack",
    "with_intercept",
]
