"""What a held-out period that holds too few blocks lacks, as steps, as a date, and in words.

The held-out period of a model that is there stays as it is. More of it comes with the next training: of a longer
archive, where the period is derived (`pipelines.windows.periods` has the rule), or of a period that is given.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from pipelines.windows import HELD_OUT_SHARE, days_of, held_out_frames
from simvp.coords import Step
from simvp.times import name_time


@dataclass(frozen=True, kw_only=True)
class Shortfall:
    """What would be enough.

    Parameters
    ----------
    steps
        Init times, one step apart, that have to follow the last one.
    more
        The same as a span: "1.5 days", "7 months".
    until
        Time of the last target then: how far the archive has to reach.
    held_out
        Span of all targets then.
    held_out_days
        The same as a number of days, rounded up: the setting of a training.
    archive
        Span of the shortest archive of which that much is held out where no period is given; None if of none.
    reasons
        In words, a sentence each.
    """

    steps: int
    more: str
    until: str
    held_out: str
    held_out_days: float
    archive: str | None
    reasons: tuple[str, ...]


def shortfall(
    steps: int,
    inits: np.ndarray,
    *,
    step: Step,
    frames_in: int,
    frames_out: int,
    archive: int | None = None,
) -> Shortfall:
    """What would be enough where some init times are missing.

    Parameters
    ----------
    steps
        Init times, one step apart, that are missing after the last one.
    inits
        (I,) rising init times that there are.
    step, frames_in, frames_out
        Of the series; T and T' of the windows.
    archive
        Frames that the archive spans; without it, `reasons` leave it out.
    """
    frames = int(step.index(inits[-1:], inits[0])[0]) + steps + frames_out
    days = _days(frames, step)
    shortest = _shortest_archive(frames, step, frames_in, frames_out)
    more, held_out = span(steps, step), span(frames, step)
    until = name_time(step.shift(inits[-1], steps + frames_out)[()])
    least = None if shortest is None else span(shortest, step)
    reasons = [f"enough would be {more} more of held-out data: targets up to {until}, {held_out} in all"]
    if archive is not None:
        reasons.append(_advice(archive, shortest, frames, step))
    return Shortfall(
        steps=steps,
        more=more,
        until=until,
        held_out=held_out,
        held_out_days=days,
        archive=least,
        reasons=tuple(reasons),
    )


def _advice(archive: int, shortest: int | None, frames: int, step: Step) -> str:
    """What to do, with an archive that spans so many frames, for that many to be held out."""
    # Half of it at most: a model has to be trained on something.
    given = [f"train with periods.held_out_days={_days(frames, step):g}"] if 2 * frames <= archive else []
    if shortest is None:
        rule, wait = "so much is never held out unless it is asked for", [] if given else ["let the archive grow"]
    else:
        rule = f"so much is held out by itself {'only ' if archive < shortest else ''}of {span(shortest, step)} or more"
        short = archive < shortest
        wait = [f"it takes {span(shortest - archive, step)} more" if short else "train again on it as it is"]
    return f"the archive spans {span(archive, step)}, and {rule}: {', or '.join([*wait, *given])}"


def span(frames: int, step: Step) -> str:
    """That many steps in words: days, to the next tenth, or calendar months ("0.5 days", "2 years, 1 month")."""
    if step.seconds:
        return _counted(_days(frames, step), "day")
    years, months = divmod(frames * step.months, 12)
    parts = [_counted(number, unit) for number, unit in ((years, "year"), (months, "month")) if number]
    return ", ".join(parts) or "0 months"


def _counted(number: float, unit: str) -> str:
    return f"{number:.10g} {unit}{'' if number == 1 else 's'}"


def _days(frames: int, step: Step) -> float:
    """Days that hold so many frames, to the next tenth; whole tenths stay what they are."""
    return math.ceil(round(10 * frames * days_of(step), 6)) / 10


def _shortest_archive(frames: int, step: Step, frames_in: int, frames_out: int) -> int | None:
    """Frames of the shortest archive of which so many are held out by the rule; None where there is none."""
    most = math.ceil(frames / HELD_OUT_SHARE) + 1
    rule = range(most + 1)
    found = bisect_left(rule, frames, key=lambda slots: held_out_frames(slots, step, frames_in, frames_out))
    return found if found <= most else None
