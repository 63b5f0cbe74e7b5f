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
Network
    Windows overlap; independent ones share no frame: the span of the training periods over T + T'. With fewer than
    `INDEPENDENT` no network is trained (`network_pays`). With 4, monthly sea surface temperature got worse on
    validation from the first epoch on; with 12 and 13, taxi pickups and hourly temperature gained. It depends on the
    data: simulated weather, one law for all points, gains with 4. The rule stays near the lower end, since an epoch
    that does not help is not kept.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr
from pydantic import Field

from pipelines.windows import Choice, Layout, Mode, Periods
from simvp.coords import Step
from simvp.errors import ConfigError
from simvp.settings import Settings
from simvp.times import calendar_of, name_time, parse_times

MINIMUM = {"train": 16, "validation": 4, "held_out": 4}
INDEPENDENT = 6


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
    lengths = {"frames_in": frames_in, "frames_out": frames_out}
    faults = [f"{name}: expected 1 or more, got {n}" for name, n in lengths.items() if n is not None and n < 1]
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
            plan = Plan(
                step=step,
                calendar=calendar_of(times),
                frames_in=t_in,
                frames_out=t_out,
                cycle=cycle,
                periods=periods,
                counts=counts,
                text="",
            )
            return plan.replace(text=_say(plan, layout, tried[0], lengths.values(), source))
    raise too_few_windows(*tried[-1], frames=int(present.sum()))


def independent_windows(plan: Plan) -> int:
    """How many windows of T + T' frames the training periods could hold side by side, none sharing a frame."""
    frames = sum(int(plan.step.index(np.array([last]), first)[0]) + 1 for first, last in plan.intervals("train"))
    return frames // (plan.frames_in + plan.frames_out)


def network_pays(plan: Plan) -> bool:
    """Whether there is enough to train a network on, by the rule of this module."""
    return independent_windows(plan) >= INDEPENDENT


def network_words(plan: Plan) -> str:
    """What the rule says of a network, in words."""
    count = independent_windows(plan)
    windows = f"{count} independent windows of T + T' = {plan.frames_in + plan.frames_out} frames"
    if network_pays(plan):
        return f"pays: {windows} to train on (at least {INDEPENDENT})"
    return f"no network: {windows} to train on, {INDEPENDENT} are needed"


def too_few_windows(
    frames_in: int,
    frames_out: int,
    counts: dict[str, int],
    *,
    frames: int,
    lost: Mapping[str, int] | None = None,
    missing: Sequence[str] = (),
    share: float | None = None,
) -> ConfigError:
    """The refusal of a training whose parts hold too few windows.

    Parameters
    ----------
    counts
        Windows of each part.
    frames
        That can be used.
    lost
        Windows of each part that were dropped for missing values, where any were.
    missing
        What frames lack, by variable, in words.
    share
        The missing_share that would take them.
    """
    lost = {part: number for part, number in (lost or {}).items() if number}
    reasons = [
        f"{part}: expected {least} or more, got {counts[part]}"
        + (f"; {lost[part]} were dropped for missing values" if part in lost else "")
        for part, least in MINIMUM.items()
    ]
    remedy = (
        "ingest more frames, fill the gaps, or ask for smaller frames_in and frames_out or a shorter held-out period"
    )
    if lost:
        reasons += missing
        remedy = "leave such variables out (variables), " + remedy
        if share is not None:
            remedy = (
                f"set missing_share to {share:g}, which has the missing values of all these frames filled, {remedy}"
            )
    return ConfigError(
        f"Too few windows to train on ({frames} frames, T = {frames_in}, T' = {frames_out})", reasons, remedy
    )


def _sizes(step: Step, frames_in: int | None, frames_out: int | None) -> list[tuple[int, int]]:
    """T and T' to try, the wanted ones first; each pair but the first halves what was not given."""
    day = step.per_day or 1
    whole_days = -(-8 // day) * day
    rule = whole_days if day > 1 and whole_days <= 48 else 12
    t_in = frames_in or max(rule, frames_out or 0)
    t_out = frames_out or max(1, t_in // 2)
    sizes = [(t_in, t_out)]
    while True:
        t_in = t_in if frames_in else max(2, t_in // 2, frames_out or 0)
        t_out = t_out if frames_out else max(1, t_out // 2)
        if (t_in, t_out) == sizes[-1]:
            return sizes
        sizes.append((t_in, t_out))


def _say(
    plan: Plan, layout: Layout, first: tuple[int, int, dict[str, int]], lengths: Iterable[int | None], source: str
) -> str:
    """The plan in words, one line for each thing; `first`: the T and T' that were tried first, and their windows."""
    absent = layout.slots - int(layout.present.sum())
    derived = "derived from the step"
    if first[:2] != (plan.frames_in, plan.frames_out):
        short = ", ".join(f"{part} {first[2][part]}" for part in MINIMUM)
        derived = f"halved: T = {first[0]}, T' = {first[1]} leave too few windows ({short})"
    t_in, t_out = (source if length else derived for length in lengths)
    words = {"auto": "the one that predicts best what it was not fitted on (see the model)", "None": "none (given)"}
    periods = plan.periods
    lines = [
        f"frames      {layout.slots} from {name_time(layout.axis[0])} to {name_time(layout.axis[-1])}, every "
        f"{layout.step} ({layout.calendar}), {absent} absent",
        f"T           {plan.frames_in} ({t_in})",
        f"T'          {plan.frames_out} ({t_out})",
        f"cycle       {words.get(str(plan.cycle), f'{plan.cycle} ({source})')}",
        f"periods     {periods.mode}",
    ]
    for part, pieces, keys in (
        ("train", periods.train, ()),
        ("validation", periods.validation, ("validation",)),
        ("held_out", (periods.held_out,), ("held_out", "held_out_days")),
        ("reference", periods.reference, ("reference",)),
    ):
        how = source if layout.stated.intersection(keys) else "derived"
        spans = "; ".join(f"{a} .. {b}" for a, b in pieces)
        size = f", {plan.counts[part]} windows (at least {MINIMUM[part]})" if part in plan.counts else ""
        lines.append(f"{part:<12}{how}{size}: {spans}")
    lines.append(f"network     {network_words(plan)}")
    return "\n".join(lines)
