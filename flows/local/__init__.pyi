from .console import Screen as Screen
from .services import Addresses as Addresses
from .services import Services as Services
from .services import free_port as free_port
from .services import offline_environment as offline_environment
from .services import running as running
