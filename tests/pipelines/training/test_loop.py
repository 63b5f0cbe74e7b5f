"""The training loop: schedule by hand, and a training that is cut off anywhere ends as if it had not been."""

import copy
import math
import platform
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipelines.training import checkpoint
from pipelines.training.config import TrainConfig
from pipelines.training.loop import DivergedError, Score, TrainingLoop, one_cycle, predictions
from pipelines.training.network import build_network
from pipelines.windows import Frames, Sequences
from simvp.contract.frame_spec import FrameSpec
from simvp.errors import ConfigError
from tests.support.worlds import formula_world


class Linear(nn.Module):
    """One weight for each pair of frames, with dropout, so that the random state matters."""

    def __init__(self, frames_in: int, frames_out: int, states: int) -> None:
        super().__init__()
        self.mix = nn.Linear(frames_in, frames_out)
        self.drop = nn.Dropout(0.2)
        self.states = states

    def forward(self, x: Tensor, seasonal_cycle: Tensor | None = None) -> Tensor:
        past = self.drop(x[:, :, : self.states])
        return self.mix(past.movedim(1, -1)).movedim(-1, 1)


@pytest.fixture(scope="module")
def windows() -> Sequences:
    torch.set_num_threads(1)
    ds = formula_world(frames=72, shape=(4, 5))
    train = [(ds["time"].values[0], ds["time"].values[-1])]
    spec = FrameSpec.fit(ds, frames_in=4, frames_out=2, train=train, log1p=())
    return Sequences(Frames(ds, spec), np.arange(3, 70), spec)


def config(**given) -> TrainConfig:
    return TrainConfig(
        dataset="x", **{"epochs": 4, "epoch_updates": 8, "batch_size": 8, "checkpoint_every": 3, **given}
    )


def new_loop(windows: Sequences, settings: TrainConfig) -> TrainingLoop:
    torch.manual_seed(7)
    return TrainingLoop(Linear(4, 2, 2), settings, windows, np.ones((4, 5)), precision="float32")


def validate_on(windows: Sequences):
    def validate(network: nn.Module) -> Score:
        loss = np.mean([float(((p - y) ** 2).mean()) for _, p, y, _ in predictions(network, windows, 16, no_cast)])
        return Score(loss=float(loss), rmse={"t2m": math.sqrt(loss), "d2m": 1.0})

    return validate


def no_cast():
    return torch.autocast("cpu", enabled=False)


def test_one_cycle_rises_and_falls():
    rates = [one_cycle(step, 100, 1.0, 0.2) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 25)
    assert rates[20] == 1.0
    assert one_cycle(100, 100, 1.0, 0.2) == pytest.approx(1 / 1000)
    assert rates[10] == pytest.approx((1 + 1 / 25) / 2)
    assert (np.diff(rates[:21]) > 0).all()
    assert (np.diff(rates[20:]) < 0).all()
    assert one_cycle(0, 1, 1.0, 0.0) <= 1.0


def test_learns_and_keeps_the_best_average(windows):
    run = new_loop(windows, config(epochs=6, learning_rate=0.05))
    seen = []
    run.run(validate_on(windows), on_epoch=lambda f, entry: seen.append(entry))
    assert [entry["epoch"] for entry in seen] == [0, 1, 2, 3, 4, 5, 6]
    assert "training_loss" not in seen[0]
    assert run.history == seen
    assert seen[-1]["validation_loss"] < 0.5 * seen[0]["validation_loss"]
    assert run.best_epoch == int(np.argmin([entry["validation_loss"] for entry in seen]))
    fresh = Linear(4, 2, 2)
    fresh.load_state_dict(run.best)
    # Where weights lie in memory decides the last bits of a product.
    assert validate_on(windows)(fresh).loss == pytest.approx(min(entry["validation_loss"] for entry in seen), rel=1e-6)


class Cut(Exception):
    """A kill, at a place that the test chooses."""


def test_losses_stay_on_the_device_until_a_checkpoint_an_epoch_or_somebody_asks(windows, monkeypatch):
    reads: list[int] = []
    fetch = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: reads.append(len(tensor)) or fetch(tensor))
    left = new_loop(windows, config())
    left.run(validate_on(windows))
    assert reads == 4 * [3, 3, 2]  # 8 updates an epoch, a checkpoint after every third
    asked = new_loop(windows, config())
    asked.run(validate_on(windows), on_batch=lambda loop: loop.read_loss())
    assert reads[12:] == 32 * [1]
    assert left.history == asked.history


@pytest.mark.parametrize(("batch", "saved"), [(2, 0), (5, 1), (8, 2)])
def test_a_loss_that_is_no_number_is_named_by_its_batch_and_nothing_of_it_is_saved(windows, monkeypatch, batch, saved):
    numbers = iter(range(1, 100))

    def loss(predicted: Tensor, *rest: Tensor) -> Tensor:
        return predicted.square().mean() * (float("inf") if next(numbers) == batch else 1.0)

    monkeypatch.setattr("pipelines.training.loop.masked_loss", loss)
    run = new_loop(windows, config())
    states: list[dict] = []
    with pytest.raises(DivergedError, match=f"the loss of batch {batch} in epoch 1 is inf"):
        run.run(lambda network: Score(loss=1.0), save=lambda loop: states.append(copy.deepcopy(loop.state())))
    assert len(states) == 1 + saved  # the start, and every checkpoint before
    for state in states:
        assert all(value.isfinite().all() for value in state["network"].values())
        assert math.isfinite(state["total"])


@pytest.mark.parametrize("cut", range(1, 33, 5))
def test_cut_anywhere_and_resumed_is_the_same_to_the_last_bit(windows, tmp_path, cut):
    settings = config()
    whole = new_loop(windows, settings)
    losses: list[float] = []
    whole.run(validate_on(windows), on_batch=lambda loop: losses.append(loop.read_loss()))
    assert len(losses) == 32

    def save(run: TrainingLoop) -> None:
        checkpoint.save(tmp_path, {"loop": run.state()})

    def stop(run: TrainingLoop) -> None:
        if run.step == cut:
            raise Cut

    broken = new_loop(windows, settings)
    with pytest.raises(Cut):
        broken.run(validate_on(windows), on_batch=stop, save=save)
    torch.manual_seed(999)
    resumed = TrainingLoop(Linear(4, 2, 2), settings, windows, np.ones((4, 5)), precision="float32")
    state = checkpoint.load(tmp_path)
    assert state is not None
    resumed.restore(state["loop"])
    assert resumed.step in (cut - 1, cut - 2, cut - 3)
    rest: list[float] = []
    resumed.run(validate_on(windows), on_batch=lambda loop: rest.append(loop.read_loss()))
    assert rest == losses[len(losses) - len(rest) :]
    assert resumed.history == whole.history
    assert len(resumed.seconds) == len(whole.seconds) == 4
    assert min(resumed.seconds) > 0
    for name, value in whole.best.items():
        assert torch.equal(resumed.best[name], value)


def test_checkpoint_of_another_format_is_not_used(tmp_path, caplog):
    checkpoint.save(tmp_path, {"loop": {"position": [1, 2]}})
    assert checkpoint.load(tmp_path) == {"loop": {"position": [1, 2]}}
    torch.save({"format": 0, "loop": {}}, tmp_path / checkpoint.NAME)
    assert checkpoint.load(tmp_path) is None
    assert "begins anew" in caplog.text
    assert checkpoint.load(tmp_path / "nowhere") is None


def test_stops_when_validation_no_longer_gets_better(windows):
    scores = iter([5.0, 3.0, 2.0, 2.5, 2.1, 9.0, 1.0])
    run = new_loop(windows, config(epochs=5, patience=2))
    run.run(lambda network: Score(loss=next(scores), rmse={}))
    assert run.epoch == 4
    assert run.best_epoch == 2
    assert run.stopped == "no better validation loss for 2 epochs"


def test_the_epoch_that_the_other_blocks_would_have_kept_is_kept_with_its_weights(windows):
    losses = iter([(5.0, 6.0, 4.0), (3.0, 2.0, 3.0), (2.0, 3.0, 1.0), (2.5, 3.5, 2.0), (9.0, 9.0, 9.0)])
    weights = []

    def validate(network: nn.Module) -> Score:
        loss, *others = next(losses)
        weights.append(network.mix.weight.clone())
        return Score(loss=loss, without=dict(enumerate(others)))

    run = new_loop(windows, config(epochs=4))
    run.run(validate)
    assert run.best_epoch == 2
    assert {block: (kept["epoch"], kept["loss"]) for block, kept in run.left_out.items()} == {0: (1, 2.0), 1: (2, 1.0)}
    for block, epoch in ((0, 1), (1, 2)):
        torch.testing.assert_close(run.left_out[block]["weights"]["mix.weight"], weights[epoch], rtol=0, atol=0)
    again = new_loop(windows, config(epochs=4))
    again.restore(run.state())
    torch.testing.assert_close(again.left_out[0]["weights"]["mix.weight"], weights[1], rtol=0, atol=0)


def test_does_not_stop_before_the_last_third_of_the_cycle(windows):
    run = new_loop(windows, config(epochs=10, epoch_updates=1, patience=1))
    run.run(lambda network: Score(loss=1.0 + run.epoch, rmse={}))
    assert run.epoch == 7


def test_loss_that_is_no_number_is_refused_in_words(windows):
    run = new_loop(windows, config())
    with torch.no_grad():
        run.network.mix.bias.fill_(float("nan"))
    with pytest.raises(DivergedError, match=r"the loss of batch 1 in epoch 1 is nan[\s\S]*lower learning_rate"):
        run.run(validate_on(windows))
    run = new_loop(windows, config())
    with pytest.raises(DivergedError, match=r"the validation loss of epoch 0 is inf"):
        run.run(lambda network: Score(loss=math.inf, rmse={}))


def test_start_is_kept_where_training_makes_it_worse(windows):
    scores = iter([1.0, 2.0, 2.0])
    run = new_loop(windows, config(epochs=2))
    start = run.network.mix.weight.detach().clone()
    run.run(lambda network: Score(loss=next(scores), rmse={}))
    assert run.best_epoch == 0
    assert torch.equal(run.best["mix.weight"], start)


def test_average_follows_the_weights(windows):
    run = new_loop(windows, config(averaging=0.0, epochs=1))
    run.run(validate_on(windows))
    for mean, now in zip(run.average.parameters(), run.network.parameters(), strict=True):
        assert torch.equal(mean, now)
    slow = new_loop(windows, config(averaging=0.9, epochs=1))
    slow.run(validate_on(windows))
    assert not torch.equal(slow.average.mix.weight, slow.network.mix.weight)


def test_gradients_are_clipped(windows):
    free, held = new_loop(windows, config(epochs=1, clip=1e9)), new_loop(windows, config(epochs=1, clip=1e-12))
    start = free.network.mix.weight.detach().clone()
    free.run(validate_on(windows))
    held.run(validate_on(windows))
    decay = start - held.network.mix.weight.detach()
    assert float((start - free.network.mix.weight.detach()).abs().max()) > 10 * float(decay.abs().max())


def test_divergence_enters_the_loss_with_its_weight():
    ds = formula_world(frames=72, shape=(4, 5))
    spec = FrameSpec.fit(ds, frames_in=4, frames_out=3, train=[(ds["time"].values[0], ds["time"].values[-1])], log1p=())
    losses = []
    for weight in (0.0, 1.0, 2.0):
        torch.manual_seed(7)
        windows = Sequences(Frames(ds, spec), np.arange(3, 68), spec)
        settings = config(epochs=1, epoch_updates=1, divergence=weight)
        run = TrainingLoop(Linear(4, 3, 2), settings, windows, np.ones((4, 5)), precision="float32")
        run.run(lambda network: Score(loss=1.0), on_batch=lambda loop: losses.append(loop.read_loss()))
    assert losses[1] > losses[0]
    assert losses[2] - losses[0] == pytest.approx(2 * (losses[1] - losses[0]), rel=1e-3)


@pytest.mark.parametrize("variant", ["simvp", "incepu", "gsta", "tau"])
def test_every_member_of_the_family_can_be_the_gridded_network(variant):
    world = formula_world(frames=48, shape=(8, 8))
    spec = FrameSpec.fit(world, frames_in=4, frames_out=2, train=[(world["time"].values[0], world["time"].values[-1])])
    network = build_network(spec, TrainConfig(dataset="x", variant=variant, size="small"))
    assert network.network.config.variant == variant
    assert network(torch.zeros(1, 4, spec.n_channels, 8, 8)).shape == (1, 2, 2, 8, 8)
    if variant in ("gsta", "tau"):
        with pytest.raises(ConfigError, match="N_T: expected 2 or more, got 1"):
            build_network(spec, TrainConfig(dataset="x", variant=variant, size="tiny"))


def test_freed_memory_stays_with_the_process():
    # In a process of its own: the setting lasts as long as the process.
    code = """
import numpy as np, resource
from pipelines.training.device import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        np.ones(8 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
without = faults()
keep_freed_memory()
faults()
print(without, faults())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    without, kept = map(int, done.stdout.split())
    if platform.libc_ver()[0] == "glibc":
        assert kept < without / 10


def test_waiting_for_batches_counts_and_a_failure_ends_the_thread(windows):
    run = new_loop(windows, config(epochs=1, epoch_updates=3))
    slow = Slow(windows, pause=0.05)
    run.windows = slow
    run.run(lambda network: Score(loss=1.0))
    assert run.waited > 0.04  # for the first, at least
    assert slow.threads != {threading.current_thread().name}

    def stop(loop: TrainingLoop) -> None:
        raise KeyboardInterrupt

    run = new_loop(windows, config(epochs=1, epoch_updates=3))
    with pytest.raises(KeyboardInterrupt):
        run.run(lambda network: Score(loss=1.0), on_batch=stop)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


class Slow(Sequences):
    """Windows that take their time."""

    def __init__(self, windows: Sequences, pause: float) -> None:
        self.__dict__.update(windows.__dict__)
        self.pause, self.threads = pause, set()

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        time.sleep(self.pause)
        self.threads.add(threading.current_thread().name)
        return super().batch(indices)
