"""What MLflow is told: runs, versions of a model with their aliases, and which code made them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
