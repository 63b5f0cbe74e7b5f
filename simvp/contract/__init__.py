"""The contract between labels and tensors: what a frame is made of, fitted on the training period only.

`frame_spec` is the road there and back, `channel` one channel of it, `climatology` what is usual at a place and a
time, `statistics` what is learned from the training period in one pass.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
