from .calibration import Calibration as Calibration
from .ensemble import request_faults as request_faults, with_bounds as with_bounds
from .spread import Errors as Errors, activity as activity
