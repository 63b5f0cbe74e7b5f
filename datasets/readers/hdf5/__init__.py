"""HDF5 files that are not to be opened as NetCDF-4, though they look like it.

`faults` finds out what is wrong with one, in a process of its own, which `inspector` starts and asks.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
