"""Bugs of mini-batches and of examples, for f(x) = f* + mean_i phi(a_i (x - c))."""

import gdpure as gd
from gdpure.objectives import restrict
from planted.catalogue import bugs
from planted.gradients import huber, pull, residuals

bug = bugs("mini-batch")


# -- right -----------------------------------------------------------------------------------------


def restricted(objective, batch):
    """The gradient of the function restricted to the rows of the batch."""
    return gd.reverse(restrict(objective, batch))


def mean_of_rows(objective, batch):
    """The mean over some of the gradients of the examples."""
    rows = gd.per_sample(objective)

    def at(x):
        values, gradients = rows(x)
        return values[batch].mean(), gradients[batch].mean(axis=0)

    return at


# -- wrong -----------------------------------------------------------------------------------------


def formula(of):
    """A mini-batch gradient from a function of all features, slopes (n,), and the batch."""

    def minibatch(objective, batch):
        features, _, bend, tail, minimum = objective.data

        def at(x):
            terms, slopes = huber(residuals(x, objective.data), bend, tail)
            return minimum + terms[batch].mean(), of(features, slopes, batch)

        return at

    return minibatch


@bug
def full_gradient(objective, batch):
    """The mini-batch is ignored: the mean law holds, the variance is 0."""
    return formula(lambda features, slopes, batch: pull(features, slopes) / len(features))(
        objective, batch
    )


@bug
def sum_over_the_batch(objective, batch):
    """The sum over the batch, not the mean."""
    return formula(lambda features, slopes, batch: pull(features[batch], slopes[batch]))(
        objective, batch
    )


@bug
def mean_taken_twice(objective, batch):
    """The loss is a mean over the batch, and the step divides by the batch again; d2l-en#1000."""
    return formula(
        lambda features, slopes, batch: pull(features[batch], slopes[batch]) / len(batch) ** 2
    )(objective, batch)


@bug
def divided_by_all(objective, batch):
    """The sum over the batch, divided by the number of all examples."""
    return formula(
        lambda features, slopes, batch: pull(features[batch], slopes[batch]) / (len(features) + 1)
    )(objective, batch)


@bug
def first_of_the_batch(objective, batch):
    """The first example stands for the whole batch: an axis too few in the mean."""
    return formula(lambda features, slopes, batch: features[batch[0]] * slopes[batch[0]])(
        objective, batch
    )


@bug
def one_row_off(objective, batch):
    """Indices count from one, the last wraps around: every batch is another one."""
    return formula(
        lambda features, slopes, batch: (
            pull(features[(batch + 1) % len(features)], slopes[(batch + 1) % len(features)])
            / len(batch)
        )
    )(objective, batch)


@bug
def shuffled_targets(objective, batch):
    """The features of the batch meet the slopes of the first rows."""
    return formula(
        lambda features, slopes, batch: pull(features[batch], slopes[: len(batch)]) / len(batch)
    )(objective, batch)
