"""What flows leave on Prefect's pages, one writer at a time, and how far a stage is."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
