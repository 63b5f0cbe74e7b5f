"""Which frames belong together: periods, windows and init times, and batches of them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
