"""How large the errors of a forecast are: by lead, and where the data say so by place and by time of day.

The root mean square of the errors of one state at lead l, point p and slot k of the day is modelled as

    s(l, p, k) = s(l) * a(p) * b(k)

with a and b of mean square 1. Both are shrunk: the mean square of n independent errors counts n, a factor of 1 counts
`SHRINK`. Whether a state has them is chosen among neither, either and both: by the mean of log s + e^2 / (2 s^2) of
errors e on blocks that s was made without. Neither, unless the best gains more than the standard error of its gain over
the blocks.

Letters: N situations (init times), L leads, S states, H rows, W columns, K slots of the day, B blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simvp.coords import Step
from simvp.record import Record
from simvp.times import fields_of

SHRINK = 10.0
SLOTS = 96
"""Most slots of a day that are told apart: quarters of an hour."""

KINDS = ((False, False), (True, False), (False, True), (True, True))
"""Whether places, and whether slots of the day, have factors of their own."""

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
    step
        Time from lead to lead.
    """

    values: np.ndarray
    init_times: np.ndarray
    blocks: np.ndarray
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

    def part(self, rows: np.ndarray) -> "Errors":
        """Those of some situations."""
        return Errors(
            values=self.values[rows], init_times=self.init_times[rows], blocks=self.blocks[rows], step=self.step
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Spread(Record):
    """Root mean square of the errors, in departures of the contract.

    Parameters
    ----------
    leads
        (S, L) over all places and times.
    places
        (S, H, W) factor of a place, 1 where a state has none.
    slots
        (S, K) factor of a slot of the day, 1 where a state has none; K = 1 where the step is no part of a day.
    """

    leads: np.ndarray
    places: np.ndarray
    slots: np.ndarray

    @classmethod
    def fit(cls, errors: Errors, kinds: Sequence[tuple[bool, bool]]) -> "Spread":
        """From errors, with factors for places and slots where a state's kind says so."""
        squares = errors.values.astype(np.float32) ** 2
        leads = np.sqrt(np.nanmean(squares, axis=(0, 3, 4), dtype=np.float64)).T  # (S, L)
        leads = np.maximum(leads, np.finfo(np.float32).tiny ** 0.5)
        independent = int(errors.groups.max()) + 1
        size = slot_count(errors.step)
        places = np.ones((squares.shape[2], *squares.shape[3:]), np.float32)
        slots = np.ones((squares.shape[2], size), np.float32)
        for s, (by_place, by_slot) in enumerate(kinds):
            relative = squares[:, :, s] / (leads[s] ** 2).astype(np.float32)[:, None, None]
            if by_slot and size > 1:
                slots[s] = _slot_factors(relative, errors.slots, errors.init_times, size)
                relative = relative / (slots[s][errors.slots] ** 2)[:, :, None, None]
            if by_place:
                places[s] = _place_factors(relative, independent)
        # So that the three together have the mean square of the errors, whatever was shrunk.
        spread = cls(leads=leads.astype(np.float32), places=places, slots=slots)
        ratio = np.sqrt(np.nanmean((errors.values / spread.at(errors.slots)) ** 2, axis=(0, 3, 4), dtype=np.float64))
        return cls(leads=(leads * ratio.T).astype(np.float32), places=places, slots=slots)

    @classmethod
    def choose(cls, errors: Errors) -> tuple["Spread", tuple[tuple[bool, bool], ...]]:
        """With the factors that gain on blocks left out, and which each state has."""
        names = np.unique(errors.blocks)
        states = errors.values.shape[2]
        kinds = [KINDS[0]] * states
        if len(names) > 1:
            scores = np.empty((len(names), len(KINDS), states))
            for b, name in enumerate(names):
                own, others = (errors.part(errors.blocks == name), errors.part(errors.blocks != name))
                for k, kind in enumerate(KINDS):
                    scores[b, k] = _log_score(own, cls.fit(others, [kind] * states))
            gains = scores[:, :1] - scores  # (B, kinds, S)
            mean, error = gains.mean(0), gains.std(0, ddof=1) / np.sqrt(len(names))
            for s in range(states):
                best = int(mean[:, s].argmax())
                kinds[s] = KINDS[best] if mean[best, s] > error[best, s] else KINDS[0]
        return cls.fit(errors, kinds), tuple(kinds)

    def at(self, slots: np.ndarray) -> np.ndarray:
        """Root mean square (N, L, S, H, W) float32 for slots of the day (N, L), L no more than there are leads."""
        hours = self.leads.T[: slots.shape[1]] * self.slots[:, slots].transpose(1, 2, 0)  # (N, L, S)
        return np.asarray(hours[..., None, None] * self.places, np.float32)


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


def _slot_factors(relative: np.ndarray, slots: np.ndarray, init_times: np.ndarray, size: int) -> np.ndarray:
    """(K,) of squares relative to those of their lead, (N, L, H, W); a day counts once in each slot."""
    maps = np.nanmean(relative, axis=(2, 3), dtype=np.float64)
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
    scale = spread.at(errors.slots)
    loss = np.log(scale) + 0.5 * (errors.values / scale) ** 2
    return np.asarray(np.nanmean(loss, axis=(0, 1, 3, 4), dtype=np.float64))
