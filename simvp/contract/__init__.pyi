from .bounds import (
    below_zero as below_zero,
    bounds_of as bounds_of,
    is_precipitation as is_precipitation,
    never_below_zero as never_below_zero,
)
from .channel import Forcing as Forcing, Known as Known, State as State, Static as Static
from .climatology import (
    Climatology as Climatology,
    Period as Period,
    Sums as Sums,
    size_of as size_of,
    supported as supported,
)
from .filling import (
    MISSING_SHARE as MISSING_SHARE,
    fill as fill,
    filled_frames as filled_frames,
    missing_shares as missing_shares,
    percent as percent,
)
from .frame_spec import FrameSpec as FrameSpec
from .known import (
    SOURCE as SOURCE,
    KnownInputs as KnownInputs,
    attach as attach,
    canonical_known as canonical_known,
    carried as carried,
    carry as carry,
    known_faults as known_faults,
    values_at as values_at,
)
from .plausible import intermittent as intermittent, what_was_seen as what_was_seen
from .possible import impossible as impossible
from .statistics import (
    Statistics as Statistics,
    Summary as Summary,
    cycle_lengths as cycle_lengths,
    cycles_in as cycles_in,
    logarithm as logarithm,
    mean_above_zero as mean_above_zero,
    pairs as pairs,
)
