from .faults import StoreReport as StoreReport
from .reading import (
    Reading as Reading,
    read_store as read_store,
    refuse_damaged as refuse_damaged,
    refuse_missing as refuse_missing,
)
