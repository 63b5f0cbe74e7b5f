from .archive import Archive as Archive
from .commits import Commit as Commit
from .integrity import (
    regain as regain,
    regain_digests as regain_digests,
    sum_fault as sum_fault,
    unlike_digest as unlike_digest,
)
from .manifest import files_noted as files_noted, stamps_of as stamps_of
from .schema import shown as shown
