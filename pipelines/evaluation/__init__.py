"""Is it better? Errors beside the baselines', the skill table, and the gate's verdict with its bootstrap."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
