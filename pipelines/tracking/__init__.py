"""What is written into MLflow: runs, versions of a model with their aliases, and which code they come from."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
