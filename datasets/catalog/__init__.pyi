from .entries import DEFAULT as DEFAULT, SOURCES as SOURCES, find_source as find_source
from .sources import (
    FileSource as FileSource,
    NamedSource as NamedSource,
    SimulatedSource as SimulatedSource,
    Source as Source,
)
