"""Rain that moves: its motion between frames, and the last frame carried on along it.

`flow` estimates the motion by optical flow, `extrapolation` follows it backwards (semi-Lagrangian), `matching` gives a
smooth forecast the distribution of observed rain.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
