"""Which frames belong together, and their values.

`periods` says what trains, chooses and is held out, `windows` which windows a part offers, `frames` what normalised
frames lack, `held` keeps them and copies windows out of them, `sequences` makes arrays of windows, `batches` is what
any training reads, `prefetch` has them ready, `shifts` asks the data by how much windows shift in training.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
