"""The contract between labels and tensors: what a frame is made of, fitted on the training period only.

`frame_spec` turns labelled frames into tensors and back, `channel` holds what a frame is made of (states, forcings,
known inputs, statics), `known` has known inputs by time, beside the frames, `acceptance` says what data it takes,
`filling` how many points may be missing and what stands in for them, `possible` what values a quantity cannot have,
`plausible` what is far from anything that training saw, `climatology` holds the means by hour, weekday and month, and
`statistics` reads the training period, once for the contract and the baselines together.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
