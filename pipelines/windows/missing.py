"""What frames lack, in words: how many of them, how much, which are left out for it, and what would take them."""

import math

import numpy as np

from pipelines.windows.windows import Frames
from simvp.contract import FrameSpec, percent
from simvp.coords import name_time

MOST_NAMED = 3


def missing_values(frames: Frames, present: np.ndarray, spec: FrameSpec) -> list[str]:
    """A line for each variable that has missing values outside the mask, in frames that are there.

    Parameters
    ----------
    frames
        Looked through already.
    present
        (N,) bool; an absent frame is a gap, and lacks nothing.
    """
    lines, limit = [], spec.missing_share
    times, shares = frames.times[present], frames.missing[present]
    for name, share in zip(spec.states, shares.T, strict=True):
        if not share.any():
            continue
        lacking, over = share[share > 0], int((share > limit).sum())
        words = (
            f"{name}: missing values in {len(lacking)} of {len(share)} frames, {percent(lacking.mean())} of their "
            f"points in the mean; {over} of them lack more than {percent(limit)} (missing_share)"
        )
        if over:
            worst = np.argsort(-share, kind="stable")[: min(over, MOST_NAMED)]
            listed = ", ".join(f"{name_time(times[n])} ({percent(share[n])})" for n in worst)
            words += f" and are left out, the worst {listed}"
        lines.append(words)
    return lines


def sufficient_share(frames: Frames, present: np.ndarray) -> float | None:
    """The missing_share that takes all frames that have some value of every variable; None where it is 0.

    Rounded up to a hundredth.
    """
    most = frames.missing[present].max(axis=1, initial=0.0)
    partial = most[(most > 0) & (most < 1)]
    return min(math.ceil(100 * partial.max()) / 100, 0.99) if len(partial) else None
