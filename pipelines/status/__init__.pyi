from .status import Status as Status, status as status
