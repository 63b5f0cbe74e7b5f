from .contents import (
    contents as contents,
    forecast_contents as forecast_contents,
    grid_words as grid_words,
    lines as lines,
    model_contents as model_contents,
)
from .export import files_of as files_of
from .source import (
    Data as Data,
    Location as Location,
    as_given as as_given,
    is_repository as is_repository,
    opened as opened,
)
