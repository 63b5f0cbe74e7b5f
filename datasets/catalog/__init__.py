"""Where frames come from: the data sets known by name, and a user's own files.

`sources` says what a source is, `published` how files are found, fetched and checked, `trips` and `fields` what is made
of files that are no grid yet, or too large a one, and `entries` lists the data sets.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
