"""Worlds with a formula, for the demo and the tests: weather, traffic and waves of which the truth is known."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
