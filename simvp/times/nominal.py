"""The regular step that jittering times are meant to have: scans that start some seconds late, days kept in float32.

All in whole seconds, of steps and since 1970. A time counts for the slot from which it is not further than a quarter of
the step, a tenth where the step itself is found from such times, and never further than ten minutes.
"""

import numpy as np

from simvp.errors import Refusal
from simvp.times.dates import duration_words

KNOWN, FOUND, MOST = 4, 10, 600  # parts of the step, and seconds
DAY = 86_400
# Steps that people choose: whole parts of a minute, an hour and a day, and whole days.
STEPS = (
    *(1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30),
    *(60 * n for n in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)),
    *(3600 * n for n in (1, 2, 3, 4, 6, 8, 12)),
    *(DAY * n for n in (1, 2, 3, 4, 5, 6, 7, 8, 10, 14, 15, 16, 30)),
)


def tolerance(step: int, *, found: bool = False) -> int:
    """How far a time may lie from its slot; less where the step is not known, but found from the times."""
    return min(step // (FOUND if found else KNOWN), MOST)


def nearest_slots(seconds: np.ndarray, step: int, origin: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest slot of each time, counted from `origin`, and by how much the time is late for it; int64 both."""
    slots = (seconds - origin + step // 2) // step
    return slots, seconds - origin - slots * step


def first_slot(seconds: np.ndarray, step: int, *, found: bool = False) -> int:
    """First slot of a series with this step: its first time where all are exact, else a round time near it.

    Round are whole steps since midnight, then half ones; where the times are near neither, their own middle, to the
    minute or the second.

    Parameters
    ----------
    seconds
        (N,), rising.
    found
        As in `tolerance`.

    Raises
    ------
    Refusal
        Times beyond the tolerance of each of these.
    """
    first, allowed = int(seconds[0]), tolerance(step, found=found)
    if not nearest_slots(seconds, step, first)[1].any():
        return first
    midnight, grid = first // DAY * DAY, min(step, DAY)
    round_ones = [midnight, midnight + grid // 2] if DAY % grid == 0 else []
    middle = first + round(float(np.median(nearest_slots(seconds, step, first)[1])))
    starts = [start + round((first - start) / grid) * grid for start in round_ones]
    starts += [round(middle / unit) * unit for unit in (60, 1)]
    for start in starts:
        if (np.abs(nearest_slots(seconds, step, start)[1]) <= allowed).all():
            return start
    late = np.abs(nearest_slots(seconds, step, starts[-1])[1])
    reason = f"{int((late > allowed).sum())} of {len(seconds)} times miss a step of {_words(step)} by more than "
    raise Refusal("Time step", [f"{reason}{_words(allowed)}, at most by {_words(int(late.max()))}"])


def find_step(seconds: np.ndarray) -> int:
    """The usual step that all times keep to, and most from one to the next.

    Parameters
    ----------
    seconds
        (N,), N >= 2, rising.

    Raises
    ------
    Refusal
        There is none; the one that comes nearest is named.
    """
    differences = np.diff(seconds)
    # The mean is nearer to the step than any one of them, where no frame is absent.
    usual = float(differences[differences <= 1.5 * np.median(differences)].mean())
    step = min(STEPS, key=lambda step: abs(step - usual))
    try:
        first_slot(seconds, step, found=True)
    except Refusal as refusal:
        apart = " to ".join(_words(int(difference)) for difference in (differences.min(), differences.max()))
        reason = f"times are {apart} apart, most nearly {_words(step)}: {refusal.reasons[0]}"
        raise Refusal("Time step", [reason]) from None
    return step


def _words(seconds: int) -> str:
    return duration_words(np.timedelta64(seconds, "s"))
