"""Clips of a benchmark as a training loop and the contract see them.

The contract of a benchmark is fixed by its protocol, not fitted: channels between 0 and 1, no climatology, no forcings,
every point valid. With it a model trained on a benchmark is saved, registered, loaded and makes labelled forecasts
like any other.
"""

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from datasets.video import FIRST, Clips
from pipelines.windows import Batches
from simvp.contract import Climatology, FrameSpec, State, what_was_seen
from simvp.coords import Grid
from simvp.scoring import Baselines
from simvp.times import calendar_of

SAMPLE_CLIPS = 128  # that the baselines and the marks of plausibility are fitted on


class ClipBatches(Batches):
    """Clips as batches.

    Parameters
    ----------
    clips
        Where the frames come from.
    limit
        Clips to take at most; they lie evenly in the part. Of an endless part this is the length of an epoch.

    Attributes
    ----------
    places : np.ndarray
        Which clips are taken, (M,).
    """

    def __init__(self, clips: Clips, limit: int | None = None) -> None:
        self.clips, self.endless = clips, clips.endless
        count = len(clips) if limit is None else min(limit, len(clips))
        self.places = np.unique(np.linspace(0, len(clips) - 1, count).round().astype(np.int64))
        self._mask = torch.ones(clips.benchmark.shape)

    def __len__(self) -> int:
        return len(self.places)

    def batch(self, indices: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs x (B, T, C, H, W), targets y (B, T', C, H, W), mask m (C, H, W), float32 between 0 and 1."""
        frames = self.clips.frames(indices if self.endless else self.places[indices])
        T = self.clips.frames_in
        return frames[:, :T], frames[:, T:], self._mask


def clip_contract(clips: Clips) -> tuple[FrameSpec, Baselines]:
    """Contract of a benchmark, and the five baselines on a sample of its training clips.

    Parameters
    ----------
    clips
        The training part.
    """
    benchmark = clips.benchmark
    sample = _series(clips)
    grid = Grid.of(sample)
    times = sample["time"].values
    normal = np.full((1, 1, *grid.shape), clips.offset, np.float32)
    states = tuple(
        State(
            name=name,
            units=benchmark.units,
            attrs={"long_name": long_name},
            climatology=Climatology(period="none", step=clips.step, values=normal),
            scale=clips.scale,
            bounds=(clips.offset, None),
            valid=np.ones(grid.shape, bool),
            seen=what_was_seen(sample[name].values),
        )
        for name, long_name in benchmark.variables.items()
    )
    spec = FrameSpec(
        state_channels=states,
        grid=grid,
        step=clips.step,
        calendar=calendar_of(times),
        frames_in=clips.frames_in,
        frames_out=clips.frames_out,
        cycle=None,
        lag=None,
        fitted_on={"train": [[benchmark.name, clips.origin]], "frames": len(times), "archive_commit": ""},
    )
    baselines = Baselines.fit(
        sample,
        variables=list(benchmark.variables),
        step=clips.step,
        cycle=None,
        leads=clips.frames_out,
        period=[(times[0], times[-1])],
        weights=np.ones(grid.shape),
    )
    return spec, baselines


def _series(clips: Clips) -> xr.Dataset:
    """A sample of clips one after the other as a series: at their own times, or, where those overlap, with gaps."""
    length = clips.frames_in + clips.frames_out
    chosen = np.unique(np.linspace(0, len(clips) - 1, min(SAMPLE_CLIPS, len(clips))).round().astype(np.int64))
    sample = [clips.labelled(int(index)).drop_vars(["frame", "clip"]) for index in chosen]
    own = np.concatenate([clip["time"].values for clip in sample])
    if not (own[1:] > own[:-1]).all():
        step = np.timedelta64(clips.step.seconds, "s")
        begins = FIRST + np.arange(len(chosen)) * (2 * length + clips.frames_out) * step
        sample = [
            clip.assign_coords(time=begin + np.arange(length) * step)
            for clip, begin in zip(sample, begins, strict=True)
        ]
    return xr.concat(sample, "time", combine_attrs="drop_conflicts")
