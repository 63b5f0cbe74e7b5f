from .report import ArchiveReport as ArchiveReport
from .stage import verify_archive as verify_archive
