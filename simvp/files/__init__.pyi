from .source import (
    Data as Data,
    Location as Location,
    as_given as as_given,
    is_repository as is_repository,
    opened as opened,
)
