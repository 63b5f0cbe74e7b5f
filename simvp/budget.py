"""One budget of memory for what is held at a time, and the rule by which it is divided.

Whoever reads, scales, scores or forecasts in parts asks how many items fit into its share. The shares are those of
stages that can be at work at once, each of which makes a few copies of what it holds: together they stay within the
budget, whatever the grid. What a user states for frames (`memory_mib` of a training) is a budget of its own, in whose
place none of these counts.

========  ========================================================================================
share     held at a time
========  ========================================================================================
1         frames of one call of `predict`, loaded once where they fit; features of a network on a GPU
1 / 4     histories and forecasts of a batch that is evaluated or scored; sums of a climatology; shortcuts
          that a network keeps; a source that is checked and then written
1 / 16    frames read at once by a fit, an ingest or a check
1 / 64    input and output of a batch of the network, which makes a few dozen times as much inside;
          maps of one variable that are compared
1 / 256   frames that are scaled at once, features of a network: small enough for a processor's caches
1 / 1024  maps whose windows are compared at once, which has to fit into the second of these caches
========  ========================================================================================
"""

BUDGET = 1 << 30
"""Bytes."""


def fitting(item: int, share: int = 1) -> int:
    """How many items of `item` bytes fit into the budget divided by `share`; one at least."""
    return max(1, BUDGET // share // max(1, item))
