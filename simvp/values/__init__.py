"""What a stored number means: packing, missing values, valid ranges, units; one rule for all readers and opened data.

`marks` reads the header of a variable, `packing` makes values of its stored numbers, `decoding` does so lazily, and
`units` knows which texts are units.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
