from .batches import Array as Array, Batches as Batches
from .frames import (
    Frames as Frames,
    missing_values as missing_values,
    sufficient_share as sufficient_share,
    surely_fits as surely_fits,
)
from .periods import (
    HELD_OUT_SHARE as HELD_OUT_SHARE,
    Choice as Choice,
    Layout as Layout,
    Mode as Mode,
    Periods as Periods,
    days_of as days_of,
    held_out_frames as held_out_frames,
)
from .prefetch import prefetched as prefetched
from .sequences import Sequences as Sequences
from .shifts import STILL as STILL, ShiftChoice as ShiftChoice, choose_shifts as choose_shifts
from .windows import (
    MEANING as MEANING,
    Audit as Audit,
    audit_table as audit_table,
    dropped_words as dropped_words,
    find_windows as find_windows,
)
