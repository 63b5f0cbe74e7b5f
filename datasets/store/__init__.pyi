from . import disk as disk
from .remains import Kept as Kept, Remains as Remains, put_back as put_back
from .repository import Conflict as Conflict, refuse_unseen as refuse_unseen
from .store import Store as Store
from .writer import Writer as Writer
