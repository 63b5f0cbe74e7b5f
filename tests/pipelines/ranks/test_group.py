"""The group: shares that part a batch, gradients that add up to its own, and refusals."""

import math

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from pipelines.home import Home
from pipelines.progress import silent
from pipelines.ranks.group import ALONE, Ranks, backend, joined, launches
from pipelines.ranks.launch import launched
from pipelines.training.config import TrainConfig
from pipelines.training.loss import differential_divergence, masked_loss
from simvp.draws import drawn, shared_batch
from simvp.errors import ConfigError
from simvp.networks import SimVP, SimVPConfig
from tests.pipelines.ranks.tasks import looped

SETTINGS = {
    "dataset": "x", "size": "tiny", "epochs": 2, "epoch_updates": 5, "batch_size": 7, "divergence": 0.1,
    "learning_rate": 0.02, "checkpoint_every": 2,
}  # fmt: skip
NOISE = 1e-4  # of sums in another order, after a few updates


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [8, 9, 31])
def test_shares_part_a_batch_evenly(size: int, count: int) -> None:
    batch = np.arange(count)
    shares = [batch[Ranks(rank, size).share(count)] for rank in range(size)]
    assert np.concatenate(shares).tolist() == batch.tolist()
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("maps", [(3, 6, 5), (7, 4, 3, 6, 5)])
def test_losses_of_shares_weighted_by_their_windows_are_that_of_the_batch(maps: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    predicted, target = torch.randn(2, 7, 4, 3, 6, 5)
    mask = (torch.rand(maps) > 0.4).float()
    weights = torch.rand(6, 5) + 0.5

    def loss(own: slice) -> torch.Tensor:
        known = mask[own] if mask.ndim == 5 else mask
        divergence = differential_divergence(predicted[own], target[own], known if mask.ndim == 5 else None)
        return masked_loss(predicted[own], target[own], known, weights) + divergence

    shares = [Ranks(rank, 3).share(7) for rank in range(3)]
    assert [len(predicted[own]) for own in shares] == [2, 2, 3]
    parts = [float(loss(own)) * len(predicted[own]) / 7 for own in shares]
    assert sum(parts) == pytest.approx(float(loss(slice(None))), rel=1e-5)
    mean = sum(float(loss(own)) for own in shares) / 3
    assert not math.isclose(mean, float(loss(slice(None))), rel_tol=1e-3)  # means of means would be something else


def test_what_is_drawn_for_a_share_is_its_part_of_what_is_drawn_for_the_batch() -> None:
    def draw(count: int) -> torch.Tensor:
        return torch.randn(count, 3)

    torch.manual_seed(5)
    whole, after = drawn(7, draw), torch.get_rng_state()
    parts = []
    for rank in range(3):
        torch.manual_seed(5)
        own = Ranks(rank, 3).share(7)
        with shared_batch(7, own):
            parts.append(drawn(own.stop - own.start, draw))
        assert torch.equal(torch.get_rng_state(), after)
    assert torch.equal(torch.cat(parts), whole)


def test_two_ranks_give_the_losses_of_one_and_go_on_from_each_others_checkpoints() -> None:
    # 7 windows over 2 ranks, maps with holes, random shifts of the windows, and two losses.
    config = TrainConfig(**SETTINGS)
    (one,) = looped(Home("/"), config, progress=silent)
    middle = 2  # the start was saved first, then the second batch and the fourth
    fresh, resumed = launched(
        looped, Home("/"), config.replace(processes=2), progress=silent, states=[None, one["saved"][middle]]
    )
    (back,) = looped(Home("/"), config, progress=silent, states=[fresh["saved"][middle]])
    assert len(one["losses"]) == len(fresh["losses"]) == 10
    assert len(set(np.round(one["losses"], 4))) > 5
    np.testing.assert_allclose(fresh["losses"], one["losses"], rtol=NOISE)
    for other in (resumed, back):
        np.testing.assert_allclose(other["losses"], one["losses"][4:], rtol=NOISE)
    for other in (fresh, resumed, back):
        assert len(other["history"]) == len(one["history"])
        for entry, expected in zip(other["history"], one["history"], strict=True):
            assert entry == pytest.approx(expected, rel=NOISE)
        for own, expected in zip(other["weights"], one["weights"], strict=True):
            torch.testing.assert_close(own, expected, rtol=1e-3, atol=1e-4)


def test_every_network_of_the_family_trains_replicated(tmp_path) -> None:
    # DistributedDataParallel refuses, at the second update, a network of which some weights had no gradient.
    dist.init_process_group("gloo", init_method=(tmp_path / "store").as_uri(), rank=0, world_size=1)
    sizes = {"frames_in": 4, "frames_out": 4, "channels_in": 2, "channels_out": 2, "hid_S": 4, "hid_T": 16, "N_S": 2}
    try:
        for variant in ("simvp", "incepu", "gsta", "tau"):
            network = SimVP(SimVPConfig(variant=variant, N_T=2, **sizes))
            if variant in ("gsta", "tau"):
                with pytest.raises(ConfigError, match=r"processes: expected a network without batch normalisation"):
                    Ranks(0, 2).replicated(network)
            replicated = nn.parallel.DistributedDataParallel(network)
            for _ in range(2):
                replicated(torch.randn(2, 4, 2, 8, 8)).square().mean().backward()
    finally:
        dist.destroy_process_group()


def test_alone_there_is_no_group(monkeypatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined(torch.device("cpu")) as ranks:
        assert ranks is ALONE
        assert not dist.is_initialized()
    network = torch.nn.Linear(2, 2)
    assert ALONE.replicated(network) is network
    assert ALONE.once(lambda: 3) == 3
    values = np.ones(3)
    ALONE.add_up(values)
    assert values.tolist() == [1, 1, 1]


def test_nccl_carries_what_lies_on_gpus() -> None:
    assert backend(torch.device("cpu")) == "gloo"
    assert backend(torch.device("cuda")) == "cpu:gloo,cuda:nccl"


@pytest.mark.parametrize(
    ("started", "settings", "expected"),
    [
        ("1", {}, False),
        ("1", {"processes": 2}, True),
        ("2", {}, False),
        ("2", {"processes": 2}, False),
        ("1", {"processes": 9}, r"at most a window of the batch for each \(batch_size 8\), got 9"),
        ("16", {}, r"batch_size 8\), got 16\nTo mend it: take fewer processes, or a larger batch_size"),
        ("4", {"processes": 2}, r"expected 1 or the 4 that torchrun has started, got 2"),
    ],
)
def test_processes_are_started_where_torchrun_has_not_and_refused_where_they_cannot_be(
    monkeypatch, started: str, settings: dict[str, int], expected: bool | str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", started)
    config = TrainConfig(dataset="x", **settings)
    if isinstance(expected, bool):
        assert launches(config) is expected
        return
    with pytest.raises(ConfigError, match=expected):
        launches(config)


def test_more_processes_than_gpus_are_refused(monkeypatch) -> None:
    for name, value in (("WORLD_SIZE", "3"), ("RANK", "2"), ("LOCAL_RANK", "2")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    refused = pytest.raises(ConfigError, match="processes: expected at most the 2 GPUs of this machine, got 3 or more")
    with refused, joined(torch.device("cuda")):
        pass
