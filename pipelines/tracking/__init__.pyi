from .artifacts import artifact_root as artifact_root
from .card import Origin as Origin, Skill as Skill, card as card, shares as shares
from .database import mlflow_file as mlflow_file
from .database_file import DatabaseFile as DatabaseFile
from .known_champion import load_champion as load_champion
from .makers import Makers as Makers
from .provenance import (
    CHECKOUT as CHECKOUT,
    code_digest as code_digest,
    git_state as git_state,
    package_versions as package_versions,
)
from .runs import (
    NOTE as NOTE,
    Run as Run,
    close_run as close_run,
    log_metrics as log_metrics,
    open_run as open_run,
)
from .versions import (
    CHALLENGER as CHALLENGER,
    LONGEST_TAG as LONGEST_TAG,
    find_version as find_version,
    list_versions as list_versions,
    model_name as model_name,
    open_registry as open_registry,
    register_version as register_version,
    resolve_version as resolve_version,
    set_challenger as set_challenger,
)
