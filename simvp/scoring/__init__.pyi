from .baselines import EXTRAPOLATION as EXTRAPOLATION, NAMES as NAMES, Baselines as Baselines
from .ensembles import ensemble_errors as ensemble_errors, fair_crps as fair_crps, rank_shares as rank_shares
from .events import events as events, rain_limits as rain_limits, success as success
from .metrics import VideoScores as VideoScores, overall as overall
from .scores import compare as compare, frames_of as frames_of, positions_of as positions_of, summarise as summarise
from .sharp import EVEN as EVEN, SAYS as SAYS, chosen_say as chosen_say, sharpened as sharpened
from .spatial import (
    contingency as contingency,
    energy as energy,
    fractions_errors as fractions_errors,
    fractions_skill as fractions_skill,
)
from .verification import canonical_forecast as canonical_forecast, score as score
