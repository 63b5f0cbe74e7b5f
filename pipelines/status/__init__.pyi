from .recent import Recent as Recent
from .status import Status as Status, status as status
