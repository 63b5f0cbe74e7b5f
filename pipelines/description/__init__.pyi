from .description import (
    Description as Description,
    find_description as find_description,
    read_description as read_description,
)
from .draft import Draft as Draft, draft_of as draft_of
