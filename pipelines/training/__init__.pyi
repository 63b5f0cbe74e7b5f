from .config import (
    LoopConfig as LoopConfig,
    Size as Size,
    SourceSettings as SourceSettings,
    TrainConfig as TrainConfig,
    TrainSettings as TrainSettings,
)
from .device import (
    choose_device as choose_device,
    choose_precision as choose_precision,
    keep_freed_memory as keep_freed_memory,
)
from .gridded import GriddedTask as GriddedTask, TrainReport as TrainReport
from .loop import Score as Score, TrainingLoop as TrainingLoop, predictions as predictions
from .network import SIZES as SIZES, build_network as build_network, fit_start as fit_start
from .plan import Plan as Plan, derive_plan as derive_plan
from .run import (
    exclusive_folder as exclusive_folder,
    join_training as join_training,
    run_training as run_training,
    training_key as training_key,
)
