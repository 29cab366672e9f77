"""The gallery: every figure on the data of the lesson, as it lies in `reference/`.

All is computed in float64; windows and data are lopsided, so that nothing which is transposed or
mirrored looks the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd

from .. import plots
from .palette import Theme
from .views.convergence import cast

_START = (2.0, 2.0)


def draw(name: str, theme: Theme = "light", size: str = "page") -> Any:
    """Return a figure of the gallery by its name, in float64.

    Raises
    ------
    ValueError
        If there is none of that name.

    Examples
    --------
    >>> fig = draw("descent")
    >>> assert len(fig.axes) == 1
    """
    if name not in GALLERY:
        raise ValueError(f"gallery: no figure is called {name!r}; they are {', '.join(GALLERY)}")
    with jax.enable_x64(True):
        options = {"window": _WINDOWS[name]} if name in _WINDOWS else {}
        drawn = GALLERY[name](theme=theme, size=size, **options)
    return drawn if hasattr(drawn, "savefig") else drawn.figure


def _cost(x=(1.0, 2.0, 3.0)):
    return gd.least_squares(gd.with_intercept(jnp.array(x)), jnp.array([1.0, 2.2, 2.8]))


def _run(h, steps, start=_START):
    return _from(start, h / gd.facts(_cost()).smoothness, steps)


def _from(start, step_size, steps):
    f = _cost()
    return f, gd.descend(f, jnp.array(start), step_size, steps=steps)


def _in_numpy(X, y, eta, steps):
    """Return a descent on least squares, operation by operation.

    Every processor rounds it alike, down to where nothing but rounding is left; XLA takes sums of
    products for one operation where there is one.
    """
    points = np.full((steps + 1, X.shape[1]), _START, X.dtype)
    for k in range(steps):
        residual = (X * points[k]).sum(1) - y
        points[k + 1] = points[k] - eta * (2 * X * residual[:, None]).mean(0)
    return points


def _certificate(**look):
    f = cast(_cost(), jnp.float32)
    X, y = (np.asarray(leaf) for leaf in f.data)
    eta = np.float32(1 / gd.facts(f).smoothness)
    return plots.certificate(f, _in_numpy(X, y, eta, 900), step_size=eta, **look)


def _on_parabola():
    f = gd.Objective(_parabola, jnp.array(0.4), facts=gd.Facts(2.0, 2.0, 2.0, 0.4, 0.1))
    return f, gd.descend(f, jnp.array(2.0), 1.7 / 2, steps=6)


def _parabola(x, middle):
    return (x - middle) ** 2 + 0.1


def _curved(t):
    return jnp.log1p(jnp.exp(-t)) + 0.5 * jnp.sin(3 * t)


_AROUND_0 = (-1.0, 0.0, 1.0)
_PROBES = ((0.45, 0.2), (3.55, 2.35), (2.95, -0.7))
_WINDOWS = {
    "landscape": [[-1.6, 2.0], [-0.9, 2.7]],
    "per_sample": [[-0.2, 4.0], [-1.2, 3.0]],
    "gd_vs_sgd": [[-0.15, 2.85], [-0.85, 1.75]],
    "step_rules": [[-2.0, 0.6], [0.5, 2.4]],
    "basins": [[-5.2, 4.8], [-4.6, 5.4]],
}

GALLERY: dict[str, Callable[..., Any]] = {
    "tangents": lambda **o: plots.tangents(*_on_parabola(), **o),
    "landscape": lambda **o: plots.landscape(_cost(), title="mean cost of three examples", **o),
    "one_step": lambda **o: plots.one_step(
        _cost(), jnp.array(_START), 1.5 / gd.facts(_cost()).smoothness, **o
    ),
    "descent": lambda **o: plots.descent(*_run(1.75, 20), **o),
    "convergence": lambda **o: plots.convergence(*_run(1.0, 300), **o),
    "certificate": _certificate,
    "tightness": lambda **o: plots.tightness(**o),
    "step_sweep": lambda **o: plots.step_sweep(_cost(), jnp.array(_START), **o),
    "per_sample": lambda **o: plots.per_sample(_cost(_AROUND_0), jnp.array(_PROBES), **o),
    "gd_vs_sgd": lambda **o: plots.gd_vs_sgd(_cost(_AROUND_0), jnp.array([0.1, -0.55]), **o),
    "gradient_check": lambda **o: plots.gradient_check(_curved, 0.6875, **o),
    "fit_and_parameters": lambda **o: plots.fit_and_parameters(*_from([-0.6, 2.2], 0.09, 100), **o),
    "conditioning": lambda **o: plots.conditioning(_cost(), **o),
    "step_rules": lambda **o: plots.step_rules(_cost(), jnp.array([-1.7, 2.1]), steps=16, **o),
    "modes": lambda **o: plots.convergence(*_from([2.0, 1.5], 0.16, 60), modes=True, **o),
    "basins": lambda **o: plots.basins(gd.landscapes.himmelblau, **o),
    "momentum_plane": lambda **o: plots.momentum_plane(_cost(), **o),
}

FUNCTIONS = {name: getattr(plots, name, plots.convergence) for name in GALLERY}
