"""What all tests share: strict JAX, Hypothesis profiles, platforms, compiled programs."""

import contextlib
import gc
import os
from importlib.metadata import version
from pathlib import Path

# These programs are small, and XLA's older code generator compiles them in two thirds of the time.
# Newer versions of JAX, on which the suite runs as well, know no other than that of their users.
# Said once, by whichever process is first: flags are part of what a kept program is found by.
if tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11):
    flags = os.environ.get("XLA_FLAGS", "").split()
    flags += {"--xla_cpu_use_fusion_emitters=false"} - set(flags)
    os.environ["XLA_FLAGS"] = " ".join(flags)

import jax
import jax.numpy as jnp
import pytest
from hypothesis import HealthCheck, settings

jax.config.update("jax_num_cpu_devices", 8)  # for the tests of sharded inputs
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("ci", derandomize=True, max_examples=40, print_blob=True, **_COMMON)
settings.register_profile("thorough", max_examples=1000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure(config):
    """Keep what XLA compiles: the processes of a run share it, and the next run begins with it.

    Those that tests start, too, through their environment. A program is found by its text, its
    options and the version of the compiler, so that what is kept is what would be compiled. One
    that another process is still writing is compiled again.
    """
    if cache := getattr(config, "cache", None):  # none with -p no:cacheprovider
        for name, value in (
            ("jax_compilation_cache_dir", str(cache.mkdir("xla"))),
            ("jax_persistent_cache_min_compile_time_secs", 0),
        ):
            jax.config.update(name, value)
            os.environ[name.upper()] = str(value)
    config.addinivalue_line("filterwarnings", "ignore:Error reading persistent compilation cache")


@pytest.fixture(scope="module", autouse=True)
def room_for_programs():
    """Forget compiled programs when there are many.

    Each takes several regions of memory, a process of Linux has 65,530, and XLA crashes without.
    What was imported, and what earlier modules left, is not searched for garbage again and again.
    """
    gc.collect()
    gc.freeze()
    yield
    regions = Path("/proc/self/maps")
    if regions.exists() and regions.read_text().count("\n") > 30_000:
        gc.unfreeze()
        jax.clear_caches()


_compiled = [0]


def _count(event, _duration, **_):
    _compiled[0] += event == "/jax/core/compile/backend_compile_duration"


jax.monitoring.register_event_duration_secs_listener(_count)


@pytest.fixture
def compilations():
    """A context manager that yields a function: how many programs were compiled inside it."""

    @contextlib.contextmanager
    def counted():
        before = _compiled[0]
        yield lambda: _compiled[0] - before

    return counted


@pytest.fixture
def in_float32(monkeypatch):
    """Checks try float32 only: the laws of a dtype are the same programs in the other."""
    monkeypatch.setattr("gdpure.specs.optimizer.check._DTYPES", (jnp.float32,))


@pytest.fixture
def on_a_line(monkeypatch):
    """Checks try one shape of one parameter, and each program is compiled once."""
    from gdpure.specs.instances import SHAPES

    for module in ("check", "search"):
        monkeypatch.setattr(f"gdpure.specs.optimizer.{module}.SHAPES", (SHAPES[1],))


@pytest.fixture
def unshrunk(monkeypatch):
    """What is violated is shown as it was found; test_shrinking.py is about small cases."""
    monkeypatch.setattr("gdpure.specs.optimizer.check._SHRINKING", 0)


@pytest.fixture
def demand_of_xla():
    """A function that skips a test where XLA itself compiles no product in a dtype.

    For a processor without F16C, such as --xla_cpu_max_isa may ask for, it has no float16.
    """

    def demand(dtype):
        try:
            jax.block_until_ready(jax.jit(lambda x: x * x + x)(jnp.ones(3, dtype)))
        except jax.errors.JaxRuntimeError:
            pytest.skip(f"XLA compiles no {jnp.dtype(dtype).name} for this processor")

    return demand


@pytest.fixture(scope="session", params=["cpu", "gpu"])
def device(request):
    """A device of every platform there is; one that is absent is reported as not run."""
    try:
        found = jax.devices(request.param)[0]
    except RuntimeError:
        pytest.skip(f"no {request.param} here: not run")
    with jax.default_device(found), jax.default_matmul_precision("highest"):
        yield found
