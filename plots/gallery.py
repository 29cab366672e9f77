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

from .figures.basins import basins
from .figures.certificate import certificate
from .figures.comparisons import conditioning, step_rules
from .figures.convergence import convergence
from .figures.differences import gradient_check
from .figures.fits import fit_and_parameters
from .figures.landscapes import landscape
from .figures.maps import descent
from .figures.samples import per_sample
from .figures.steps import one_step
from .figures.stochastic import gd_vs_sgd
from .figures.sweeps import momentum_plane, step_sweep
from .figures.tangents import tangents
from .figures.tightness import tightness
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
        drawn = GALLERY[name](theme=theme, size=size)
    return drawn if hasattr(drawn, "savefig") else drawn.figure


def _cost(x=(1.0, 2.0, 3.0)):
    return gd.least_squares(gd.with_intercept(jnp.array(x)), jnp.array([1.0, 2.2, 2.8]))


def _run(h, steps, start=_START):
    f = _cost()
    return f, gd.descend(f, jnp.array(start), h / gd.facts(f).smoothness, steps=steps)


def _landscape(**look):
    window = [[-1.6, 2.0], [-0.9, 2.7]]
    return landscape(_cost(), window, title="mean cost of three examples", **look)


def _tangents(**look):
    f = gd.Objective(_parabola, jnp.array(0.4), facts=gd.Facts(2.0, 2.0, 2.0, 0.4, 0.1))
    return tangents(f, gd.descend(f, jnp.array(2.0), 1.7 / 2, steps=6), **look)


def _parabola(x, middle):
    return (x - middle) ** 2 + 0.1


def _one_step(**look):
    f = _cost()
    return one_step(f, jnp.array(_START), 1.5 / gd.facts(f).smoothness, **look)


def _descent(**look):
    return descent(*_run(1.75, 20), **look)


def _convergence(**look):
    f, run = _run(1.0, 300)
    return convergence(f, run, **look)


def _certificate(**look):
    f = cast(_cost(), jnp.float32)
    X, y = (np.asarray(leaf) for leaf in f.data)
    eta = np.float32(1 / gd.facts(f).smoothness)
    return certificate(f, _in_numpy(X, y, eta, 900), step_size=eta, **look)


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


def _tightness(**look):
    return tightness(**look)


def _step_sweep(**look):
    return step_sweep(_cost(), jnp.array(_START), **look)


def _per_sample(**look):
    probes = jnp.array([[0.45, 0.2], [3.55, 2.35], [2.95, -0.7]])
    window = [[-0.2, 4.0], [-1.2, 3.0]]
    return per_sample(_cost((-1.0, 0.0, 1.0)), probes, window=window, **look)


def _gd_vs_sgd(**look):
    window = [[-0.15, 2.85], [-0.85, 1.75]]
    start = jnp.array([0.1, -0.55])
    return gd_vs_sgd(_cost((-1.0, 0.0, 1.0)), start, window=window, **look)


def _gradient_check(**look):
    return gradient_check(_curved, 0.6875, **look)


def _curved(t):
    return jnp.log1p(jnp.exp(-t)) + 0.5 * jnp.sin(3 * t)


def _fit_and_parameters(**look):
    f = _cost()
    return fit_and_parameters(f, gd.descend(f, jnp.array([-0.6, 2.2]), 0.09, steps=100), **look)


def _conditioning(**look):
    return conditioning(_cost(), **look)


def _step_rules(**look):
    window = [[-2.0, 0.6], [0.5, 2.4]]
    return step_rules(_cost(), jnp.array([-1.7, 2.1]), steps=16, window=window, **look)


def _modes(**look):
    f = _cost()
    run = gd.descend(f, jnp.array([2.0, 1.5]), 0.16, steps=60)
    return convergence(f, run, modes=True, **look)


def _basins(**look):
    return basins(gd.landscapes.himmelblau, [[-5.2, 4.8], [-4.6, 5.4]], **look)


def _momentum_plane(**look):
    return momentum_plane(_cost(), **look)


GALLERY: dict[str, Callable[..., Any]] = {
    "tangents": _tangents,
    "landscape": _landscape,
    "one_step": _one_step,
    "descent": _descent,
    "convergence": _convergence,
    "certificate": _certificate,
    "tightness": _tightness,
    "step_sweep": _step_sweep,
    "per_sample": _per_sample,
    "gd_vs_sgd": _gd_vs_sgd,
    "gradient_check": _gradient_check,
    "fit_and_parameters": _fit_and_parameters,
    "conditioning": _conditioning,
    "step_rules": _step_rules,
    "modes": _modes,
    "basins": _basins,
    "momentum_plane": _momentum_plane,
}

FUNCTIONS = {name: convergence if name == "modes" else globals()[name] for name in GALLERY}
