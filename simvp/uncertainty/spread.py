"""How large the errors of a forecast are: by lead, and where the data say so by place, time of day and situation.

The root mean square of the errors of one state at lead l, point p, slot k of the day and activity A is modelled as

    s(l, p, k, A) = s(l) * a(p) * b(k) * (A / A0)^g

with a and b of mean square 1 about. Both are shrunk: the mean square of n independent errors counts n, a factor of 1
counts `SHRINK`. The activity is how much is forecast to happen: the root mean square of the change of departures from
one lead to the next, over the map and all leads; where much moves, much goes wrong. A0 is its geometric mean, and g the
slope of the logarithm of a map's error on that of the activity, shrunk alike. An activity that is beyond those that
errors are known of counts as the last of them.

Which of the three factors a state has is chosen among all combinations: by the mean of log s + e^2 / (2 s^2) of errors
e on blocks that s was made without. None, unless the best gains more than the standard error of its gain over the
blocks.

Letters: N situations (init times), L leads, S states, H rows, W columns, K slots of the day, B blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from simvp.coords import Step
from simvp.record import Record
from simvp.times import fields_of

SHRINK = 10.0
MOST = 2_000_000
"""Errors that are looked at to choose the factors."""

SLOTS = 96
"""Most slots of a day that are told apart: quarters of an hour."""

Kind = tuple[bool, bool, bool]
"""Whether places, slots of the day and activities have factors of their own."""

KINDS: tuple[Kind, ...] = tuple((a, b, c) for a, b, c in product((False, True), repeat=3))

_LEAST = 1e-3  # of the root mean square over all places: what never errs there (a dry corner) may err once


@dataclass(frozen=True, kw_only=True, eq=False)
class Errors:
    """Errors of forecasts, truth less forecast in departures of the contract, that had no part in any choice.

    Parameters
    ----------
    values
        (N, L, S, H, W) float32; NaN where masked or not known.
    init_times
        (N,) rising.
    blocks
        (N,) number of the block of each.
    activities
        (N, S) of the forecasts (`activity`).
    step
        Time from lead to lead.
    """

    values: np.ndarray
    init_times: np.ndarray
    blocks: np.ndarray
    activities: np.ndarray
    step: Step

    def __len__(self) -> int:
        return len(self.values)

    @property
    def leads(self) -> int:
        """L."""
        return self.values.shape[1]

    @property
    def groups(self) -> np.ndarray:
        """(N,) number of the run of L steps of a block that an init time lies in: of two that are not neighbours, no
        target is the same.
        """
        names = np.empty(len(self), np.int64)
        first = 0
        for block in np.unique(self.blocks):
            own = self.blocks == block
            steps = self.step.index(self.init_times[own], self.init_times[own][0])
            names[own] = first + steps // self.leads
            first = int(names[own].max()) + 1
        return np.unique(names, return_inverse=True)[1]

    @property
    def slots(self) -> np.ndarray:
        """(N, L) slot of the day of each valid time."""
        return slots_of(self.init_times, self.leads, self.step)

    def thinned(self) -> "Errors":
        """With every n-th row and column, so few that `MOST` values are left or one point is."""
        stride = int(np.ceil(np.sqrt(max(1.0, self.values.size / MOST))))
        return replace(self, values=self.values[..., ::stride, ::stride])

    def part(self, rows: np.ndarray) -> "Errors":
        """Those of some situations."""
        own = (self.values[rows], self.init_times[rows], self.blocks[rows], self.activities[rows])
        names = ("values", "init_times", "blocks", "activities")
        return Errors(**dict(zip(names, own, strict=True)), step=self.step)


@dataclass(frozen=True, kw_only=True, eq=False)
class Spread(Record):
    """Root mean square of the errors, in departures of the contract.

    Parameters
    ----------
    leads
        (S, L) over all places and times, at the usual activity.
    places
        (S, H, W) factor of a place, 1 where a state has none.
    slots
        (S, K) factor of a slot of the day, 1 where a state has none; K = 1 where the step is no part of a day.
    exponents
        (S,) of the activity, 0 where it has no part.
    activities
        (S, 3) lowest, usual and highest activity.
    """

    leads: np.ndarray
    places: np.ndarray
    slots: np.ndarray
    exponents: np.ndarray
    activities: np.ndarray

    @classmethod
    def fit(cls, errors: Errors, kinds: Sequence[Kind]) -> "Spread":
        """From errors, with the factors that a state's kind says it has."""
        squares = errors.values.astype(np.float32) ** 2
        states, size = squares.shape[2], slot_count(errors.step)
        independent = int(errors.groups.max()) + 1
        made = cls(
            leads=np.ones((states, errors.leads), np.float32),
            places=np.ones((states, *squares.shape[3:]), np.float32),
            slots=np.ones((states, size), np.float32),
            exponents=np.zeros(states, np.float32),
            activities=_usual(errors.activities),
        )
        for s, (by_place, by_slot, by_activity) in enumerate(kinds):
            made.leads[s] = _root_mean(squares[:, :, s])
            relative = squares[:, :, s] / (made.leads[s] ** 2)[:, None, None]
            if by_activity:
                made.exponents[s] = _slope(relative, made.activities[s], errors.activities[:, s], independent)
                relative = relative / (made.lively(errors.activities)[:, s] ** 2)[:, None, None, None]
            if by_slot and size > 1:
                made.slots[s] = _slot_factors(relative, errors.slots, errors.init_times, size)
                relative = relative / (made.slots[s][errors.slots] ** 2)[:, :, None, None]
            if by_place:
                made.places[s] = _place_factors(relative, independent)
        # So that all factors together have the mean square of the errors, whatever was shrunk.
        relative = errors.values / made.at(errors.slots, errors.activities)
        for s in range(states):
            made.leads[s] *= _root_mean(relative[:, :, s] ** 2)
        return made

    @classmethod
    def choose(cls, errors: Errors) -> tuple["Spread", tuple[Kind, ...]]:
        """With the factors that gain on blocks left out, and which each state has."""
        names, thin = np.unique(errors.blocks), errors.thinned()
        states = errors.values.shape[2]
        kinds = [KINDS[0]] * states
        if len(names) > 1:
            scores = np.empty((len(names), len(KINDS), states))
            for b, name in enumerate(names):
                own, others = thin.part(thin.blocks == name), thin.part(thin.blocks != name)
                for k, kind in enumerate(KINDS):
                    scores[b, k] = _log_score(own, cls.fit(others, [kind] * states))
            gains = scores[:, :1] - scores  # (B, kinds, S)
            mean, error = gains.mean(0), gains.std(0, ddof=1) / np.sqrt(len(names))
            for s in range(states):
                best = int(mean[:, s].argmax())
                kinds[s] = KINDS[best] if mean[best, s] > error[best, s] else KINDS[0]
        return cls.fit(errors, kinds), tuple(kinds)

    def at(self, slots: np.ndarray, activities: np.ndarray) -> np.ndarray:
        """Root mean square (N, L, S, H, W) float32 for slots of the day (N, L) and activities (N, S)."""
        return self.over(self.leads, slots, activities)

    def over(self, leads: np.ndarray, slots: np.ndarray, activities: np.ndarray) -> np.ndarray:
        """As `at`, for a root mean square (S, L) of other leads."""
        maps = leads.T * self.slots[:, slots].transpose(1, 2, 0) * self.lively(activities)[:, None]  # (N, L, S)
        return np.asarray(maps[..., None, None] * self.places, np.float32)

    def lively(self, activities: np.ndarray) -> np.ndarray:
        """(N, S) factor of activities (N, S)."""
        low, usual, high = self.activities.T
        return np.asarray((np.clip(activities, low, high) / usual) ** self.exponents, np.float32)


def activity(departures: np.ndarray) -> np.ndarray:
    """(N, S) of the departures (N, L, S, H, W) of forecasts: how much they change from lead to lead; 0 of one lead."""
    if departures.shape[1] < 2:
        return np.zeros((departures.shape[0], departures.shape[2]))
    squares = np.diff(departures, axis=1) ** 2
    known = np.isfinite(squares)
    sums, counts = np.where(known, squares, 0.0).sum((1, 3, 4), dtype=np.float64), known.sum((1, 3, 4))
    return np.asarray(np.sqrt(sums / np.maximum(counts, 1)))


def slot_count(step: Step) -> int:
    """K: slots of the day that are told apart; 1 where the step is no part of a day, or a very small one."""
    return step.per_day if step.per_day and 1 < step.per_day <= SLOTS else 1


def slots_of(init_times: np.ndarray, leads: int, step: Step) -> np.ndarray:
    """Slot of the day (N, L) of the valid times of init times (N,)."""
    if slot_count(step) == 1:
        return np.zeros((len(init_times), leads), np.int64)
    valid = step.shift(np.asarray(init_times)[:, None], np.arange(1, leads + 1))
    seconds = fields_of(valid.reshape(-1))["second"].reshape(valid.shape)
    return np.asarray(seconds // step.seconds, np.int64)


def _root_mean(squares: np.ndarray) -> np.ndarray:
    """(L,) of squares (N, L, H, W), above zero."""
    return np.maximum(np.sqrt(np.nanmean(squares, axis=(0, 2, 3), dtype=np.float64)), 1e-12)


def _usual(activities: np.ndarray) -> np.ndarray:
    """(S, 3) lowest, geometric mean and highest of the activities (N, S) above zero; 1 where there are none."""
    found = np.ones((activities.shape[1], 3))
    for s, own in enumerate(activities.T):
        if (own > 0).any():
            alive = own[own > 0]
            found[s] = alive.min(), np.exp(np.log(alive).mean()), alive.max()
    return found.astype(np.float32)


def _slope(relative: np.ndarray, usual: np.ndarray, activities: np.ndarray, independent: int) -> float:
    """Of half the logarithm of the mean square of a situation, relative to its lead, on that of its activity."""
    maps = np.asarray(np.nanmean(relative, axis=(1, 2, 3), dtype=np.float64))
    x = np.log(np.clip(activities, usual[0], usual[2]) / usual[1])
    known = np.isfinite(maps) & (maps > 0)
    x, y = x[known], 0.5 * np.log(maps[known])
    if len(x) < 2 or x.var() < 1e-12:
        return 0.0
    slope = ((x - x.mean()) * (y - y.mean())).mean() / x.var()
    return float(np.clip(slope * independent / (independent + SHRINK), 0.0, 2.0))


def _slot_factors(relative: np.ndarray, slots: np.ndarray, init_times: np.ndarray, size: int) -> np.ndarray:
    """(K,) of squares relative to those of their lead, (N, L, H, W); a day counts once in each slot."""
    maps = np.asarray(np.nanmean(relative, axis=(2, 3), dtype=np.float64))
    days = fields_of(init_times)
    day = np.unique(np.stack([days[name] for name in ("year", "month", "day")]), axis=1, return_inverse=True)[
        1
    ].reshape(-1)
    mean, count = np.ones(size), np.zeros(size)
    for slot in range(size):
        here = (slots == slot) & np.isfinite(maps)
        if here.any():
            mean[slot], count[slot] = maps[here].mean(), len(np.unique(day[here.any(1)]))
    return np.sqrt((count * mean + SHRINK) / (count + SHRINK)).astype(np.float32)


def _place_factors(relative: np.ndarray, independent: int) -> np.ndarray:
    """(H, W) of squares relative to those of their lead and slot, (N, L, H, W)."""
    known = np.isfinite(relative).any((0, 1))
    mean = np.where(known, np.nansum(relative, (0, 1), dtype=np.float64), 0.0)
    count = np.isfinite(relative).sum((0, 1))
    mean = np.divide(mean, count, out=np.ones_like(mean), where=count > 0)
    shrunk = (independent * mean + SHRINK * mean[known].mean()) / (independent + SHRINK)
    return np.where(known, np.maximum(np.sqrt(shrunk), _LEAST), 1.0).astype(np.float32)


def _log_score(errors: Errors, spread: Spread) -> np.ndarray:
    """(S,) mean of log s + e^2 / (2 s^2): what a normal distribution of that spread loses, but for a constant."""
    scale = spread.at(errors.slots, errors.activities)
    loss = np.log(scale) + 0.5 * (errors.values / scale) ** 2
    return np.asarray(np.nanmean(loss, axis=(0, 1, 3, 4), dtype=np.float64))
