from .baselines import NAMES as NAMES, Baselines as Baselines
from .metrics import VideoScores as VideoScores, overall as overall
from .scores import errors as errors, summarise as summarise
