"""GRIB through cfgrib, checked against the headers of its messages.

`messages` lists the headers, `series` compares what they say and names those that share a key, `dataset` opens.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
