from . import checkpoint as checkpoint
from .config import OPERATIONAL as OPERATIONAL, LoopConfig as LoopConfig, Size as Size, TrainConfig as TrainConfig
from .device import choose_device as choose_device, choose_precision as choose_precision, threads as threads
from .loop import Fitting as Fitting, Score as Score, predictions as predictions
from .network import SIZES as SIZES, build_network as build_network, fit_start as fit_start
from .plan import Plan as Plan, derive_plan as derive_plan
from .run import Progress as Progress, Training as Training, TrainReport as TrainReport
