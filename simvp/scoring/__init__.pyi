from .baselines import EXTRAPOLATION as EXTRAPOLATION, NAMES as NAMES, Baselines as Baselines
from .ensembles import ensemble_errors as ensemble_errors
from .events import events as events, rain_limits as rain_limits, success as success
from .metrics import VideoScores as VideoScores, overall as overall
from .point import at as at
from .scores import compare as compare, frames_of as frames_of, positions_of as positions_of, summarise as summarise
from .sharp import EVEN as EVEN, SAYS as SAYS, chosen_say as chosen_say, sharpened as sharpened
from .verification import score as score
