"""What the base forecast is made of: predictors of the departure at the valid time, for init times and a lead.

With d = x - m the departure from the climatology, i the init time, l the lead, v = i + l the valid time, T the input
frames and n the steps of a cycle, the predictors are, in this order:

====================  ==============================================================================================
``last``              d(i)
``trend``             d(i) - d(i - 1)
``neighbours``        mean of d(i) over the 3 x 3 points around
``domain``            area-weighted mean of d(i)
``recent``            mean of d over the last frames, a quarter of T but 4 at most
``window``            mean of d over the last T frames
``cycle_n``           d(v - kn), one for each cycle, with the smallest k for which that time has been observed
``activity_recent``   s u(v), where u is the climatology's course (of amounts: the climatology) and s the regression of
``activity_window``   d on it over the recent and over the last T frames: a day on which more, or less, is on the move
``other_p``           m_p(v) - m(v), one for each further climatology, of period p
``initial_normal``    m(i) - m(v)
``cycle_normal_n``    m(v - kn) - m(v), one for each cycle
``normal``            m(v), of amounts only: so that where nothing has been for hours the forecast can be nothing
``advected``          x(i) carried on along its motion to v: of rain (`simvp.motion`)
``advected_mean``     the same, of the mean over the 3 x 3 points around
====================  ==============================================================================================

Of rain, which is nothing most of the time, d is x itself and nothing is added: where it is dry it stays dry, except for
what the coefficient of `normal` says.

Each of the baselines is a linear combination of them, see `baseline_coefficients`.

Letters: n init times, K predictors, P points, R slots of a run.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from simvp.base_forecast.series import Series, fill_forward, maps_at
from simvp.contract import Climatology
from simvp.motion import FRAMES, extrapolate
from simvp.record import Record
from simvp.scoring import EXTRAPOLATION

RECENT = 4  # frames at most
BY_CYCLE = ("cycle", "cycle_normal")


@dataclass(frozen=True, kw_only=True)
class Design(Record):
    """Which predictors there are.

    Parameters
    ----------
    frames_in
        T.
    cycles
        Steps of the cycles, rising.
    others
        Periods of the further climatologies.
    amount
        Whether the values are amounts, which end at zero.
    active
        Whether the climatology has a course, on which departures can be projected.
    moving
        Whether it is rain, which is carried along its motion.
    """

    frames_in: int
    cycles: tuple[int, ...] = ()
    others: tuple[str, ...] = ()
    amount: bool = False
    active: bool = False
    moving: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the K predictors."""
        return (
            "last",
            *(("trend",) if self.frames_in > 1 else ()),
            "neighbours",
            "domain",
            *(("recent", "window") if self.frames_in > 1 else ()),
            *(f"cycle_{n}" for n in self.cycles),
            *(("activity_recent", "activity_window") if self.active else ()),
            *(f"other_{period}" for period in self.others),
            "initial_normal",
            *(f"cycle_normal_{n}" for n in self.cycles),
            *(("normal",) if self.amount else ()),
            *(("advected", "advected_mean") if self.moving else ()),
        )

    @property
    def far(self) -> tuple[int, ...]:
        """Cycles that reach back beyond the T input frames."""
        return tuple(n for n in self.cycles if n > self.frames_in)

    @property
    def within(self) -> np.ndarray:
        """(K,) bool: the predictors that need the T input frames alone."""
        far = {f"{kind}_{n}" for kind in BY_CYCLE for n in self.far}
        return np.array([name not in far for name in self.names])

    @property
    def history(self) -> int:
        """Frames up to the init time that all predictors together look at."""
        return max(self.frames_in, *self.cycles, 1)


def baseline_coefficients(design: Design, cycle: int | None, damping: float) -> dict[str, np.ndarray]:
    """The baselines as coefficients (K,) of the predictors.

    Parameters
    ----------
    cycle
        Of seasonal persistence, in steps; without one it is persistence.
    damping
        Of damped anomaly persistence, at this lead.
    """

    def vector(**coefficients: float) -> np.ndarray:
        return np.array([coefficients.get(name, 0.0) for name in design.names])

    if design.moving:
        persistence = vector(last=1.0)
        return {
            "persistence": persistence,
            "seasonal_persistence": persistence if cycle is None else vector(**{f"cycle_{cycle}": 1.0}),
            "climatology": vector(normal=1.0),
            "anomaly_persistence": vector(last=1.0, initial_normal=-1.0),
            "damped_anomaly": vector(last=damping, initial_normal=-damping, normal=1.0 - damping),
            EXTRAPOLATION: vector(advected=1.0),
        }
    persistence = vector(last=1.0, initial_normal=1.0)
    seasonal = {f"cycle_{cycle}": 1.0, f"cycle_normal_{cycle}": 1.0}
    return {
        "persistence": persistence,
        "seasonal_persistence": persistence if cycle is None else vector(**seasonal),
        "climatology": vector(),
        "anomaly_persistence": vector(last=1.0),
        "damped_anomaly": vector(last=damping),
    }


@dataclass(kw_only=True, eq=False)
class Block:
    """Predictors and targets of init slots that lie close to each other.

    Parameters
    ----------
    series
        The frames.
    design
        Which predictors.
    climatology, others
        m, and the further climatologies by period.
    area
        (P,) weights of the points, of sum one.
    inits
        (n,) rising slots.
    leads
        Leads that will be asked for.
    ahead
        Whether frames after the init times are read, for the targets.
    """

    series: Series
    design: Design
    climatology: Climatology
    others: Mapping[str, Climatology]
    area: np.ndarray
    inits: np.ndarray
    leads: int
    ahead: bool = False

    def __post_init__(self) -> None:
        T = self.design.frames_in
        self._start, self._stop = int(self.inits[0]) - T + 1, int(self.inits[-1])
        values = self.series.read(self._start, self._stop + (self.leads if self.ahead else 0))
        slots = np.arange(self._start, self._stop + self.leads + 1)
        times = self.series.times(slots)
        self._normal = maps_at(self.climatology, times, self.series.valid)
        self._other = {p: maps_at(c, times, self.series.valid) for p, c in self.others.items()}
        # What departures are from, and what forecasts are added to.
        self._reference = np.zeros_like(self._normal) if self.design.moving else self._normal
        departures = values - self._reference[: len(values)]
        self._targets = departures[T:] if self.ahead else departures[:0]
        near = departures[: self._stop - self._start + 1].copy()
        fill_forward(near, T)
        self._near = near
        self._fields()

    def targets(self, lead: int) -> np.ndarray:
        """Departures at the valid times, (n, P); NaN where unknown."""
        return self._targets[self.inits - self._start + lead - self.design.frames_in]

    def reference(self, lead: int) -> np.ndarray:
        """What departures at the valid times are from, (n, P): the climatology; nothing where it is rain."""
        return self._reference[self.inits - self._start + lead]

    def predictors(self, lead: int) -> np.ndarray:
        """(n, P, K) float32; NaN where a frame of a cycle that reaches beyond T is not there."""
        at, design = self.inits - self._start + lead, self.design
        parts = dict(self._now)
        normal = self._normal[at]
        for n in design.cycles:
            back = n * -(-lead // n)
            if n <= design.frames_in:
                departure, then = self._near[at - back], self._normal[at - back]
            else:
                rows = self.inits - int(self.inits[0]) + lead - 1
                departure, then = (maps[rows] for maps in self._far[n])
            parts[f"cycle_{n}"], parts[f"cycle_normal_{n}"] = departure, then - normal
        if design.active:
            course = normal if design.amount else normal - self._mean
            parts["activity_recent"] = self._swings["recent"][:, None] * course
            parts["activity_window"] = self._swings["window"][:, None] * course
        parts |= {f"other_{period}": maps[at] - normal for period, maps in self._other.items()}
        parts["initial_normal"] = self._normal[at - lead] - normal
        if design.amount:
            parts["normal"] = normal
        if design.moving:
            parts["advected"] = self._advected[:, lead - 1]
            parts["advected_mean"] = neighbours(self._advected[:, lead - 1], self.series.valid)
        made = np.empty((*normal.shape, len(design.names)), np.float32)
        for number, name in enumerate(design.names):
            made[..., number] = parts[name]
        return made

    def _fields(self) -> None:
        """What does not depend on the lead."""
        design, rows = self.design, self.inits - self._start
        last = self._near[rows]
        self._now = {"last": last, "neighbours": neighbours(last, self.series.valid)}
        self._now["domain"] = np.broadcast_to((last @ self.area)[:, None], last.shape)
        if design.frames_in > 1:
            recent = recent_frames(design.frames_in)
            self._now["trend"] = last - self._near[rows - 1]
            total = np.cumsum(np.concatenate([np.zeros_like(self._near[:1], "f8"), self._near]), axis=0)
            for name, count in (("recent", recent), ("window", design.frames_in)):
                self._now[name] = ((total[rows + 1] - total[rows + 1 - count]) / count).astype(np.float32)
        if design.active:
            self._mean = maps_mean(self.climatology, self.series.valid)
            course = self._normal[: len(self._near)] - (0 if design.amount else self._mean)
            product, square = ((part * course) @ self.area for part in (self._near, course))
            sums = [np.concatenate([[0.0], np.cumsum(part, dtype="f8")]) for part in (product, square)]
            self._swings = {}
            for name, count in (("recent", recent_frames(design.frames_in)), ("window", design.frames_in)):
                of = [part[rows + 1] - part[rows + 1 - count] for part in sums]
                # Where the course hardly moves in these frames (a night), nothing can be told of it.
                floor = 0.05 * count * float(square.mean())
                self._swings[name] = (of[0] / np.maximum(of[1], max(floor, 1e-12))).astype(np.float32)
        if design.moving:
            back = rows[:, None] + np.arange(1 - min(FRAMES, design.frames_in), 1)
            maps = np.full((*back.shape, *self.series.valid.shape), np.nan, np.float32)
            maps[..., self.series.valid] = self._near[back]
            self._advected = extrapolate(maps, self.leads)[..., self.series.valid]
        self._far = {}
        for n in design.far:
            start, stop = int(self.inits[0]) + 1 - n, int(self.inits[-1]) + self.leads - n
            values = self.series.read(start, stop)
            normal = maps_at(self.climatology, self.series.times(np.arange(start, stop + 1)), self.series.valid)
            here = np.isfinite(values).any(1)
            values = values if design.moving else values - normal
            departures = np.where(np.isfinite(values) | ~here[:, None], values, np.float32(0))
            self._far[n] = departures, normal


def recent_frames(frames_in: int) -> int:
    """Frames that count as recent."""
    return max(min(2, frames_in), min(RECENT, frames_in // 4))


def maps_mean(climatology: Climatology, valid: np.ndarray) -> np.ndarray:
    """Mean of a climatology over its positions, (P,)."""
    return climatology.values.mean((0, 1))[valid]


def neighbours(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Mean over the 3 x 3 points around, of those that count, (n, P)."""
    maps = torch.zeros(len(values), 1, *valid.shape)
    inside = torch.from_numpy(valid)
    maps[:, 0, inside] = torch.from_numpy(np.ascontiguousarray(values))
    pool = torch.nn.functional.avg_pool2d
    share = pool(inside[None, None].float(), 3, stride=1, padding=1)
    means = pool(maps, 3, stride=1, padding=1) / share.clamp(min=1 / 9)
    return means[:, 0, inside].numpy()
