from .console import Screen as Screen
from .services import (
    Addresses as Addresses,
    Services as Services,
    free_port as free_port,
    offline_environment as offline_environment,
    running as running,
)
