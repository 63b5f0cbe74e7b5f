from .baselines import NAMES as NAMES, Baselines as Baselines
from .metrics import VideoScores as VideoScores, overall as overall
from .scores import compare as compare, errors as errors, summarise as summarise
