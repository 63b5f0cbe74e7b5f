"""What the base forecast is made of: predictors of the departure at the valid time, for init times and a lead.

With x the values as they are fitted (`simvp.base_forecast.transform`), m their climatology, d = x - m the departure,
i the init time, l the lead, v = i + l the valid time, T the input frames and n the steps of a cycle, the predictors
are, in this order:

====================  ==============================================================================================
``last``              d(i)
``trend``             d(i) - d(i - 1)
``neighbours``        mean of d(i) over the 3 x 3 points around
``domain``            area-weighted mean of d(i)
``recent``            mean of d over the last frames, a quarter of T but 2 to 4 (of those seen, point by point)
``window``            mean of d over the last T frames, likewise
``cycle_n``           d(v - kn), one for each cycle, with the smallest k for which that time has been observed
``activity_recent``   s u(v), where u is the climatology's course (of amounts: the climatology) and s the regression of
``activity_window``   d on it over the recent and over the last T frames: a day on which more, or less, is on the move
``other_p``           m_p(v) - m(v), one for each further climatology, of period p
``initial_normal``    m(i) - m(v)
``cycle_normal_n``    m(v - kn) - m(v), one for each cycle
``normal``            m(v), of amounts only: so that where nothing has been for hours the forecast can be nothing
``advected``          x(i) carried on along its motion to v: of rain (`simvp.motion`)
``advected_mean``     the same, of the mean over the 3 x 3 points around
``known_k``           f(v), of each known input k, with f its departure from its own climatology in standard deviations
``known_k_initial``   f(i): how much of d(i) is its doing, and passes with it
``known_k_course``    f(v) u(v): an effect that follows the daily course, as of a holiday on traffic
``known_k_cycle_n``   f(v - kn), one for each cycle: how much of the departure a cycle ago is its doing
====================  ==============================================================================================

Of rain, which is nothing most of the time, d is x itself and nothing is added: where it is dry it stays dry, except for
what the coefficient of `normal` says.

Each of the baselines is a linear combination of them, see `baseline_coefficients`.

A missing point of the last T frames is the departure last seen there within them, else 0, as in
`simvp.contract.filling`; of frames before these it is 0. So what is forecast depends on the init time alone, not on
which other ones are forecast with it.

Letters: n init times, K predictors, P points, R slots of a run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from simvp.base_forecast.series import Series, fill_forward, maps_at
from simvp.budget import fitting
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
    known
        Names of the known inputs.
    """

    frames_in: int
    cycles: tuple[int, ...] = ()
    others: tuple[str, ...] = ()
    amount: bool = False
    active: bool = False
    moving: bool = False
    known: tuple[str, ...] = ()

    def to_header(self) -> dict[str, Any]:
        """Everything as JSON; without known inputs as in models that were saved before there were any."""
        header = super().to_header()
        if not self.known:
            del header["known"]
        return header

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
            *(
                f"known_{name}{part}"
                for name in self.known
                for part in (
                    "",
                    "_initial",
                    *(("_course",) if self.active else ()),
                    *(f"_cycle_{n}" for n in self.cycles),
                )
            ),
        )

    def held(self, leads: int) -> int:
        """Values that a block holds for a point and an init time."""
        return len(self.names) + leads * self.moving

    @property
    def wet_when_dry(self) -> np.ndarray:
        """(K,) bool: of rain the predictors that are there in dry weather too."""
        return np.array([self.moving and name in ("initial_normal", "normal") for name in self.names])

    @property
    def far(self) -> tuple[int, ...]:
        """Cycles that reach back beyond the T input frames."""
        return tuple(n for n in self.cycles if n > self.frames_in)

    @property
    def within(self) -> np.ndarray:
        """(K,) bool: the predictors that need the T input frames alone."""
        kinds = (*BY_CYCLE, *(f"known_{name}_cycle" for name in self.known))
        far = {f"{kind}_{n}" for kind in kinds for n in self.far}
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
    whole
        The untransformed frames at all points, where `series` has some of them: of these the motion is estimated.
    """

    series: Series
    design: Design
    climatology: Climatology
    others: Mapping[str, Climatology]
    area: np.ndarray
    inits: np.ndarray
    leads: int
    ahead: bool = False
    whole: Series | None = None

    def __post_init__(self) -> None:
        T, names = self.design.frames_in, self.design.names
        self._start, stop = int(self.inits[0]) - T + 1, int(self.inits[-1])
        self._columns = self.inits - self._start
        times = self.series.times(np.arange(self._start, stop + self.leads + 1))
        values = self.series.read(self._start, stop + (self.leads if self.ahead else 0))
        self._normal = maps_at(self.climatology, times, self.series.valid)
        self._other = {period: maps_at(other, times, self.series.valid) for period, other in self.others.items()}
        # What departures are from, and what forecasts are added to.
        self._reference = np.zeros_like(self._normal) if self.design.moving else self._normal
        self._departures = values - self._reference[:, : values.shape[1]]
        # A point whose climatology is unknown counts neither as a target nor in a predictor.
        for maps in (self._normal, self._reference, *self._other.values()):
            np.nan_to_num(maps, copy=False)
        self._near = self._departures[:, : stop - self._start + 1].copy()
        self._now = self._means()
        self._seen = fill_forward(self._near)
        last = np.where(self._complete, self._recent(0), np.float32(np.nan))
        self._now |= {"last": last, "neighbours": neighbours(last, self.series.valid), "domain": self.area @ last}
        if "trend" in names:
            self._now["trend"] = last - self._recent(1)
        if self.design.moving:
            self._advected = self._carried_on()
        self._far = {n: self._cycle_ago(n) for n in self.design.far}
        self._known = {name: self._known_at(name, self._start, stop + self.leads) for name in self.design.known}
        self._known_far = {
            (name, n): self._known_at(name, *self._slots_ago(n)) for name in self.design.known for n in self.design.far
        }
        self._whole = np.empty((len(last), len(names), len(self.inits)), np.float32)
        self._made = {name: self._whole[:, number] for number, name in enumerate(names)}
        for name in names:
            self._made[name][:] = self._now.get(name, np.float32(0))

    def targets(self, lead: int) -> np.ndarray:
        """Departures at the valid times, (P, n); NaN where unknown."""
        return self._at(self._departures, lead)

    def reference(self, lead: int) -> np.ndarray:
        """What departures at the valid times are from, (P, n): the climatology; nothing where it is rain."""
        return self._at(self._reference, lead)

    def predictors(self, lead: int) -> np.ndarray:
        """(P, K, n) float32; NaN where one of the T frames, or a frame of a cycle that reaches beyond, is not there.

        The next call writes to the same array, which takes longer to allocate than to fill.
        """
        design, normal, made = self.design, self._at(self._normal, lead), self._made
        for n in design.cycles:
            back = n * -(-lead // n) - lead
            if n in self._far:
                departure, then = (self._at(maps, n - design.frames_in - back) for maps in self._far[n])
            else:
                departure, then = self._recent(back), self._at(self._normal, -back)
            made[f"cycle_{n}"][:] = departure
            np.subtract(then, normal, out=made[f"cycle_normal_{n}"])
        if design.active:
            course = normal if design.amount else normal - self._mean
            for name in ("activity_recent", "activity_window"):
                np.multiply(self._now[name], course, out=made[name])
        for period, maps in self._other.items():
            np.subtract(self._at(maps, lead), normal, out=made[f"other_{period}"])
        np.subtract(self._at(self._normal, 0), normal, out=made["initial_normal"])
        if design.amount:
            made["normal"][:] = normal
        if design.moving:
            made["advected"][:] = self._advected[lead - 1]
            made["advected_mean"][:] = neighbours(self._advected[lead - 1], self.series.valid)
        for name in design.known:
            self._take_known(name, lead)
        return self._whole

    def _take_known(self, name: str, lead: int) -> None:
        """Write the predictors of a known input."""
        design, made, maps = self.design, self._made, self._known[name]
        now = made[f"known_{name}"]
        now[:] = self._at(maps, lead)
        made[f"known_{name}_initial"][:] = self._at(maps, 0)
        if design.active:
            normal = self._at(self._normal, lead)
            np.multiply(now, normal if design.amount else normal - self._mean, out=made[f"known_{name}_course"])
        for n in design.cycles:
            back = n * -(-lead // n) - lead
            ago = (
                self._at(self._known_far[name, n], n - design.frames_in - back)
                if n in design.far
                else self._at(maps, -back)
            )
            made[f"known_{name}_cycle_{n}"][:] = ago

    def _at(self, maps: np.ndarray, offset: int) -> np.ndarray:
        """Maps (P, R) some slots after the init times, (P, n); no copy where init slots follow each other."""
        columns = self._columns + offset
        first, last = columns[0], columns[-1]
        return maps[:, first : last + 1] if last - first < len(columns) else maps[:, columns]

    def _recent(self, back: int) -> np.ndarray:
        """Departures some slots before the init times, (P, n), filled by what was seen within the T input frames."""
        values = self._at(self._near, -back)
        if self._seen is None:
            return values
        return np.where(self._at(self._seen, -back) > self._columns - self.design.frames_in, values, np.float32(0))

    def _means(self) -> dict[str, np.ndarray]:
        """Means over the last frames, and how much of the climatology's course is in them, of what was seen there."""
        design, known = self.design, np.isfinite(self._near)
        self._complete = self._sums(known.any(0), design.frames_in) == design.frames_in
        near = np.where(known, self._near, np.float32(0))
        if design.active:
            mean, usual = _course(self.climatology, self.series.valid)
            self._mean = mean[:, None].astype(np.float32)
            # Where the course hardly moves in these frames (a night), nothing can be told of it.
            least = 0.05 * float(self.area @ (usual if design.amount else usual - mean**2))
            course = self._normal[:, : near.shape[1]] - (0 if design.amount else self._mean)
            product, square = self.area @ (near * course), self.area @ np.where(known, course**2, 0)
        parts = {}
        for name, count in (("recent", recent_frames(design.frames_in)), ("window", design.frames_in)):
            parts[name] = self._sums(near, count) / np.maximum(self._sums(known, count), 1)
            if design.active:
                swing = self._sums(product, count) / np.maximum(self._sums(square, count), max(count * least, 1e-12))
                parts[f"activity_{name}"] = swing.astype(np.float32)
        return parts

    def _sums(self, values: np.ndarray, count: int) -> np.ndarray:
        """Sums (..., n) of values (..., R) over the last frames up to each init time."""
        total = np.cumsum(values, axis=-1, dtype="f8")
        total = np.concatenate([np.zeros_like(total[..., :1]), total], axis=-1)
        return total[..., self._columns + 1] - total[..., self._columns + 1 - count]

    def _carried_on(self) -> np.ndarray:
        """The last frames carried on along their motion, which is that of the physical values, (L, P, n)."""
        valid, transform, steps = self.series.valid, self.series.transform, min(FRAMES, self.design.frames_in)
        whole = self.whole if self.whole is not None and (self.whole.valid != valid).any() else None
        everywhere = valid if whole is None else whole.valid
        at_once = fitting(4 * valid.size * (steps + self.leads), 4)

        def carried() -> np.ndarray:
            made = np.empty((self.leads, int(valid.sum()), len(self.inits)), np.float32)
            for start in range(0, len(self.inits), at_once):
                some = slice(start, start + at_once)
                frames = np.full((len(self.inits[some]), steps, *valid.shape), np.nan, np.float32)
                if whole is None:
                    for number in range(steps):
                        recent = self._recent(steps - 1 - number)[:, some]
                        frames[:, number, valid] = transform.inverse(recent).T
                else:
                    for number, init in enumerate(self.inits[some]):
                        near = whole.read(int(init) - steps + 1, int(init)).copy()
                        fill_forward(near)
                        frames[number][:, everywhere] = near.T
                made[..., some] = extrapolate(frames, self.leads)[..., valid].transpose(1, 2, 0)
            return made

        return transform.forward(self.series.once(("motion", self.leads, *self.inits.tolist()), carried))

    def _slots_ago(self, n: int) -> tuple[int, int]:
        """First and last slot of the valid times, a cycle before."""
        return int(self.inits[0]) + 1 - n, int(self.inits[-1]) + min(self.leads, n) - n

    def _known_at(self, name: str, first: int, last: int) -> np.ndarray:
        """Departures of a known input at some slots, (P, R); NaN at all points of those where one is missing."""
        values, valid = self.series.known_at(name, first, last), self.series.valid
        flat = values[:, valid].T if values.shape[1:] == valid.shape else values[:, :, 0].T
        whole = np.where(np.isfinite(flat).all(0), flat, np.float32(np.nan))
        return np.broadcast_to(whole, (int(valid.sum()), len(values)))

    def _cycle_ago(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Departures and climatology of the slots from a cycle before the first valid time on, (P, R) each."""
        start, stop = self._slots_ago(n)
        values = self.series.read(start, stop)
        normal = maps_at(self.climatology, self.series.times(np.arange(start, stop + 1)), self.series.valid)
        here = np.isfinite(values).any(0)
        departures = values if self.design.moving else values - normal
        departures = np.where(here & ~np.isfinite(departures), np.float32(0), departures)
        return departures, np.nan_to_num(normal, copy=False)


def recent_frames(frames_in: int) -> int:
    """Frames that count as recent."""
    return max(min(2, frames_in), min(RECENT, frames_in // 4))


def neighbours(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Mean over the 3 x 3 points around, of those that count, (P, n)."""
    from scipy.ndimage import uniform_filter

    maps = np.zeros((*valid.shape, values.shape[1]), np.float32)
    maps[valid] = values
    share = uniform_filter(valid.astype(np.float32), 3, mode="constant")[valid]
    return uniform_filter(maps, (3, 3, 1), mode="constant")[valid] / share[:, None]


def _course(climatology: Climatology, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of a climatology, and of its square, over its positions, (P,) float64; 0 where it is unknown."""
    values = climatology.values.reshape(-1, *valid.shape)
    mean, square = values.mean(0, dtype="f8"), np.einsum("khw,khw->hw", values, values, dtype="f8") / len(values)
    return np.nan_to_num(mean[valid]), np.nan_to_num(square[valid])
