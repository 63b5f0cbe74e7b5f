"""The training loop on tensors: batches, loss, schedule, average weights, early stop, and going on after a kill.

Several processes may share it (`pipelines.ranks`). Each then takes its part of every batch; the loss is a mean over
windows, so the gradients of the parts, weighted by their windows, add up to those of the batch, and weights, average
and history are the same in all. Only scoring and saving are the first one's.

Letters: B batch, T input frames, T' target frames, C channels, S states (the first S channels), H rows, W columns.
"""

import copy
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.ranks import ALONE, Ranks
from pipelines.training.config import LoopConfig
from pipelines.training.device import keep_freed_memory
from pipelines.training.loss import differential_divergence, masked_loss
from pipelines.windows import Array, Batches, prefetched
from simvp.draws import shared_batch
from simvp.errors import Refusal

STOP_AFTER = 0.7  # share of the cycle

# What a checkpoint holds of a loop, beside the state of the random numbers.
_WITH_STATE = ("network", "average", "optimizer")
_PLAIN = ("best", "left_out", "epoch", "batch", "total", "seconds", "history", "stopped")


@dataclass(frozen=True, kw_only=True)
class Score:
    """What validation says: the loss, as in training, the RMSE of each state in its own units, and anything more.

    `without` is the loss on all blocks but one, by the number of that block: what would choose the epoch without it.
    """

    loss: float
    rmse: Mapping[str, float] = field(default_factory=dict)
    more: Mapping[str, float] = field(default_factory=dict)
    without: Mapping[int, float] = field(default_factory=dict)


class DivergedError(Refusal):
    """A loss that is no number."""


def one_cycle(step: int, steps: int, peak: float, warm_up: float) -> float:
    """Learning rate of update number `step` of `steps`: up to `peak` and down again, both along half a cosine.

    From peak / 25 to peak during the share `warm_up` of the steps, then down to peak / 1000. A function of the
    number alone, so that nothing of it has to be kept in a checkpoint.
    """
    # It starts as PyTorch's OneCycleLR does, with which the public code trains: at a 25th.
    rise = max(1.0, warm_up * steps)
    if step < rise:
        low, share = peak / 25, 1 - step / rise
    else:
        low, share = peak / 1000, (step - rise) / max(1.0, steps - rise)
    return low + (peak - low) * (1 + math.cos(math.pi * min(1.0, share))) / 2


class TrainingLoop:
    """Everything of a training that changes from batch to batch.

    Parameters
    ----------
    network
        Maps (B, T, C, H, W) to (B, T', S, H, W); on its device. In training it is also given the seasonal cycle
        (`Batches.seasonal_cycle`), where there is one.
    config
        Settings of the loop.
    windows
        Training windows.
    weights
        (H, W) area weights.
    precision
        "float32" or "bfloat16": type of the arithmetic inside the network; weights, loss and average are float32.
    ranks
        The processes that share the training; all of them make a loop and run it.

    Attributes
    ----------
    seconds : list of float
        Seconds of each epoch's updates, without scoring and saving; the last is that of the epoch under way.
    waited : float
        Seconds that updates waited for their batches, in the epoch under way or since it went on after a kill.
    left_out : dict
        By number of a validation block, "epoch", "loss" and "weights" that the other blocks alone would have kept.
    """

    def __init__(
        self,
        network: nn.Module,
        config: LoopConfig,
        windows: Batches,
        weights: np.ndarray,
        *,
        precision: str,
        ranks: Ranks = ALONE,
    ) -> None:
        self.network, self.config, self.windows, self.ranks = network, config, windows, ranks
        self._replicated = ranks.replicated(network)
        self._own = ranks.share(config.batch_size)
        self.device = next(network.parameters()).device
        self.precision = precision
        keep_freed_memory()  # for a GPU too: its batches are made here
        self.average = copy.deepcopy(network).eval().requires_grad_(False)
        # Only kernels decay: pulling scales, offsets and the blend to zero means something else.
        kernels = [p for p in network.parameters() if p.ndim >= 4]
        others = [p for p in network.parameters() if p.ndim < 4]
        groups = [{"params": kernels, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=config.learning_rate, betas=(0.9, 0.99), fused=True
        )
        self.epoch = 0
        self.batch = 0
        self.batches = config.epoch_updates
        self.total = 0.0
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = {}
        self.left_out: dict[int, dict[str, Any]] = {}
        self.stopped = ""
        self.seconds: list[float] = []
        self.waited = 0.0
        self._loss = math.nan
        self._unread: list[Tensor] = []  # losses that are still on the device
        self._weights = torch.as_tensor(weights, dtype=torch.float32, device=self.device)

    @property
    def step(self) -> int:
        """Updates so far."""
        return self.epoch * self.batches + self.batch

    @property
    def best_entry(self) -> dict[str, Any]:
        """Entry of the history whose weights are kept: the first of those with the smallest validation loss."""
        return min(self.history, key=lambda entry: entry["validation_loss"])

    @property
    def best_epoch(self) -> int:
        """Number of the epoch whose weights are kept; 0 is the start."""
        return int(self.best_entry["epoch"])

    def run(
        self,
        validate: Callable[[nn.Module], Score],
        *,
        on_batch: Callable[["TrainingLoop"], None] = lambda loop: None,
        on_epoch: Callable[["TrainingLoop", dict[str, Any]], None] = lambda loop, entry: None,
        save: Callable[["TrainingLoop"], None] = lambda loop: None,
    ) -> None:
        """Train to the end, from wherever this stands.

        Parameters
        ----------
        validate
            Scores a network (in eval mode) on the validation windows; called in the first process alone.
        on_batch, on_epoch
            Told of every batch, and the entry of every epoch; epoch 0 is the start, before any update.
        save
            Called every `checkpoint_every` batches and after each epoch, when all losses so far are known to be
            numbers; keeps `state()`.

        Raises
        ------
        DivergedError
            The loss is no number.
        """

        def score(**more: float) -> None:
            self._keep_score(self.ranks.once(lambda: validate(self.average)), **more)
            on_epoch(self, self.history[-1])
            save(self)

        if not self.history:
            score()
        while self.epoch < self.config.epochs and not self.stopped:
            self.network.train()
            if len(self.seconds) == self.epoch:
                self.seconds.append(0.0)
            mark = time.perf_counter()
            order = self.windows.shuffled(
                self.config.batch_size, seed=self.config.seed, first=self.step, count=self.batches - self.batch
            )
            with closing(self._ready(order)) as batches:
                for parts in batches:
                    self._unread.append(self._update(parts))
                    self.batch += 1
                    on_batch(self)
                    if self.batch % self.config.checkpoint_every == 0 and self.batch < self.batches:
                        self.read_loss()
                        self.seconds[-1] += time.perf_counter() - mark
                        save(self)
                        mark = time.perf_counter()
            self.read_loss()
            self.seconds[-1] += time.perf_counter() - mark
            mean, rate = self.total / self.batches, self._rate()
            self.epoch, self.batch, self.total = self.epoch + 1, 0, 0.0
            score(training_loss=mean, learning_rate=rate)

    def read_loss(self) -> float:
        """Loss of the newest batch, fetched from the device with all that are still there.

        Each fetch waits for the device, and the device then waits for the next update to be prepared: so not after
        every batch.

        Raises
        ------
        DivergedError
            One of them is no number.
        """
        if self._unread:
            losses = torch.stack(self._unread).tolist()
            self._unread.clear()
            for number, loss in enumerate(losses, self.batch - len(losses) + 1):
                if not math.isfinite(loss):
                    where = f"the loss of batch {number} in epoch {self.epoch + 1} is {loss}"
                    raise DivergedError("Training", [where], _REMEDY)
                self.total += loss
                self._loss = loss
        return self._loss

    def _keep_score(self, score: Score, **more: float) -> None:
        """Put down the score of the average weights, keep them if they are the best, and see whether to stop."""
        if not math.isfinite(score.loss):
            raise DivergedError("Training", [f"the validation loss of epoch {self.epoch} is {score.loss}"], _REMEDY)
        rmse = {f"validation_rmse_{name}": value for name, value in score.rmse.items()}
        self.history.append({"epoch": self.epoch, **more, "validation_loss": score.loss, **rmse, **score.more})
        stale = self.epoch - self.best_epoch
        better = [b for b, loss in score.without.items() if b not in self.left_out or loss < self.left_out[b]["loss"]]
        if stale == 0 or better:
            weights = {name: value.clone() for name, value in self.average.state_dict().items()}
            self.best = weights if stale == 0 else self.best
            self.left_out |= {b: {"epoch": self.epoch, "loss": score.without[b], "weights": weights} for b in better}
        # In the middle of the cycle the rate is high and the scores are poor; the best weights come at its end.
        if stale >= self.config.patience and self.epoch >= STOP_AFTER * self.config.epochs:
            self.stopped = f"no better validation loss for {self.config.patience} epochs"

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs, as tensors and plain types."""
        random = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self.device)
        parts = {name: getattr(self, name).state_dict() for name in _WITH_STATE}
        return {**parts, **{name: getattr(self, name) for name in _PLAIN}, "random": random}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        for name in _WITH_STATE:
            getattr(self, name).load_state_dict(state[name])
        for name in _PLAIN:
            setattr(self, name, copy.copy(state[name]))
        torch.set_rng_state(state["random"]["cpu"].cpu())
        if "cuda" in state["random"]:
            torch.cuda.set_rng_state(state["random"]["cuda"].cpu(), self.device)

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of the network's arithmetic."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bfloat16")

    def _rate(self) -> float:
        return one_cycle(self.step, self.config.epochs * self.batches, self.config.learning_rate, self.config.warm_up)

    def _ready(self, order: Iterable[np.ndarray]) -> Generator[list[Array], None, None]:
        """The own part of the batches of these windows, prefetched by a thread; what is waited for them counts."""

        def load(indices: np.ndarray) -> list[Array]:
            parts = (*self.windows.batch(indices), self.windows.seasonal_cycle(indices))
            return [part for part in parts if part is not None]

        self.waited = 0.0
        with closing(prefetched(partial(load, indices[self._own]) for indices in order)) as batches:
            while True:
                start = time.perf_counter()
                parts = next(batches, None)
                self.waited += time.perf_counter() - start
                if parts is None:
                    return
                yield parts

    def _update(self, parts: Sequence[Array]) -> Tensor:
        """One step of the optimizer on a batch, of which these are the own part; its loss before it, on the device."""
        x, y, mask, *seasonal_cycle = (torch.as_tensor(part).to(self.device, non_blocking=True) for part in parts)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        with self.autocast(), shared_batch(self.config.batch_size, self._own):
            predicted = self._replicated(x, *seasonal_cycle)
        loss = masked_loss(predicted, y, mask, self._weights)
        if self.config.divergence:
            loss = loss + self.config.divergence * differential_divergence(
                predicted.float(), y, mask if mask.ndim == y.ndim else None
            )
        if self.ranks.size > 1:
            loss = loss * (len(x) / self.config.batch_size)
        self.optimizer.zero_grad(set_to_none=True)
        (loss * self.ranks.size).backward()  # since the gradients of the processes are averaged, not added up
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        self.optimizer.step()
        self._follow()
        loss = loss.detach()
        self.ranks.add_up(loss)
        return loss

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average weights; while there are few updates it forgets faster, so the start does not linger."""
        keep = min(self.config.averaging, (1 + self.step) / (10 + self.step))
        for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(now, 1 - keep)
        for kept, seen in zip(self.average.buffers(), self.network.buffers(), strict=True):
            kept.copy_(seen)


_REMEDY = "lower learning_rate or clip; if it happens in the first batch, look at the units and the range of the data"


def predictions(
    network: nn.Module, windows: Batches, size: int, autocast: Callable[[], AbstractContextManager[Any]]
) -> Iterator[tuple[np.ndarray, Tensor, Tensor, Tensor]]:
    """Indices, forecasts and targets (B, T', S, H, W), and mask, of all windows in order of time."""
    device = next(network.parameters()).device
    network.eval()
    for indices in windows.ordered(size):
        x, y, mask = (torch.as_tensor(part).to(device) for part in windows.batch(indices))
        with torch.inference_mode(), autocast():
            predicted = network(x)
        yield indices, predicted.float(), y, mask
