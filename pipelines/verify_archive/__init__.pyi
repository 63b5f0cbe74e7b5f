from .faults import ArchiveReport as ArchiveReport
from .reading import refuse_damaged as refuse_damaged, refuse_missing as refuse_missing
from .stage import verify_archive as verify_archive
