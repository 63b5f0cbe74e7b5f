"""One training, from a plan to a registered version.

`config` is what can be requested and `plan` what follows from the data; `run` is the skeleton of every training and
`gridded` what is particular to archives; `network` builds, `loop` trains by the `loss`, `validation` scores,
`combination` joins network, base and baselines, `checkpoint` survives a kill, `device` says where and in which
precision.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
