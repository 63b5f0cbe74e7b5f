"""What a stored number means: packing, missing values, valid ranges; one rule for all readers and for opened data.

`marks` reads the header of a variable, `decoding` applies it, lazily.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
