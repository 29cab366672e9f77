"""The door of pytest: ``pytest --gdpure TARGET``; what is behind it is `gdpure.specs.plugin`.

Nothing is imported where nobody asks: this runs in every session of whoever has gdpure installed.
"""

from importlib import import_module


def pytest_addoption(parser):
    """Add ``--gdpure TARGET``."""
    parser.getgroup("gdpure", "theorems about optimizers").addoption(
        "--gdpure",
        metavar="TARGET",
        action="append",
        default=[],
        help="try every theorem on an optimizer, a test each: module:attribute, or "
        "FILE.py:attribute, where * stands for any name; what [tool.gdpure.check] of "
        "pyproject.toml says of it holds. May be given several times",
    )


def pytest_configure(config):
    """Fetch what makes and counts the tests, where there are any."""
    if config.getoption("gdpure"):
        plugin = import_module("gdpure.specs.plugin")
        config.pluginmanager.register(plugin, "gdpure theorems")
        config.pluginmanager.register(plugin.Summary(), "gdpure summary")
