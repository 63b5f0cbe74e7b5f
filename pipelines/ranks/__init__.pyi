from .group import ALONE as ALONE, Ranks as Ranks, joined as joined, launches as launches
from .launch import launched as launched
