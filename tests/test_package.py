"""The package: its public names, its docstrings, and which way its imports go."""

import ast
import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import gdpure as gd
import gdpure.plots
import gdpure.specs

PUBLIC = """
    Backtracking BarzilaiBorwein Constant Descent ExactLineSearch Facts HeavyBall History Nesterov
    Objective Polyak State Status advance analytic as_quadratic begin central closed_form descend
    empirical_risk facts forward landscapes least_squares logistic minimize observe per_sample rules
    quadratic reverse schedules stochastic stochastic_descend sweep unpack with_intercept
""".split()
RECORDS = {"State", "History", "Descent"}  # made by functions, and shown in their examples
PACKAGES = [gdpure.specs, gdpure.plots, gd]


def modules(package):
    """Every module of a package, wherever it is installed, without those of its satellites."""
    satellites = {other.__name__ for other in PACKAGES}
    found = [package]
    for at in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if at.name not in satellites:
            module = importlib.import_module(at.name)
            found += modules(module) if at.ispkg else [module]
    return found


MODULES = [module for package in PACKAGES for module in modules(package)]


def by_name(things):
    return pytest.mark.parametrize("module", things, ids=lambda module: module.__name__)


def trees(module):
    """The syntax tree of a module, and the part of it that runs when it is imported."""
    tree = ast.parse(Path(module.__file__).read_text())
    now = ast.Module([node for node in tree.body if not isinstance(node, ast.FunctionDef)], [])
    return tree, now


def imports(tree, package):
    """What a syntax tree imports, by full names; for type checkers only does not count."""
    hidden = [
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    ]
    for node in ast.walk(tree):
        if node in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package if node.level == 1 else ""
            base = ".".join(part for part in (base, node.module) if part)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def run(code, *options):
    """Run a fresh interpreter and return what it printed."""
    done = subprocess.run(
        [sys.executable, *options, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def missing(module, wanted):
    """Whether a module is imported from any of some places."""
    return any(module == name or module.startswith(name + ".") for name in wanted)


# -- names and docstrings --------------------------------------------------------------------------


def test_public_names_are_these():
    assert sorted(gd.__all__) == sorted(PUBLIC)
    assert all(hasattr(gd, name) for name in PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_says_what_it_is_and_shows_it(name):
    thing = getattr(gd, name)
    assert thing.__doc__ and thing.__doc__.split("\n")[0].endswith(".")
    if callable(thing) and name not in RECORDS:
        assert ">>>" in thing.__doc__ and "assert" in thing.__doc__


@pytest.mark.parametrize("module", [gd.schedules, gd.stochastic], ids=lambda m: m.__name__)
def test_functions_of_public_modules_show_what_they_do(module):
    for name, thing in vars(module).items():
        if callable(thing) and thing.__module__ == module.__name__ and not name.startswith("_"):
            assert ">>>" in thing.__doc__, name


@by_name(MODULES)
def test_docstrings_are_true(module, unshrunk):
    assert module.__doc__
    failed, _ = doctest.testmod(module, extraglobs={"gd": gd, "jnp": jnp, "np": np})
    assert failed == 0


@by_name(modules(gd))
def test_a_file_of_the_core_is_read_in_one_sitting(module):
    assert len(Path(module.__file__).read_text().splitlines()) <= 600


def test_types_are_shipped():
    assert Path(gd.__file__).with_name("py.typed").exists()


# -- imports ---------------------------------------------------------------------------------------


@by_name([m for m in modules(gd) if m.__name__ != "gdpure.__main__"])
def test_the_core_imports_jax_chex_and_nothing_else(module):
    allowed = {"jax", "chex", "numpy", "gdpure", "__future__"} | sys.stdlib_module_names
    found = set(imports(trees(module)[0], "gdpure"))
    assert {name.split(".")[0] for name in found} <= allowed
    assert not any(missing(name, ["gdpure.specs", "gdpure.plots"]) for name in found)


def test_the_porch_imports_its_extras_late():
    main = importlib.import_module("gdpure.__main__")
    found = set(imports(trees(main)[1], "gdpure"))
    allowed = {"jax", "numpy", "gdpure", "__future__"} | sys.stdlib_module_names
    assert {name.split(".")[0] for name in found} <= allowed
    assert not any(missing(name, ["gdpure.specs", "gdpure.plots"]) for name in found)


@by_name(modules(gdpure.specs))
def test_specs_never_plot(module):
    found = imports(trees(module)[0], "gdpure.specs")
    assert not any(missing(name, ["gdpure.plots", "matplotlib"]) for name in found)


@by_name(modules(gdpure.plots.views))
def test_views_are_numbers_alone(module):
    found = imports(trees(module)[0], "gdpure.plots.views")
    assert not any(missing(name, ["matplotlib"]) for name in found)
    assert "from ..figures" not in Path(module.__file__).read_text()


@by_name(modules(gdpure.plots))
def test_figures_have_no_state_of_pyplot(module):
    found = imports(trees(module)[0], "gdpure.plots")
    assert not any(missing(name, ["matplotlib.pyplot", "matplotlib.pylab"]) for name in found)


def test_satellites_are_under_the_name_of_the_core():
    assert not {"specs", "plots"} & set(sys.modules)
    assert gdpure.specs.__name__ == "gdpure.specs" and gdpure.plots.__name__ == "gdpure.plots"


def test_importing_the_core_starts_no_backend():
    # JAX refuses to change the number of devices once a backend has started.
    code = """
        import gdpure, jax
        jax.config.update("jax_num_cpu_devices", 3)
        print(len(jax.devices("cpu")))
    """
    assert run("\n".join(map(str.strip, code.splitlines()))) == "3\n"


def test_importing_the_core_loads_no_extra():
    extras = ["matplotlib", "rich", "hypothesis", "optax", "sklearn"]
    code = f"import gdpure.lesson, sys; print([name for name in {extras} if name in sys.modules])"
    assert run(code) == "[]\n"
