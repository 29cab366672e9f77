"""Bugs of values and gradients, for f(x) = f* + mean_i phi(a_i (x - c)), phi Huber's function.

`by_hand` and `by_sample` are right. A formula is a function of the features (n, d), of phi and its
slope at every sample, (n,), and of f*.
"""

import jax
import jax.numpy as jnp

from planted.catalogue import bugs

bug = bugs("gradient")


def huber(t, bend, tail):
    """Huber's function, curved by `tail` beyond the bend, and its slope."""
    bounded = t.clip(-bend, bend)
    beyond = t - bounded
    return bounded * (t - bounded / 2) + tail * beyond**2 / 2, bounded + tail * beyond


def residuals(x, data):
    """The numbers a_i (x - c), shape (n,)."""
    features, center, *_ = data
    return (features * (x - center)[None]).sum(axis=1)


def pull(features, slopes):
    """The sum of the rows of the features, each as often as its slope says, shape (d,)."""
    return (features * slopes[:, None]).sum(axis=0)


def formula(of):
    """A gradient, ``objective -> (x -> (value, gradient))``, from its formula."""

    def gradient(objective):
        features, _, bend, tail, minimum = objective.data

        def at(x):
            return of(features, *huber(residuals(x, objective.data), bend, tail), minimum)

        return at

    return gradient


def mean(features, terms, slopes, minimum):
    """The value and the gradient of the mean over the samples."""
    n = len(features)
    return minimum + terms.sum() / n, pull(features, slopes) / n


def each(features, terms, slopes, minimum):
    """The values and the gradients of the samples."""
    return minimum + terms, features * slopes[:, None]


def by_hand(objective):
    """The value and the gradient."""
    return formula(mean)(objective)


def by_sample(objective):
    """The values and the gradients of the samples."""
    return formula(each)(objective)


def value_of(x, data):
    """The value alone, to be differentiated."""
    features, _, bend, tail, minimum = data
    return mean(features, *huber(residuals(x, data), bend, tail), minimum)[0]


# -- sums and means --------------------------------------------------------------------------------


@bug
def sum_instead_of_mean(objective):
    """Value and gradient are sums over the samples; m01, transformers#34191, OpenNMT-py#2209."""
    return formula(lambda a, p, s, least: (least + p.sum(), pull(a, s)))(objective)


@bug
def missing_half(objective):
    """The value lacks its factor 1/2, the gradient does not; m02."""
    return formula(lambda a, p, s, least: mean(a, 2 * p, s, least))(objective)


@bug
def divided_by_parameters(objective):
    """The gradient is divided by d, not by n; m05."""
    return formula(lambda a, p, s, least: (mean(a, p, s, least)[0], pull(a, s) / a.shape[1]))(
        objective
    )


@bug
def coordinate_not_averaged(objective):
    """The gradient of one parameter, the intercept, is a sum over the samples; m06."""

    def of(a, p, s, least):
        value, g = mean(a, p, s, least)
        return value, g.at[0].multiply(len(a))

    return formula(of)(objective)


@bug
def gradient_of_the_wrong_sign(objective):
    """The gradient points uphill; m04, udlbook#111."""
    return formula(lambda a, p, s, least: mean(a, p, -s, least))(objective)


@bug
def last_sample_dropped(objective):
    """The last sample is left out, in value and gradient, but counted; m24, keras#19363."""
    return formula(lambda a, p, s, least: mean(a, p.at[-1].set(0), s.at[-1].set(0), least))(
        objective
    )


@bug
def padded_with_the_first_sample(objective):
    """The last sample is replaced by the first: padding that is counted; m25."""
    return formula(
        lambda a, p, s, least: mean(
            a.at[-1].set(a[0]), p.at[-1].set(p[0]), s.at[-1].set(s[0]), least
        )
    )(objective)


@bug
def weighted_samples(objective):
    """The first sample weighs twice in the gradient: sample weights meet two averages."""
    return formula(lambda a, p, s, least: mean(a, p, s.at[0].multiply(2), least))(objective)


@bug
def all_pairs(objective):
    """Targets (n, 1) against predictions (n,): n x n residuals; m03, pytorch#19699."""
    features, center, bend, tail, minimum = objective.data
    targets = (features * center[None]).sum(axis=1)[:, None]

    def at(x):
        predictions = (features * x[None]).sum(axis=1)[None, :]
        terms, slopes = huber(predictions - targets, bend, tail)
        return minimum + terms.mean(), pull(features, slopes.mean(axis=0)) / len(features)

    return at


@bug
def value_of_half_the_data(objective):
    """The value is that of the first half of the samples; the gradient is right; m24."""

    def of(a, p, s, least):
        half = (len(a) + 1) // 2
        return least + p[:half].mean(), mean(a, p, s, least)[1]

    return formula(of)(objective)


@bug
def value_without_the_minimum(objective):
    """The constant term of the value is dropped, as it has no gradient."""
    return formula(lambda a, p, s, least: mean(a, p, s, 0 * least))(objective)


# -- differentiation -------------------------------------------------------------------------------


@bug
def half_of_the_path(objective):
    """A stop_gradient lies on half of the path; m43."""

    def stopped(x):
        return value_of((jax.lax.stop_gradient(x) + x) / 2, objective.data)

    return jax.value_and_grad(stopped)


@bug
def root_at_zero(objective):
    """Reverse mode through the square of a root: NaN where a residual is zero."""

    def rooted(x):
        features, _, bend, tail, minimum = objective.data
        terms, _ = huber(residuals(x, objective.data), bend, tail)
        return minimum + (jnp.sqrt(terms) ** 2).sum() / len(features)

    return jax.value_and_grad(rooted)


@bug
def forward_differences(objective):
    """Differences to one side, with a fixed width of 0.001; tesseract-core#706."""

    def at(x):
        here = value_of(x, objective.data)
        there = [value_of(x.at[i].add(1e-3), objective.data) for i in range(x.size)]
        return here, (jnp.stack(there) - here) / 1e-3

    return at


@bug
def value_in_float16(objective):
    """The value is accumulated in half precision."""

    def of(a, p, s, least):
        half = least.astype(jnp.float16) + p.astype(jnp.float16).mean()
        return half.astype(p.dtype), mean(a, p, s, least)[1]

    return formula(of)(objective)


@bug
def slope_without_bend(objective):
    """The value is Huber's, the slope that of the square: not cut off beyond the bend."""

    def at(x):
        features, _, _, _, _ = objective.data
        t = residuals(x, objective.data)
        return value_of(x, objective.data), pull(features, t) / len(features)

    return at


@bug
def slope_without_tail(objective):
    """The slope beyond the bend is constant, though the value still curves."""

    def at(x):
        features, _, bend, _, _ = objective.data
        t = residuals(x, objective.data)
        return value_of(x, objective.data), pull(features, t.clip(-bend, bend)) / len(features)

    return at


@bug
def penalty_in_the_gradient(objective):
    """A ridge penalty is in the gradient and not in the value; m12."""
    at = by_hand(objective)
    return lambda x: (at(x)[0], at(x)[1] + 1e-3 * x)


# -- per sample ------------------------------------------------------------------------------------


@bug
def every_row_the_mean(objective):
    """The gradient of every sample is their mean; m22, opacus#484."""

    def of(a, p, s, least):
        values, rows = each(a, p, s, least)
        return values, jnp.broadcast_to(rows.mean(axis=0), rows.shape)

    return formula(of)(objective)


@bug
def rows_divided_by_samples(objective):
    """The gradients of the samples are divided by n; m23."""

    def of(a, p, s, least):
        values, rows = each(a, p, s, least)
        return values, rows / len(a)

    return formula(of)(objective)


@bug
def rows_in_another_order(objective):
    """The gradients of the samples come in another order: X is shuffled, y is not; m26."""

    def of(a, p, s, least):
        values, rows = each(a, p, s, least)
        return values, jnp.roll(rows, 1, axis=0)

    return formula(of)(objective)


@bug
def values_all_the_mean(objective):
    """The value of every sample is their mean: a loss reduced too early."""

    def of(a, p, s, least):
        values, rows = each(a, p, s, least)
        return jnp.broadcast_to(values.mean(), values.shape), rows

    return formula(of)(objective)
