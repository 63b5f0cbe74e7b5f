"""Whether a model and what it is given are still what they were: sequential tests with a stated rate of false alarms.

Everything is computed anew from the archive, the scores and the model's file each time, so that a run that is killed
loses nothing, and a frame that is filled or replaced afterwards counts as it is.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
