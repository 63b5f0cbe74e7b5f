from . import disk as disk
from .repository import Conflict as Conflict
from .store import Store as Store
from .writer import Writer as Writer
