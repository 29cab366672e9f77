"""Surroundings: other people's arrays and optimizers, other processes."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.sparse

import gdpure as gd

X, Y = np.float32([[1, 2], [3, 1], [1, 4]]), np.float32([5, -1, 2])
THETA = np.float32([0.5, 0.25])


class Frame:
    """Columns of several dtypes, handed over as data frames do: as an array of objects."""

    def __init__(self, rows):
        self.rows = rows

    def __array__(self, dtype=None, copy=None):
        return np.array(self.rows, object)


def nullable(x):
    """Return a frame or a series of pandas, its numbers in columns that may have gaps."""
    pandas = pytest.importorskip("pandas", reason="pandas comes with the extra 'peers': not run")
    return (pandas.DataFrame if x.ndim > 1 else pandas.Series)(x).astype("Float32")


def frame(x):
    pandas = pytest.importorskip("pandas", reason="pandas comes with the extra 'peers': not run")
    return (pandas.DataFrame if x.ndim > 1 else pandas.Series)(x)


def squared(theta, data):
    return jnp.mean((data[0] @ theta - data[1]) ** 2)


PLACES = {
    "float64": lambda x: x.astype(np.float64),
    "big-endian": lambda x: x.astype(">f4"),
    "big-endian float64": lambda x: x.astype(">f8"),
    "masked, without masks": np.ma.masked_array,
    "objects of a frame": lambda x: Frame(x.tolist()),
    "pandas": frame,
    "pandas, nullable": nullable,
}


@pytest.mark.parametrize("place", PLACES)
def test_every_place_that_takes_arrays_takes_those_of_other_libraries(place):
    theirs = PLACES[place]
    f, g = gd.least_squares(X, Y), gd.least_squares(theirs(X), theirs(Y))
    assert g.data[0].dtype == np.float32 and np.array_equal(g.data[0], X)
    assert gd.logistic(theirs(X), theirs(1.0 * (Y > 0))).data[1].tolist() == [1, 0, 1]
    risk = gd.empirical_risk(lambda theta, row: (row[0] @ theta - row[1]) ** 2, f.data)
    for data in ((theirs(X), theirs(Y)), [theirs(X), theirs(Y)]):
        assert gd.empirical_risk(risk.value.loss, data)(THETA) == risk(THETA)
    own = gd.Objective(squared, (theirs(X), theirs(Y)), axes=0)
    assert np.array_equal(gd.per_sample(own)(THETA)[1], gd.per_sample(f)(THETA)[1])
    assert np.array_equal(gd.reverse(own)(THETA)[1], gd.reverse(f)(THETA)[1])
    assert f(theirs(THETA)) == f(THETA) and f(theirs(THETA)).dtype == np.float32
    assert gd.landscapes.bowl(theirs(THETA)) == 0.3125
    by_hand = gd.descend(f, THETA, np.float32([0.01, 0.02]), steps=2).final
    run = gd.descend(f, theirs(THETA), theirs(np.float32([0.01, 0.02])), steps=2).final
    assert np.array_equal(run.point, by_hand.point)
    for way in (gd.reverse, gd.per_sample):
        assert np.array_equal(way(f)(theirs(THETA))[1], way(f)(THETA)[1])
    found = gd.closed_form(f, theirs(THETA), theirs(np.float32([0.01, 0.02])), 2).value
    assert np.array_equal(found, gd.closed_form(f, THETA, np.float32([0.01, 0.02]), 2).value)


GAPS = {
    "a masked entry": lambda: np.ma.masked_array([1.0, 2.0, 3.0], [False, False, True]),
    "nan": lambda: np.array([1.0, 2.0, np.nan], ">f8"),
    "NoneType None": lambda: Frame([1, 2.5, None]),
    "str 'x'": lambda: Frame([1, 2, "x"]),
}
TAKERS = {
    "least_squares: y": lambda y: gd.least_squares(X, y),
    "logistic: labels": lambda y: gd.logistic(X, y),
    "quadratic: minimizer": lambda y: gd.quadratic(np.eye(3), y),
    "with_intercept: X": gd.with_intercept,
    "empirical_risk: examples[1]": lambda y: gd.empirical_risk(abs, (X, y)),
    "empirical_risk: examples['y']": lambda y: gd.empirical_risk(abs, {"y": y}),
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("gap", GAPS)
def test_gaps_and_text_are_refused_with_their_place(gap, taker):
    error = ValueError if gap in ("nan", "a masked entry") else TypeError
    with pytest.raises(error) as answer:
        TAKERS[taker](GAPS[gap]())
    said = str(answer.value)
    assert said.startswith(f"{taker} must be ") and f"{gap} at (2,)" in said


def test_gaps_of_pandas_are_refused_with_their_place():
    pandas = pytest.importorskip("pandas", reason="pandas comes with the extra 'peers': not run")
    columns = {"a": pandas.array([1, None], "Int64"), "b": [1.0, 2.0]}
    with pytest.raises(TypeError, match=r"X must .* got pandas.* with NAType <NA> at \(1, 0\)"):
        gd.least_squares(pandas.DataFrame(columns), [1, 2])


@pytest.mark.parametrize(
    "take",
    [
        lambda x: gd.least_squares(x, Y),
        lambda x: gd.empirical_risk(abs, (X, x)),
        lambda x: gd.descend(abs, {"w": x}, 0.1, steps=1),
        gd.least_squares(X, Y),
        gd.landscapes.bowl,
    ],
    ids=["data", "examples", "start", "parameters", "coordinates"],
)
def test_what_is_no_array_is_called_by_its_type(take):
    with pytest.raises(TypeError, match=r"must be .*, got scipy\.sparse.*csr_\w+ float64\[3,2\]"):
        take(scipy.sparse.eye(3, 2, format="csr"))


def test_parameters_of_numpy_are_taken_as_jax_takes_them():
    """Without x64 NumPy's float64, which the optimizers of SciPy ask with, is float32."""
    f = gd.least_squares(X, Y)
    least = np.asarray(gd.facts(f).minimizer)
    end = scipy.optimize.minimize(gd.reverse(f), np.zeros(2), jac=True)
    np.testing.assert_allclose(end.x, least, atol=1e-3)
    end = scipy.optimize.minimize(f, np.zeros(2), method="Nelder-Mead")
    np.testing.assert_allclose(end.x, least, atol=1e-2)
    for g in (gd.logistic(X, Y > 0), gd.quadratic(np.eye(2), np.ones(2)), gd.as_quadratic(f)):
        assert g(np.ones(2)) == g(jnp.ones(2)) and g(np.ones(2)).dtype == np.float32
    with jax.enable_x64(True):  # where it is another dtype than that of the data
        with pytest.raises(TypeError, match="float32.2. as the data ask, got float64"):
            f(np.ones(2))


F = gd.least_squares(X, Y)
PICKLED = {
    "facts": gd.facts(F),
    "least squares": F,
    "logistic": gd.logistic(X, [0, 1, 1]),
    "quadratic": gd.as_quadratic(F),
    "empirical risk": gd.empirical_risk(np.subtract, X),
    "axes": gd.Objective(np.subtract, {"X": X, "y": Y}, axes={"X": 0, "y": None}),
    "unpacked": gd.unpack(np.hypot),
    "rule": gd.HeavyBall(0.1, 0.5),
    "observed": gd.observe(0.1, print),
    "run": gd.descend(F, THETA, gd.Polyak(0.0), steps=2),
    "status": gd.Status.DIVERGED,
}


@pytest.mark.parametrize("name", PICKLED)
@pytest.mark.parametrize("way", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy])
def test_what_is_handed_out_goes_to_another_process(name, way):
    x = PICKLED[name]
    came = way(x)
    assert jax.tree.structure(came) == jax.tree.structure(x)  # so that nothing is compiled anew
    for theirs, ours in zip(jax.tree.leaves(came), jax.tree.leaves(x), strict=True):
        assert np.array_equal(theirs, ours) if guarded(ours) else theirs == ours


def guarded(x):
    return hasattr(x, "dtype")
