"""Subjects: what can be checked, a kind a file.

Each file says how its kind is recognized, what it brings and how it is run, and how its
reproduction reads.

==============  ========================================================  ========================
rule            a gdpure rule, an optax transformation, or a factory      step_size -> either
iterates        some of value, gradient, start, step_size, steps          iterates (steps + 1, d)
step            some of point, value, gradient, step_size, with point     the next point
stopping        the parameters of iterates, and tolerance                 (point, converged or not)
schedule        n                                                         n steps, in units of 1/L
gradient        objective                                                 x -> (value, gradient)
minibatches     objective and batch, the indices of some examples         the same, of their mean
==============  ========================================================  ========================

Functions are told apart by the names of their parameters.
"""

from ..theorems import methods, schedules
from . import gradient, iterates, minibatches, rule, schedule, step, stopping
from .subject import Asked, Code, Malformed, Subject, is_rule, name_of, parameters

__all__ = ["Code", "Malformed", "Subject", "as_subject", "name_of"]

# A function of step_size alone is taken for a factory, and what is nothing else is refused there.
_KINDS = (gradient, minibatches, schedule, step, stopping, iterates, rule)


def as_subject(target, method=None, name=None, caller="check_optimizer") -> Subject:
    """Return what can be run; refuse what cannot with one sentence.

    Parameters
    ----------
    target
        A rule, a transformation, a factory or a function, as above.
    method
        What to hold it to: None, "descent", "any", a gdpure rule, a function step_size -> rule, or
        a schedule.
    name
        What to call it, by default module:attribute.
    caller
        Which function refuses what cannot be run.

    Examples
    --------
    >>> def step(point, gradient, step_size):
    ...     return point - step_size * gradient(point)
    >>> assert as_subject(step).compiled
    """
    if not (_is_named(method) or is_rule(method) or callable(method)):
        raise TypeError(
            f'{caller}: method must be None, "descent", "any", or a gdpure rule such as '
            f"gd.HeavyBall(0.1, 0.9), got {method!r}"
        )
    if callable(method) and methods.is_schedule(method):
        schedules.refuse_what_is_none(caller, name_of(method), method)
    name = name or name_of(target)
    asked = Asked(target, name, method, caller, *parameters(name, target, caller))
    return next(made for kind in _KINDS if (made := kind.recognized(asked)) is not None)


def _is_named(method):
    return method is None or method in ("gradient descent", "descent", "any")
