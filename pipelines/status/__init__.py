"""Where every data set stands: last frame, last forecast, what is due, champion, skill of late, disk, warnings."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
