"""What a training takes from the data: step, T, T', cycle and periods, by a written rule, and in words.

The rule, where nothing is given
--------------------------------
T
    Sub-daily steps: the smallest number of whole days that has 8 frames or more, if that is 48 frames at most (hourly
    24, 30 min 48, 3 h and 6 h and 12 h 8). Otherwise 12. A model that sees a whole day can tell the daily cycle
    from the weather.
T'
    T // 2. Where only T' is given, T is not smaller than that.
Periods
    As `pipelines.windows.periods` says.
Minimum
    `MINIMUM` windows per part. 16 training windows are one batch; 4 are the fewest validation and held-out windows
    that can be told from chance at T' = 1, where they are independent. Where they are not there, T and T' are
    halved (down to 2 and 1) as far as they were not given; then the training is refused with the three counts.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr
from pydantic import Field

from pipelines.windows import Choice, Layout, Mode, Periods, name_time
from simvp.coords import Step, calendar_of, parse_times
from simvp.errors import ConfigError
from simvp.settings import Settings

MINIMUM = {"train": 16, "validation": 4, "held_out": 4}


class Plan(Settings):
    """Everything a training takes from the data. `text` says it in words, and where it comes from."""

    step: Step
    calendar: str
    frames_in: int = Field(ge=1)
    frames_out: int = Field(ge=1)
    cycle: int | Literal["auto"] | None
    periods: Periods
    counts: dict[str, int]
    text: str

    def intervals(self, part: str) -> list[tuple[Any, Any]]:
        """Pieces of one part ("train", "validation", "held_out", "reference") as times of the series' calendar."""
        pieces = (self.periods.held_out,) if part == "held_out" else getattr(self.periods, part)
        return [(pair[0], pair[1]) for pair in (parse_times(piece, self.calendar) for piece in pieces)]


def derive_plan(
    ds: xr.Dataset,
    step: Step,
    *,
    frames_in: int | None = None,
    frames_out: int | None = None,
    cycle: int | Literal["auto"] | None = "auto",
    choice: Choice | None = None,
    mode: Mode = "study",
    source: str = "given",
) -> Plan:
    """Plan for an archive, by the rule of this module.

    Parameters
    ----------
    ds
        The archive: its `time`, and `present` (time) where frames can be absent.
    step
        Of the archive.
    frames_in, frames_out
        T and T', where they are not to be derived.
    cycle
        Steps of the seasonal cycle; None for none; "auto" leaves it to the contract.
    choice
        Periods that are given.
    mode
        Whether the periods are meant to stay ("study") or to move along ("operations").
    source
        How the text says where given values come from.

    Raises
    ------
    ConfigError
        Given values that contradict each other or the archive (all at once), or too few windows.
    """
    times = np.asarray(ds["time"].values)
    present = np.asarray(ds["present"].values, bool) if "present" in ds.coords else np.ones(len(times), bool)
    choice = choice or Choice()
    faults = [
        f"{name}: expected {least} or more, got {value}"
        for name, value, least in (("frames_in", frames_in, 1), ("frames_out", frames_out, 1))
        if value is not None and value < least
    ]
    if frames_in and frames_out and frames_out > frames_in:
        faults.append(
            f"frames_out: expected {frames_in} (frames_in) at most, got {frames_out}; longer forecasts are rolled out"
        )
    if isinstance(cycle, int) and cycle < 2:
        faults.append(f"cycle: expected 2 steps or more, or none, got {cycle}")
    if len(times) < 2:
        raise ConfigError("Archive", [*faults, f"expected frames to train on, got {len(times)}"])
    layout = Layout(times, present, step, mode)
    faults += layout.take(choice)
    if faults:
        raise ConfigError("Training plan", faults, "leave out what need not be given; it is derived from the data")
    tried = []
    for t_in, t_out in _sizes(step, frames_in, frames_out):
        periods, counts = layout.periods(t_in, t_out)
        tried.append((t_in, t_out, counts))
        if all(counts[part] >= least for part, least in MINIMUM.items()):
            text = _say(layout, t_in, t_out, cycle, periods, counts, tried, (frames_in, frames_out), source)
            return Plan(
                step=step,
                calendar=calendar_of(times),
                frames_in=t_in,
                frames_out=t_out,
                cycle=cycle,
                periods=periods,
                counts=counts,
                text=text,
            )
    raise too_few_windows(*tried[-1], frames=int(present.sum()))


def too_few_windows(frames_in: int, frames_out: int, counts: dict[str, int], *, frames: int) -> ConfigError:
    """The refusal of a training whose parts hold too few windows."""
    return ConfigError(
        f"Too few windows to train on ({frames} frames, T = {frames_in}, T' = {frames_out})",
        [f"{part}: expected {least} or more, got {counts[part]}" for part, least in MINIMUM.items()],
        "ingest more frames, fill the gaps, or ask for smaller frames_in and frames_out or a shorter held-out period",
    )


def _sizes(step: Step, frames_in: int | None, frames_out: int | None) -> list[tuple[int, int]]:
    """T and T' to try, the wanted ones first; each pair but the first halves what was not given."""
    t_in = frames_in or max(_rule(step), frames_out or 0)
    t_out = frames_out or max(1, t_in // 2)
    sizes = [(t_in, t_out)]
    while True:
        t_in = t_in if frames_in else max(2, t_in // 2, frames_out or 0)
        t_out = t_out if frames_out else max(1, t_out // 2)
        if (t_in, t_out) == sizes[-1]:
            return sizes
        sizes.append((t_in, t_out))


def _rule(step: Step) -> int:
    if step.per_day is None or step.per_day < 2:
        return 12
    frames = -(-8 // step.per_day) * step.per_day
    return frames if frames <= 48 else 12


def _say(
    layout: Layout,
    frames_in: int,
    frames_out: int,
    cycle: int | str | None,
    periods: Periods,
    counts: dict[str, int],
    tried: Sequence[tuple[int, int, dict[str, int]]],
    requested: tuple[int | None, int | None],
    source: str,
) -> str:
    """The plan in words, one line for each thing."""
    absent = layout.slots - int(layout.present.sum())
    lines = [
        f"frames      {layout.slots} from {name_time(layout.axis[0])} to {name_time(layout.axis[-1])}, every "
        f"{layout.step} ({layout.calendar}), {absent} absent",
    ]
    origin = [source if value else "derived from the step" for value in requested]
    if len(tried) > 1:
        first = tried[0]
        short = ", ".join(f"{part} {first[2][part]}" for part in MINIMUM)
        why = f"halved: T = {first[0]}, T' = {first[1]} leave too few windows ({short})"
        origin = [source if value else why for value in requested]
    lines.append(f"T           {frames_in} ({origin[0]})")
    lines.append(f"T'          {frames_out} ({origin[1]})")
    words = {"auto": "the one that predicts best what it was not fitted on (see the model)", None: "none (given)"}
    lines.append(f"cycle       {words[cycle] if cycle is None or isinstance(cycle, str) else f'{cycle} ({source})'}")
    lines.append(f"periods     {periods.mode}")
    for part, pieces, keys in (
        ("train", periods.train, ()),
        ("validation", periods.validation, ("validation",)),
        ("held_out", (periods.held_out,), ("held_out", "held_out_days")),
        ("reference", periods.reference, ("reference",)),
    ):
        how = source if layout.stated.intersection(keys) else "derived"
        spans = "; ".join(f"{a} .. {b}" for a, b in pieces)
        size = f", {counts[part]} windows (at least {MINIMUM[part]})" if part in counts else ""
        lines.append(f"{part:<12}{how}{size}: {spans}")
    return "\n".join(lines)
