from .archive import Archive as Archive
from .commits import Commit as Commit
from .manifest import stamps_of as stamps_of
from .schema import shown as shown
