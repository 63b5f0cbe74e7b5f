from .extrapolation import FRAMES as FRAMES, extrapolate as extrapolate
