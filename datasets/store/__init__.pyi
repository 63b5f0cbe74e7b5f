from . import disk as disk
from .store import Conflict as Conflict, Store as Store
from .writer import Writer as Writer
