"""Processes that train together on one machine.

`group` says which of them this one is and what they hand each other, `launch` starts them, tells of their progress and
ends them all when one dies.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
