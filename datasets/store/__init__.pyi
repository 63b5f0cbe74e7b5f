from . import disk as disk
from .store import Store as Store
