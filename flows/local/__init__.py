"""Servers, worker and console on one machine: what `make up` and the demo run."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
