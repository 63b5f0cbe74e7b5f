"""Zarr stores of other people: nothing leads out of them, and no chunk becomes more than it says.

`folder` looks at what lies in a local one, `guarded` at every object that is read, `unpacking` tells what it becomes.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
