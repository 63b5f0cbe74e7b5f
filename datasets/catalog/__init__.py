"""Where frames come from: the data sets known by name, and a user's own files.

`sources` says what a source is, `published` how files are found, fetched and checked. `trips`, `fields` and `radolan`
make grids of files that are none yet, or too large. `entries` lists the data sets.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
