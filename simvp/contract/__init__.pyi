from .channel import Forcing as Forcing, State as State
from .climatology import Climatology as Climatology
from .frame_spec import FrameSpec as FrameSpec
from .possible import impossible as impossible
from .statistics import Statistics as Statistics, pairs as pairs, what_was_seen as what_was_seen
