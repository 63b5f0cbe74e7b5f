from .baselines import NAMES as NAMES
from .baselines import Baselines as Baselines
from .metrics import VideoScores as VideoScores
from .metrics import overall as overall
from .scores import errors as errors
from .scores import summarise as summarise
