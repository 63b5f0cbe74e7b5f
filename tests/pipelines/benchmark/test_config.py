"""Settings of a run: every preset makes a network, every name is known, and nothing is passed over."""

from typing import get_args

import pytest
import torch

from datasets.benchmarks import BENCHMARKS
from pipelines.benchmark.config import BenchmarkConfig, plan_benchmark
from pipelines.benchmark.presets import PRESETS, PresetName
from simvp.errors import ConfigError, SourceError
from simvp.networks.config import Variant
from simvp.networks.simvp import SimVP

VARIANTS = get_args(Variant)


def test_every_benchmark_has_both_presets() -> None:
    assert set(PRESETS) == set(BENCHMARKS)
    for presets in PRESETS.values():
        assert set(presets) == set(get_args(PresetName))


@pytest.mark.parametrize("name", BENCHMARKS)
@pytest.mark.parametrize("preset", get_args(PresetName))
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_preset_makes_a_network_for_the_benchmark_s_frames(
    name: str, preset: PresetName, variant: Variant
) -> None:
    benchmark = BENCHMARKS[name]
    config = plan_benchmark(name, variant=variant, preset=preset)
    assert config.variant == variant
    assert config.divergence == (0.1 if variant == "tau" else 0.0)
    assert config.patience == config.epochs  # the published schedules have no early stop
    with torch.device("meta"):
        network = SimVP(config.sizes).eval()
        y = network(torch.empty(1, benchmark.frames_in, *benchmark.shape))
    assert y.shape == (1, benchmark.frames_out, *benchmark.shape)


def test_full_moving_mnist_is_the_published_network() -> None:
    counts = {"simvp": 57_761_409, "incepu": 57_946_113, "gsta": 46_769_665, "tau": 44_656_001}
    for variant, count in counts.items():
        with torch.device("meta"):
            network = SimVP(plan_benchmark("moving-mnist", variant=variant, preset="full").sizes)
        assert sum(p.numel() for p in network.parameters()) == count


def test_the_preset_is_full_only_where_there_is_a_gpu() -> None:
    assert plan_benchmark("moving-mnist").preset == ("full" if torch.cuda.is_available() else "quick")


def test_changes_win_over_the_variant_and_the_variant_over_the_preset() -> None:
    preset = plan_benchmark("kth", preset="full")
    gsta = plan_benchmark("kth", variant="gsta", preset="full")
    changed = plan_benchmark("kth", variant="gsta", preset="full", changes={"N_T": 3, "batch_size": 4, "seed": 9})
    assert (preset.sizes.N_T, gsta.sizes.N_T, changed.sizes.N_T) == (4, 6, 3)
    assert (changed.batch_size, changed.seed, changed.network["drop_path"]) == (4, 9, gsta.network["drop_path"])


def test_settings_go_through_json() -> None:
    config = plan_benchmark("taxibj", variant="tau", changes={"spatial_shortcut": False})
    assert BenchmarkConfig.model_validate_json(config.model_dump_json()) == config
    assert not config.sizes.spatial_shortcut


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError) as refused:
        plan_benchmark("kth", changes={"learning-rate": 1, "frames_in": 3})
    assert refused.value.reasons == (
        "frames_in: no setting of that name",
        "learning-rate: no setting of that name",
    )
    assert "learning_rate" in refused.value.remedy
    assert "hid_S" in refused.value.remedy
    with pytest.raises(SourceError, match="benchmark 'moving_mnist': expected one of"):
        plan_benchmark("moving_mnist")


def test_values_out_of_range_are_refused_in_words() -> None:
    with pytest.raises(ConfigError, match=r"batch_size: .*greater than or equal to 1, got 0"):
        plan_benchmark("kth", changes={"batch_size": 0})
    with pytest.raises(ConfigError, match=r"hid_T: expected an even number"):
        plan_benchmark("kth", changes={"hid_T": 7})
    with pytest.raises(ConfigError, match="group_conv"):
        plan_benchmark("kth", variant="gsta", changes={"group_conv": False})
