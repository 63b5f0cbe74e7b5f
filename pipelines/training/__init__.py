"""One training, from a plan to a registered version.

`config` is what can be asked for and `plan` what follows from the data; `run` is the whole of it, `network` builds,
`loop` trains, `validation` judges, `checkpoint` survives a kill, `device` says where and in which precision.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
