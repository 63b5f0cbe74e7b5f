"""Windows of normalised frames as arrays, in the order in which a training reads them."""

import numpy as np

from pipelines.windows.batches import Batches
from pipelines.windows.frames import Frames
from simvp.contract import FrameSpec, fill

SPARE = 2  # runs of frames whose windows are not mixed with those of the others; a batch may reach into the next


class Sequences(Batches):
    """Windows as arrays.

    Parameters
    ----------
    frames
        Where the values come from.
    inits
        (M,) init positions, from `find_windows`.
    spec
        The contract: T, T', state channels and mask.

    Attributes
    ----------
    specks : bool
        Whether some frames lack some of their points, and not all.
    """

    def __init__(self, frames: Frames, inits: np.ndarray, spec: FrameSpec) -> None:
        self.inits = inits
        self._frames, self._spec = frames, spec
        self._mask, self._whole = spec.mask.astype(np.float32), frames.whole
        self._loss_weights = [state.loss_weights() for state in spec.state_channels]
        self.specks = bool(((frames.missing > 0) & (frames.missing < 1)).any())
        climatologies = [state.climatology for state in spec.state_channels]
        self._cyclic = any(climatology.period != "none" for climatology in climatologies)
        self._means = [climatology.values.mean(axis=(0, 1)) for climatology in climatologies]
        # A few windows from all over the archive are read one by one: their runs hold more than they do.
        runs = 0 if frames.run is None else len(np.unique(inits // frames.run)) * frames.run
        self._sparse = len(inits) * (spec.frames_in + spec.frames_out) < runs

    def __len__(self) -> int:
        return len(self.inits)

    def arranged(self, random: np.random.Generator) -> np.ndarray:
        """All windows in a random order, (M,).

        Where the frames are held in runs, each run is read once: the runs come in an order of their own, one after the
        other, and each stays for as long as all but `SPARE` of those that are held take; its windows are spread evenly
        over that time.
        """
        if self._frames.run is None or self._sparse:
            return super().arranged(random)
        run = self.inits // self._frames.run
        place = random.permutation(int(run.max()) + 1)[run]  # a run that has no window leaves a place empty
        place = np.unique(place, return_inverse=True)[1]
        mixed = max(1, self._frames.runs - SPARE)
        return np.argsort(place + mixed * random.random(len(run)), kind="stable")

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inputs x (B, T, C, H, W), targets y (B, T', S, H, W), mask m; float32, normalised.

        What is missing is filled in x, by the rule of `simvp.contract.filling`. In y it is 0, and then so is the mask,
        which has a map for each of y. So it has where targets do not count alike (`State.loss_weights`).
        """
        inits = self.inits[indices]
        x, y = self._frames.windows(inits, alone=self._sparse)
        mask = self._mask
        if not self._whole[self._run(inits)].all():
            fill(x[:, :, : self._spec.n_states])
            known = np.isfinite(y)
            np.copyto(y, 0.0, where=~known)
            mask = mask * known
        return x, y, self._weighted(mask, inits, y.shape)

    def _weighted(self, mask: np.ndarray, inits: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The mask of targets (B, T', S, H, W) of this shape, times how much each of them counts."""
        if not any(self._loss_weights):
            return mask
        weighted = np.broadcast_to(mask, shape).copy()
        times = self._frames.times[self._run(inits)[:, self._spec.frames_in :]]
        for number, weights in enumerate(self._loss_weights):
            if weights is not None:
                maps = weights.at(times.reshape(-1))
                weighted[:, :, number] *= maps.reshape(*times.shape, *maps.shape[1:])
        return weighted

    def _run(self, inits: np.ndarray) -> np.ndarray:
        """Positions of the frames of windows, (B, T + T')."""
        return inits[:, None] + np.arange(1 - self._spec.frames_in, self._spec.frames_out + 1)

    def seasonal_cycle(self, indices: np.ndarray) -> np.ndarray | None:
        """The climatology less its mean map over inputs and targets, (B, T + T', S, H, W) float32.

        Normalised as the frames are; 0 where a point is masked. None where no state has a cycle.
        """
        if not self._cyclic:
            return None
        run = self._run(self.inits[indices])
        cycle = np.empty((*run.shape, len(self._spec.states), *self._spec.shape), np.float32)
        for number, state in enumerate(self._spec.state_channels):
            maps = state.climatology.at(self._frames.times[run.reshape(-1)]) - self._means[number]
            cycle[:, :, number] = (maps / state.scale).reshape(*run.shape, *self._spec.shape)
        return np.nan_to_num(cycle, copy=False)
