"""Which init times are due, and the forecasts of a batch of them, here or on a worker."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
