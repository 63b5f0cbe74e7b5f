from .batches import Array as Array, Batches as Batches
from .frames import (
    Frames as Frames,
    missing_values as missing_values,
    sufficient_share as sufficient_share,
    surely_fits as surely_fits,
)
from .periods import Choice as Choice, Layout as Layout, Mode as Mode, Periods as Periods
from .sequences import Sequences as Sequences
from .shifts import STILL as STILL, ShiftChoice as ShiftChoice, choose_shifts as choose_shifts
from .windows import (
    MEANING as MEANING,
    Audit as Audit,
    audit_table as audit_table,
    dropped_words as dropped_words,
    find_windows as find_windows,
)
