"""Spatiotemporal forecasting of gridded data with SimVP.

``simvp.predict(ds)`` makes a labelled forecast from a labelled Dataset; ``simvp.load(name)`` gives the model alone.
Everything is imported when it is first asked for, so that importing the package costs nothing.
"""

import lazy_loader

import simvp.c_libraries
import simvp.moved  # noqa: F401

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
