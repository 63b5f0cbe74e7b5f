from .batches import Array as Array, Batches as Batches
from .init_times import due as due, missing_history as missing_history, on_hours as on_hours
from .missing import missing_values as missing_values, sufficient_share as sufficient_share
from .periods import Choice as Choice, Layout as Layout, Mode as Mode, Periods as Periods
from .windows import (
    MEANING as MEANING,
    Audit as Audit,
    Frames as Frames,
    Sequences as Sequences,
    audit_table as audit_table,
    dropped_words as dropped_words,
    find_windows as find_windows,
    surely_fits as surely_fits,
)
