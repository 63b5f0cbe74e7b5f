from . import simvp as simvp
from .blend import BlendMoments as BlendMoments, Moments as Moments, Shifts as Shifts
from .config import UNREAD as UNREAD, SimVPConfig as SimVPConfig, Variant as Variant
from .footprint import peak as peak, refuse_beyond as refuse_beyond
from .gridded import GriddedConfig as GriddedConfig, GriddedSimVP as GriddedSimVP
from .normalisation import LEAK as LEAK
from .pretrained import from_pretrained as from_pretrained
from .saved import build as build, evaluated as evaluated, written as written
from .simvp import SimVP as SimVP
