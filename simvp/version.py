"""The version that is installed, and names that have moved since the one before."""

import sys
import warnings
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("simvp")
except PackageNotFoundError:  # a checkout that was not installed
    __version__ = "0+unknown"


def moved(old: str, new: str) -> None:
    """Let the module `old` be the module `new`, and say so to whoever imports it."""
    warnings.warn(f"{old} is {new} now, and its old name goes with the next version", DeprecationWarning, stacklevel=3)
    sys.modules[old] = import_module(new)
