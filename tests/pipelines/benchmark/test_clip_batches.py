"""Clips as the training loop and the contract see them: nothing is scaled twice, shifted or lost on the way."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from datasets.video.clips import Benchmark, Clips
from datasets.video.moving_mnist import MOVING_MNIST
from pipelines.benchmark.clip_batches import ClipBatches, clip_contract
from simvp.inference.forecaster import Forecaster
from simvp.networks.config import SimVPConfig
from simvp.networks.simvp import SimVP
from simvp.scoring.baselines import NAMES

SIZE = (6, 8)


class Addressed(Clips):
    """Twelve clips of vehicles whose every value says clip, frame and point."""

    scale, offset = 500.0, 20.0

    def __init__(self, benchmark: Benchmark = MOVING_MNIST, frames_in: int = 4, frames_out: int = 2) -> None:
        super().__init__(replace(benchmark, frames_in=frames_in), "train", frames_out, "made up")

    def __len__(self) -> int:
        return 12

    def frames(self, indices: np.ndarray) -> Tensor:
        L = self.frames_in + self.frames_out
        address = np.arange(12 * L * SIZE[0] * SIZE[1]).reshape(12, L, 1, *SIZE)
        return torch.from_numpy((address[indices] / address.max()).astype("f4"))

    def name(self, index: int) -> str:
        return f"clip {index}"


def test_inputs_and_targets_are_the_frames_in_order() -> None:
    clips = Addressed()
    x, y, mask = ClipBatches(clips).batch(np.array([7, 2]))
    assert x.shape == (2, 4, 1, *SIZE)
    assert torch.equal(torch.cat([x, y], dim=1), clips.frames(np.array([7, 2])))
    assert mask.shape == clips.benchmark.shape
    assert bool((mask == 1).all())


@pytest.mark.parametrize(("limit", "places"), [(None, range(12)), (4, [0, 4, 7, 11]), (1, [0]), (99, range(12))])
def test_a_limit_takes_clips_that_lie_evenly_in_the_part(limit: int | None, places: list[int]) -> None:
    clips = Addressed()
    batches = ClipBatches(clips, limit)
    assert len(batches) == len(places)
    seen = np.concatenate(list(batches.ordered(3)))
    x, y, _ = batches.batch(seen)
    assert torch.equal(torch.cat([x, y], dim=1), clips.frames(np.array(places)))


def test_training_takes_every_clip_once_before_any_comes_again() -> None:
    order = np.concatenate(list(ClipBatches(Addressed()).shuffled(4, seed=1, first=0, count=6)))
    assert sorted(order[:12]) == list(range(12)) == sorted(order[12:])
    assert list(order[:12]) != list(order[12:])


def test_endless_clips_never_come_twice_and_begin_anywhere() -> None:
    batches = ClipBatches(MOVING_MNIST.open("train"))
    assert len(batches) == 10_000
    late = list(batches.shuffled(8, seed=5, first=2_000, count=2))
    assert [list(indices) for indices in late] == [list(range(16_000, 16_008)), list(range(16_008, 16_016))]
    assert batches.batch(late[0])[0].shape == (8, 10, 1, 64, 64)


def test_the_contract_takes_a_labelled_clip_to_the_very_frames_of_the_training() -> None:
    clips = Addressed()
    spec, _ = clip_contract(clips)
    labelled = clips.labelled(5)
    assert float(labelled["intensity"].min()) >= 20.0
    frames = spec.to_frames(spec.check(labelled))
    np.testing.assert_allclose(frames, clips.frames(np.array([5]))[0].numpy(), atol=2e-7)
    assert spec.value_faults(spec.check(labelled)) == []
    assert (spec.frames_in, spec.frames_out, spec.n_channels, spec.n_states) == (4, 2, 1, 1)


def test_a_saved_bare_network_forecasts_a_labelled_clip_as_it_does_its_frames(tmp_path) -> None:
    clips = Addressed()
    spec, baselines = clip_contract(clips)
    sizes = SimVPConfig(frames_in=4, frames_out=2, hid_S=4, hid_T=8, N_S=2, N_T=2, groups=2, kernels=(3,))
    torch.manual_seed(0)
    network = SimVP(sizes).eval()
    made = Forecaster(spec=spec, network=network, baselines=baselines, provenance={"dataset": "made up"})
    made.save(tmp_path / "model.safetensors")
    loaded = Forecaster.load(tmp_path / "model.safetensors")
    assert isinstance(loaded.network, SimVP)
    assert loaded.network.config == sizes
    assert loaded.fingerprint == made.fingerprint

    labelled = clips.labelled(3)
    forecast = loaded.predict(labelled.isel(time=slice(0, 4)))
    assert forecast["intensity"].dims == ("init_time", "lead_time", "y", "x")
    assert forecast["intensity"].attrs["units"] == "1"
    assert forecast["init_time"].values[0] == labelled["time"].values[3]
    with torch.no_grad():
        y = network(clips.frames(np.array([3]))[:, :4])[0, :, 0].numpy()
    np.testing.assert_allclose(forecast["intensity"][0].values, (20 + 500 * y).clip(20), rtol=1e-5, atol=1e-3)

    longer = loaded.predict(labelled.isel(time=slice(0, 4)), horizon=5)
    np.testing.assert_array_equal(longer["intensity"][:, :2].values, forecast["intensity"].values)
    # The second block sees the last two inputs and the first two predictions, since T' is less than T.
    x = torch.cat([clips.frames(np.array([3]))[:, 2:4], torch.from_numpy(y)[None, :, None]], dim=1)
    with torch.no_grad():
        second = network(x)[0, :, 0].numpy()
    np.testing.assert_allclose(longer["intensity"][0, 2:4].values, (20 + 500 * second).clip(20), rtol=1e-5, atol=1e-3)


def test_the_baselines_of_a_benchmark_are_the_five() -> None:
    clips = Addressed()
    _, baselines = clip_contract(clips)
    made = baselines.predict(clips.labelled(1), clips.labelled(1)["time"].values[3:4], leads=2)
    assert set(made) == set(NAMES)
    persistence = made["persistence"]["intensity"]
    xr.testing.assert_allclose(
        persistence.isel(init_time=0, lead_time=1, drop=True).drop_vars(["y", "x", "valid_time"], errors="ignore"),
        clips.labelled(1)["intensity"].isel(time=3, drop=True).drop_vars(["y", "x", "clip", "frame"], errors="ignore"),
    )
