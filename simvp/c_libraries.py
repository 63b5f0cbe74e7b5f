"""Modules over C libraries of which another package has loaded a version of its own."""

import os
import sys
from importlib import import_module
from typing import Any


def import_apart(name: str) -> Any:
    """Import a module on the C libraries that it brings, whatever others were shown to all before.

    The wheels of ecCodes (eckitlib.libs) load a PROJ and an SQLite 3.26 for all to see. On that PROJ, pyproj finds no
    database, and the interpreter ends with "double free or corruption"; that SQLite is too old for MLflow.
    """
    if not hasattr(os, "RTLD_DEEPBIND"):  # beyond Linux every library keeps to its own
        return import_module(name)
    flags = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_NOW | os.RTLD_DEEPBIND)
    try:
        return import_module(name)
    finally:
        sys.setdlopenflags(flags)


import_apart("sqlite3")  # for MLflow; whichever is loaded first serves the whole process
