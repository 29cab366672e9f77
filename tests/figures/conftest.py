"""The references are those of this checkout: they are no part of what is installed."""

from pathlib import Path

from gdpure.plots import references

references.FOLDER = Path(__file__).parents[2] / "plots" / "reference"
