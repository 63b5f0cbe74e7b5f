from .experts import (
    BASE as BASE,
    CORRECTED as CORRECTED,
    NETWORK as NETWORK,
    blended as blended,
    weighted as weighted,
)
from .forecaster import Forecaster as Forecaster
from .registry import (
    CHAMPION as CHAMPION,
    PREFIX as PREFIX,
    Registry as Registry,
    Version as Version,
    model_file_in as model_file_in,
    short_waits as short_waits,
)
from .registry_address import registry_exists as registry_exists
from .replay import (
    Adaptation as Adaptation,
    Replay as Replay,
    honest as honest,
    labelled as labelled,
    truth_maps as truth_maps,
)
from .request import steps_of as steps_of
