"""Whether everything that a data set has kept is whole, and what can be made whole again.

`stage` is all of it, `report` what it found and did, `healing` mends a store.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
