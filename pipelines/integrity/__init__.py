"""What of a store can be read and is what it was.

`reading` finds what is not, `faults` says it in words.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
