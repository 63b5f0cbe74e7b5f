"""Python's SQLite bound to the library that it was built with, whatever was loaded before.

The wheels of the GRIB library carry an SQLite too old for MLflow, and whichever is loaded first serves the process: who
imports cfgrib before this package would have no model registry.
"""

import os
import sys

if hasattr(os, "RTLD_DEEPBIND"):  # Linux; elsewhere libraries do not take each other's symbols
    _flags = sys.getdlopenflags()
    sys.setdlopenflags(_flags | os.RTLD_DEEPBIND)
    try:
        import sqlite3
    finally:
        sys.setdlopenflags(_flags)
else:
    import sqlite3  # noqa: F401
