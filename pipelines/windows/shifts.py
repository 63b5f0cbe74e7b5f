"""By how much windows shift in training: asked of the data, since it is a property of theirs.

The climatology is a mean of some past days, and later ones lie off it: by an offset, by a slope, by a multiple of its
own cycle (`simvp.networks.gridded`). Windows that shift in training teach the network what to do then; where the
climatology holds, they teach it to distrust what it could rely on.

The rule
--------
The reference is cut into up to `FOLDS` equal pieces of whole days, none shorter than 2 T'. Each piece has a
climatology made of all others. Under each of the `candidates` the blend of last frame and last cycle is fitted to the
departures of the others (in closed form: `simvp.networks.blend`), and scored on those of the piece, as they are. The
smallest mean squared error over all pieces decides; of those within `MARGIN` of it, that which shifts most: the blend
has two numbers a lead and learns nothing by heart, while shifts keep a network from that. All of it on a sample of the
points, of the init times and of the leads, which a summary of the statistics holds in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from simvp.contract import FrameSpec, State, Statistics, Sums
from simvp.networks import BlendMoments, Moments, Shifts

FOLDS = 8
LEADS, POINTS, INITS = 8, 256, 1024  # at most, evenly spread
DRIFTS, TILTS, SWINGS = (0.0, 0.25, 0.5), (0.0, 0.3), (0.0, 0.1, 0.25, 0.5)
STILL = Shifts(0.0, 0.0, 0.0)
MARGIN = 0.01


@dataclass(frozen=True, kw_only=True)
class ShiftChoice:
    """By what windows shift, and what told so.

    Parameters
    ----------
    shifts
        The choice.
    error, still
        Root of the blend's mean squared error on what it was not fitted on, in standard deviations of the departures:
        with these shifts and without any.
    folds
        Pieces that it was left to; 0 where the series is too short for two, and nothing shifts.
    """

    shifts: Shifts
    error: float
    still: float
    folds: int

    @property
    def text(self) -> str:
        """In words."""
        amounts = ", ".join(f"{name} {amount:g}" for name, amount in self.shifts._asdict().items())
        if not self.folds:
            return f"{amounts}: the series is too short to tell"
        return (
            f"{amounts}: error of the blend of last frame and last cycle {self.error:.4g} standard deviations, "
            f"{self.still:.4g} without, over {self.folds} pieces that it was not fitted on"
        )


def candidates(drift: float | None = None) -> list[Shifts]:
    """What there is to choose from; all with the given drift, if one is given."""
    return [Shifts(*amounts) for amounts in product(DRIFTS if drift is None else (drift,), TILTS, SWINGS)]


def choose_shifts(spec: FrameSpec, statistics: Statistics, drift: float | None = None) -> ShiftChoice:
    """The shifts of training windows, by the rule of this module.

    Parameters
    ----------
    spec
        The contract: period, logarithm and scale of each state, T, T' and lag.
    statistics
        That it was fitted with.
    drift
        The offset, where it is not asked of the data.
    """
    options = candidates(drift)
    errors = dict.fromkeys(dict.fromkeys([*options, STILL]), 0.0)
    sizes = dict.fromkeys(errors, 0.0)
    count = 0
    for state in spec.state_channels:
        for others, piece in _folds(state, spec, statistics):
            count += 1
            for shifts in errors:
                moments = others.shifted(shifts)
                errors[shifts] += float(piece.error(moments.blend()).mean())
                sizes[shifts] += float((moments.squares - others.windows.squares).mean())
    if not count:
        return ShiftChoice(shifts=min(options, key=sum), error=0.0, still=0.0, folds=0)
    near = (1 + MARGIN) * min(errors[shifts] for shifts in options)
    chosen = max((shifts for shifts in options if errors[shifts] <= near), key=sizes.__getitem__)
    root = {shifts: float(np.sqrt(error / count)) for shifts, error in errors.items()}
    return ShiftChoice(shifts=chosen, error=root[chosen], still=root[STILL], folds=count // len(spec.state_channels))


def _folds(state: State, spec: FrameSpec, statistics: Statistics) -> Iterator[tuple[BlendMoments, Moments]]:
    """What the blend takes from all pieces but one, and from that one, for each piece of the series."""
    times, values, places = statistics.sample(state.name)
    keep = np.linspace(0, len(places) - 1, min(POINTS, len(places))).astype(int)
    values, places = state.transformed(values[:, keep]), places[keep]
    slots = spec.step.index(times, times[0])
    area = spec.weights.reshape(-1)[places]
    down, along = (np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in spec.shape)
    rows, columns = np.divmod(places, spec.shape[1])
    slopes = np.array([np.average(down[rows] ** 2 + along[columns] ** 2, weights=area)])
    cuts = _cuts(int(slots[-1]) + 1, spec)
    for start, stop in pairwise(cuts.tolist()):
        inside = (slots >= start) & (slots < stop)
        if not inside.any() or inside.all():
            continue
        sums = Sums(spec.step, [state.climatology.period], (1, len(places)))
        sums.add(times[~inside], values[~inside][:, None])
        climatology, _ = sums.climatology(state.climatology.period)
        normal = climatology.at(times)[:, 0]
        series = np.full((2, int(slots[-1]) + 1, len(places)), np.nan)
        series[0, slots] = (values - normal) / state.scale
        series[1, slots] = (normal - climatology.values.mean((0, 1))[0]) / state.scale
        within = np.zeros(series.shape[1], bool)
        within[start:stop] = True
        others, cycle = (_moments(part, ~within, area, spec) for part in series)
        piece = _moments(series[0], within, area, spec)
        if others is not None and cycle is not None and piece is not None:
            yield BlendMoments(windows=others, cycle=cycle, slopes=slopes), piece


def _cuts(slots: int, spec: FrameSpec) -> np.ndarray:
    """First slots of the pieces, and the end; of one piece where there are not two."""
    day = spec.step.per_day or 1
    unit = day if slots >= 2 * day else 1
    folds = max(1, min(FOLDS, slots // (2 * spec.frames_out)))
    cuts = np.linspace(0, slots, folds + 1).astype(int) // unit * unit
    cuts[-1] = slots
    return np.unique(cuts)


def _moments(series: np.ndarray, targets: np.ndarray, area: np.ndarray, spec: FrameSpec) -> Moments | None:
    """Means over the slots (N,) that are `targets`, of a series (N, P) with NaN where nothing is; None of nothing."""
    leads = np.unique(np.linspace(1, spec.frames_out, min(LEADS, spec.frames_out)).round().astype(int))
    parts = []
    for lead in leads.tolist():
        valid = np.flatnonzero(targets)
        valid = valid[valid >= lead + spec.frames_in - 1]
        valid = valid[np.unique(np.linspace(0, len(valid) - 1, min(INITS, len(valid))).astype(int))]
        backs = [lead] if spec.lag is None else [lead, spec.lag * -(-lead // spec.lag)]
        y, terms = series[valid], np.stack([series[valid - back] for back in backs])
        known = np.isfinite(y) & np.isfinite(terms).all(0)
        if not known.any():
            return None
        share = known * area
        share = share / share.sum()
        y, terms = np.where(known, y, 0.0), np.where(known, terms, 0.0)
        weighted = terms * share
        products = [[np.vdot(z, w) for w in terms] for z in weighted]
        parts.append((products, [np.vdot(z, y) for z in weighted], np.vdot(y * share, y)))
    # With an axis for the state, of which there is one: (T', 1, K, K), (T', 1, K), (T', 1).
    return Moments(*(np.array(part, "f8")[:, None] for part in zip(*parts, strict=True)))
