from .description import (
    Description as Description,
    IngestSettings as IngestSettings,
    described_in as described_in,
    find_description as find_description,
    read_description as read_description,
)
from .draft import Draft as Draft, draft_of as draft_of
