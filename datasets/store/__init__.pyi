from . import disk as disk
from .remains import Kept as Kept, Remains as Remains, put_back as put_back
from .store import Conflict as Conflict, Store as Store
from .writer import Writer as Writer
