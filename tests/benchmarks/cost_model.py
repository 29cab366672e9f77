"""What gdpure costs beside the loop one would write by hand; run this file with Python.

Every line is a ratio of two things that are measured in turn, pair after pair, in one process: the
median of the ratios of the pairs, and their quartiles. Times depend on the machine, ratios hardly.
The numbers are looked at, never asserted.
"""

import argparse
import itertools
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from sklearn.datasets import load_diabetes

import gdpure as gd
from gdpure import specs

# -- by hand ---------------------------------------------------------------------------------------
# value_and_gradient(x, data); rows are (point, value, gradient) of steps + 1 points, as in gdpure.


def rows_by_hand(value_and_gradient, start, data, step_size, steps):
    def body(x, _):
        value, gradient = value_and_gradient(x, data)
        return x - step_size * gradient, (x, value, gradient)

    return lax.scan(body, start, length=steps + 1)[1]


def last_by_hand(value_and_gradient, start, data, step_size, steps):
    def body(x, _):
        return x - step_size * value_and_gradient(x, data)[1], None

    x, _ = lax.scan(body, start, length=steps)
    return x, *value_and_gradient(x, data)


@partial(jax.jit, static_argnums=(0, 1, 5))
def run_by_hand(loop, value_and_gradient, start, data, step_size, steps):
    return loop(value_and_gradient, start, data, step_size, steps)


@partial(jax.jit, static_argnums=(0, 1, 5))
def sweep_by_hand(loop, value_and_gradient, starts, data, step_sizes, steps):
    def run(start, step_size):
        return loop(value_and_gradient, start, data, step_size, steps)

    return jax.vmap(jax.vmap(run, (0, None)), (None, 0))(starts, step_sizes)


def least_squares_by_hand(theta, data):
    X, y = data
    r = X @ theta - y
    return jnp.mean(r**2), r @ X * (2 / y.size)


def bowl(x):
    return x[0] ** 2 + x[1] ** 2


def bowl_by_hand(x, _):
    return jax.value_and_grad(bowl)(x)


def quadratic_by_hand(x, data):
    hessian, minimizer = data
    r = x - minimizer
    slope = hessian @ r
    return r @ slope / 2, slope


# -- measuring -------------------------------------------------------------------------------------


def ratios(ours, other, pairs):
    """How much longer one takes than the other, pair by pair, in alternating order."""

    def seconds(run):
        began = time.perf_counter()
        jax.block_until_ready(run())
        return time.perf_counter() - began

    for run in (ours, other) * 2:  # compile, then warm up
        seconds(run)
    found = []
    for k in range(pairs):
        turn = (ours, other) if k % 2 else (other, ours)
        took = {run: seconds(run) for run in turn}
        found.append(took[ours] / took[other])
    return np.quantile(found, [0.5, 0.25, 0.75])


def cases():
    """Yield what is compared, with what, the two functions, and the share of pairs."""
    X, y = load_diabetes(return_X_y=True, scaled=False)
    X, y = ((X - X.mean(0)) / X.std(0)).astype(np.float32), (y - y.mean()).astype(np.float32)
    f = gd.least_squares(X, y)
    data, start, step_size = f.data, jnp.zeros(10), np.float32(0.1)
    loops = {"rows": (gd.descent.history, rows_by_hand), "record=None": (None, last_by_hand)}

    for kept, (record, loop) in loops.items():
        for steps in (100, 1000, 10_000):
            yield (
                f"diabetes 442 x 10, {steps} steps, {kept}",
                "scan by hand",
                partial(gd.descend, f, start, step_size, steps=steps, record=record),
                partial(run_by_hand, loop, least_squares_by_hand, start, data, step_size, steps),
                1 if steps < 10_000 else 1 / 4,
            )

    starts = jax.random.normal(jax.random.key(0), (1024, 2))
    step_sizes = jnp.linspace(0.01, 0.4, 64)
    hessian = jnp.array([[2.0, 0.5], [0.5, 1.0]])
    minimizer = jnp.array([1.0, -1.0])
    bowls = {
        "bowl": (gd.Objective(lambda x, _: x[0] ** 2 + x[1] ** 2), bowl_by_hand, None),
        "quadratic": (gd.quadratic(hessian, minimizer), quadratic_by_hand, (hessian, minimizer)),
    }
    for name, (g, by_hand, data_of_g) in bowls.items():
        for kept, (record, loop) in loops.items():
            yield (
                f"{name} d = 2, 2^16 runs x 100 steps, {kept}",
                "vmap of a scan by hand",
                partial(gd.sweep, g, starts, step_sizes, steps=100, record=record),
                partial(sweep_by_hand, loop, by_hand, starts, data_of_g, step_sizes, 100),
                1 / 4,
            )

    q = gd.as_quadratic(f)
    for steps in (1000,):
        yield (
            f"diabetes 442 x 10, {steps} steps, as_quadratic",
            "descend on the 442 rows",
            partial(gd.descend, q, start, step_size, steps=steps),
            partial(gd.descend, f, start, step_size, steps=steps),
            1,
        )

    for kept, (record, loop) in loops.items():
        yield (
            f"a call: 1 step of gd.landscapes.bowl, {kept}",
            "a jitted call by hand",
            partial(gd.descend, gd.landscapes.bowl, starts[0], 0.1, steps=1, record=record),
            partial(run_by_hand, loop, bowl_by_hand, starts[0], None, 0.1, 1),
            10,
        )

    fifty = [float(x) for x in np.linspace(0.01, 0.2, 50)]
    yield (
        "diabetes, 50 step sizes x 100 steps, one program",
        "one jitted loop by hand",
        lambda: [gd.descend(f, start, eta, steps=100) for eta in fifty],
        lambda: [
            run_by_hand(rows_by_hand, least_squares_by_hand, start, data, eta, 100) for eta in fifty
        ],
        1 / 2,
    )

    yield from cases_of_calls(f)
    yield from cases_of_many_arrays()
    yield from cases_of_facts()


def cases_of_calls(f):
    """Yield what one evaluation costs as called, beside a jitted function of the same arrays."""
    X, y = f.data
    theta = jnp.ones(10)

    def loss(theta, X, y):
        return jnp.mean((X @ theta - y) ** 2)

    def example(theta, x, y):
        return (x @ theta - y) ** 2

    def forward(theta, X, y):
        return loss(theta, X, y), jax.jacfwd(loss)(theta, X, y)

    def analytic(theta, X, y):
        return loss(theta, X, y), (X @ theta - y) @ X * (2 / y.size)

    def central(theta, X, y):
        def slope(e):
            return (loss(theta + e, X, y) - loss(theta - e, X, y)) / (2 * jnp.max(e))

        return loss(theta, X, y), jax.vmap(slope)(0.01 * jnp.eye(10))

    reverse = jax.value_and_grad(loss)
    of_examples = jax.vmap(jax.value_and_grad(example), (None, 0, 0))
    by_hand = {
        "reverse": (gd.reverse(f), reverse),
        "forward": (gd.forward(f), forward),
        "analytic": (gd.analytic(f), analytic),
        "central": (gd.central(f), central),
        "per_sample": (gd.per_sample(f), of_examples),
    }
    for name, (ours, theirs) in by_hand.items():
        bare = partial(jax.jit(theirs), theta, X, y)
        yield f"{name}, 442 x 10, as called", "a jitted function", partial(ours, theta), bare, 10

    plain = gd.reverse(lambda theta: loss(theta, X, y))

    def traced_by_hand():
        return jax.make_jaxpr(lambda theta: reverse(theta, X, y))(theta) and None

    yield "reverse of a plain function", "a trace", partial(plain, theta), traced_by_hand, 1


def cases_of_many_arrays():
    """Yield how long 200 arrays take to compile; a number makes every program a new one."""
    start, numbers = {f"w{k}": jnp.full(3, k / 100) for k in range(200)}, itertools.count()

    def fresh():
        factor = 1 + 1e-6 * next(numbers)
        return lambda p: factor * sum(jnp.sum(x**2) for x in p.values())

    def by_hand(record):
        value_and_gradient = jax.value_and_grad(fresh())

        def body(p, _):
            value, slope = value_and_gradient(p)
            row = (p, value, slope) if record else None
            return jax.tree.map(lambda x, g: x - 0.1 * g, p, slope), row

        return jax.jit(lambda p: lax.scan(body, p, length=5))(start)

    for kept, record in {"rows": gd.descent.history, "record=None": None}.items():
        yield (
            f"compiling 5 steps of 200 arrays, {kept}",
            "a scan by hand",
            lambda record=record: gd.descend(fresh(), start, 0.1, steps=5, record=record),
            partial(by_hand, record),
            1 / 20,
        )


def cases_of_facts():
    """Yield what facts of a million rows cost beside one product, and checks of many rows."""
    rng, n = np.random.default_rng(0), 10**6
    X = rng.normal(size=(n, 32)).astype(np.float32)
    y = (X @ rng.normal(size=32) + rng.normal(size=n)).astype(np.float32)
    f = gd.least_squares(X, y)
    g = gd.least_squares(f.data[0].at[:, 1].set(f.data[0][:, 0]), y)
    labels = gd.logistic(X, y > 0)
    with jax.enable_x64(True):
        wide = jnp.asarray(X, jnp.float64)

    @jax.jit
    def product(X):
        return X.T @ X

    def product_in_float64():
        with jax.enable_x64(True):
            return product(wide)

    for name, ours in {
        "facts": partial(gd.facts, f),
        "facts, two columns equal": partial(gd.facts, g),
        "facts of logistic": partial(gd.facts, labels),
        "as_quadratic": lambda: gd.as_quadratic(f).data,
    }.items():
        yield f"{name}, 10^6 x 32", "X'X in float64", ours, product_in_float64, 1 / 4

    few, many = (gd.least_squares(X[:n, :2], y[:n]) for n in (200, 10_000))
    yield (
        "check_objective, 10,000 x 2",
        "200 x 2",
        partial(_checked, many),
        partial(_checked, few),
        1 / 10,
    )


def _checked(f):
    return specs.check_objective(f) and None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=60, help="pairs a line (60)")
    parser.add_argument("--only", default="", help="lines that contain this")
    options = parser.parse_args()
    device = jax.devices()[0]
    print(
        f"JAX {jax.__version__}, {device.device_kind}, {options.pairs} pairs; 1.00 is as fast as\n"
    )
    print(f"{'ratio':>6}  {'quartiles':>12}  {'of':<52}  to")
    for name, other_name, ours, other, share in cases():
        if options.only in name:
            middle, low, high = ratios(ours, other, max(4, round(options.pairs * share)))
            quartiles = f"{low:.2f} - {high:.2f}"
            print(f"{middle:6.2f}  {quartiles:>12}  {name:<52}  {other_name}", flush=True)


if __name__ == "__main__":
    main()
