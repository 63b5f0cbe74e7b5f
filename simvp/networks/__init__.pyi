from . import simvp as simvp
from .blend import BlendMoments as BlendMoments, Moments as Moments, Shifts as Shifts
from .config import FURTHEST as FURTHEST, UNREAD as UNREAD, SimVPConfig as SimVPConfig, Variant as Variant
from .footprint import peak as peak, refuse_beyond as refuse_beyond
from .gridded import GriddedConfig as GriddedConfig, GriddedSimVP as GriddedSimVP
from .normalisation import LEAK as LEAK
from .pretrained import from_pretrained as from_pretrained, refuse_packed as refuse_packed
from .saved import (
    evaluated as evaluated,
    loaded as loaded,
    sizes_of as sizes_of,
    written as written,
)
from .simvp import SimVP as SimVP
