from .contract.frame_spec import FrameSpec as FrameSpec
from .files.export import export as export
from .inference.forecaster import Forecaster as Forecaster
from .inference.predict import load as load, predict as predict
from .networks.config import SimVPConfig as SimVPConfig
from .networks.pretrained import from_pretrained as from_pretrained
from .networks.simvp import SimVP as SimVP
from .scoring.point import at as at
from .scoring.verification import score as score
from .stores import open_archive as open_archive, open_forecasts as open_forecasts
from .version import __version__ as __version__
