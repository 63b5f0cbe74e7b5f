from .baselines import EXTRAPOLATION as EXTRAPOLATION, NAMES as NAMES, Baselines as Baselines
from .events import events as events, sharpened as sharpened, success as success, thresholds as thresholds
from .metrics import VideoScores as VideoScores, overall as overall
from .scores import compare as compare, frames_of as frames_of, positions_of as positions_of, summarise as summarise
