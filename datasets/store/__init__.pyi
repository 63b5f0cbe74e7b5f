from . import disk as disk
from .location import join as join, names_in as names_in
from .store import Conflict as Conflict, Store as Store
from .writer import Writer as Writer
