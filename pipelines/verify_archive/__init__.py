"""Whether everything that a data set has kept can be read and is what it was, and what can be made whole again.

`stage` is the whole of it; `faults` says what was found and done, in words, `reading` finds it, `healing` mends it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
