"""The contract between labels and tensors: what a frame is made of, fitted on the training period only.

`frame_spec` turns labelled frames into tensors and back, `channel` holds what a frame is made of (states, forcings,
statics), `climatology` the means by hour, weekday and month, `statistics` reads the training period, once for the
contract and the baselines together, and `possible` knows what values a quantity cannot have.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
