from .contract.frame_spec import FrameSpec as FrameSpec
from .forecaster import Forecaster as Forecaster
from .networks.pretrained import from_pretrained as from_pretrained
from .networks.simvp import SimVP as SimVP
from .networks.simvp import SimVPConfig as SimVPConfig
from .prediction import load as load
from .prediction import predict as predict
from .version import __version__ as __version__
