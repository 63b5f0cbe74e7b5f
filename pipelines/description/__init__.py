"""A data set described once, in NAME.toml: the settings of its stages, and a first draft of them from its files."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
