from .baselines import EXTRAPOLATION as EXTRAPOLATION, NAMES as NAMES, Baselines as Baselines
from .ensembles import ensemble_errors as ensemble_errors
from .events import (
    RATES as RATES,
    contingency as contingency,
    event_sums as event_sums,
    fractions_skill as fractions_skill,
    outcomes as outcomes,
    rain_limits as rain_limits,
)
from .metrics import VideoScores as VideoScores, overall as overall
from .point import at as at
from .scores import compare as compare, frames_of as frames_of, positions_of as positions_of, summarise as summarise
from .sharp import EVEN as EVEN, SAYS as SAYS, chosen_say as chosen_say, sharpened as sharpened
from .spectra import energy as energy
from .verification import score as score
