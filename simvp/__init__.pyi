from .contract.frame_spec import FrameSpec as FrameSpec
from .forecaster import Forecaster as Forecaster
from .model import SimVP as SimVP
from .model import SimVPConfig as SimVPConfig
from .prediction import load as load
from .prediction import predict as predict
from .pretrained import from_pretrained as from_pretrained
from .version import __version__ as __version__
