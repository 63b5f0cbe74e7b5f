from .dataset import open_grib as open_grib
from .messages import KEYS as KEYS
