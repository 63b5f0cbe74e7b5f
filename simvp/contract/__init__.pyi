from .channel import Forcing as Forcing, State as State
from .climatology import Climatology as Climatology, Period as Period, choose as choose, supported as supported
from .frame_spec import FrameSpec as FrameSpec
from .statistics import blocks as blocks, cycles_in as cycles_in, sample as sample, what_was_seen as what_was_seen
