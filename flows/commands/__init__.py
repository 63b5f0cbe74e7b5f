"""Commands of `simvp` beside those of the wheel; entry points name them, so that each is loaded alone."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
