from .extrapolation import FRAMES as FRAMES, extrapolate as extrapolate
from .matching import probability_matched as probability_matched
