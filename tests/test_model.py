"""The network of the paper: its size, any grid, any T', and every switch."""

import json
from dataclasses import fields, replace

import pytest
import torch
from torch.nn import functional

from simvp.errors import ConfigError, ContractError
from simvp.model import SimVP, SimVPConfig

SMALL = SimVPConfig(
    frames_in=4, frames_out=4, channels_in=2, channels_out=2, hid_S=4, hid_T=16, N_S=4, N_T=2, groups=4, kernels=(3, 5)
)


def build(config: SimVPConfig, seed: int = 0) -> SimVP:
    torch.manual_seed(seed)
    return SimVP(config).eval()


def frames(config: SimVPConfig, rows: int = 8, columns: int = 12, batch: int = 2) -> torch.Tensor:
    shape = (batch, config.frames_in, config.channels_in, rows, columns)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("hid_T", "count"), [(512, 57_761_409), (256, 15_778_433)])
def test_it_has_as_many_parameters_as_the_published_code(hid_T: int, count: int) -> None:
    with torch.device("meta"):
        network = SimVP(SimVPConfig(hid_S=64, hid_T=hid_T, N_S=4, N_T=8, groups=8))
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize("grid", [(33, 49), (59, 59), (61, 73), (32, 32), (1, 9), (2, 1)])
def test_any_grid_goes_through(grid: tuple[int, int]) -> None:
    with torch.no_grad():
        y = build(SMALL)(frames(SMALL, *grid))
    assert y.shape == (2, 4, 2, *grid)
    assert torch.isfinite(y).all()


def test_an_odd_grid_equals_the_crop_of_the_grid_with_its_edges_repeated() -> None:
    x = frames(SMALL, 5, 10)
    rows, columns = torch.arange(8).clamp(max=4), torch.arange(12).clamp(max=9)
    network = build(SMALL)
    with torch.no_grad():
        torch.testing.assert_close(network(x), network(x[..., rows, :][..., columns])[..., :5, :10])


def test_fewer_frames_out_are_the_first_ones_of_the_whole_output() -> None:
    x = frames(SMALL)
    with torch.no_grad():
        whole, cut = build(SMALL)(x), build(replace(SMALL, frames_out=3))(x)
    torch.testing.assert_close(cut, whole[:, :3])


def test_more_frames_out_are_rolled_out_in_blocks() -> None:
    x = frames(SMALL, 6, 7)
    network = build(SMALL)
    with torch.no_grad():
        first = network(x)
        second = network(first)
        third = network(second)
        expected = torch.cat([first, second, third], dim=1)[:, :10]
        torch.testing.assert_close(build(replace(SMALL, frames_out=10))(x), expected)


def test_every_weight_receives_a_gradient() -> None:
    config = replace(SMALL, channels_out=1, frames_out=3)
    network = build(config)
    network(frames(config)).square().mean().backward()
    # The translator's last block also writes the frame that is cut off.
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


CHANGES = {
    "frames_in": 6,
    "frames_out": 2,
    "channels_in": 3,
    "channels_out": 1,
    "hid_S": 8,
    "hid_T": 24,
    "N_S": 2,
    "N_T": 3,
    "groups": 2,
    "kernels": (3, 7),
    "spatial_shortcut": False,
    "temporal_shortcuts": False,
    "group_norm": False,
    "group_conv": False,
}


@pytest.mark.parametrize("field", [f.name for f in fields(SimVPConfig)])
def test_every_field_is_read(field: str) -> None:
    changed = replace(SMALL, **{field: CHANGES[field]})

    def made(config: SimVPConfig) -> tuple[dict[str, torch.Size], torch.Size]:
        network = build(config)
        with torch.no_grad():
            shape = network(frames(config)).shape
        return {name: tensor.shape for name, tensor in network.state_dict().items()}, shape

    assert made(changed) != made(SMALL)


def test_the_spatial_shortcut_carries_each_frame_to_its_own_output() -> None:
    x = frames(SMALL)
    other = x.clone()
    other[:, 1] += 1
    for shortcut in (True, False):
        network = build(replace(SMALL, spatial_shortcut=shortcut))
        for parameter in network.translator.parameters():
            torch.nn.init.zeros_(parameter)
        with torch.no_grad():
            moved = (network(x) - network(other)).abs().amax(dim=(0, 2, 3, 4))
        assert (moved > 0).tolist() == [False, shortcut, False, False]


def test_without_temporal_shortcuts_a_block_up_sees_only_the_one_below() -> None:
    x = frames(SMALL)
    for shortcuts in (True, False):
        network = build(replace(SMALL, temporal_shortcuts=shortcuts))
        with torch.no_grad():
            for parameter in network.translator.up[0].parameters():
                parameter.zero_()  # what lies below the shortcut no longer counts
            same = torch.equal(network.translator(embed(network, x)), network.translator(embed(network, 2 * x + 1)))
        assert same is not shortcuts


def embed(network: SimVP, x: torch.Tensor) -> torch.Tensor:
    deep, _ = network.encoder(x.flatten(0, 1))
    return deep.reshape(len(x), -1, *deep.shape[-2:])


def test_a_grouped_branch_mixes_no_groups() -> None:
    branch = build(SMALL).translator.down[0].branches[0]
    assert branch.conv.groups == branch.norm.num_groups == 4
    full = build(replace(SMALL, group_conv=False)).translator.down[0].branches[0]
    assert (full.conv.groups, full.norm.num_groups) == (1, 4)


def test_a_width_that_the_groups_do_not_divide_has_one_group() -> None:
    config = replace(SMALL, hid_T=20)  # squeezed to 10, not divisible by 4
    branch = build(config).translator.up[-1].branches[0]
    assert branch.conv.groups == branch.norm.num_groups == 1


def test_an_inception_block_is_the_sum_of_its_branches() -> None:
    block = build(SMALL).translator.down[0]
    x = torch.randn(1, 16, 3, 3)
    with torch.no_grad():
        squeezed = functional.conv2d(x, block.squeeze.weight, block.squeeze.bias)
        torch.testing.assert_close(block(x), block.branches[0](squeezed) + block.branches[1](squeezed))


def test_a_config_goes_through_json() -> None:
    assert SimVPConfig.from_dict(json.loads(json.dumps(SMALL.to_dict()))) == SMALL


def test_every_value_out_of_range_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        SimVPConfig(frames_in=0, N_T=0, hid_S=3, hid_T=5, kernels=(3, 4))
    assert refused.value.reasons == (
        "frames_in: expected 1 or more, got 0",
        "N_T: expected 1 or more, got 0",
        "hid_S: expected a multiple of 2, got 3",
        "hid_T: expected an even number of 2 or more, got 5",
        "kernels: expected one or more odd sizes, got (3, 4)",
    )


def test_values_of_another_type_are_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        SimVPConfig(hid_S=8.0, N_S=True, kernels=(3, "5"))  # type: ignore[arg-type]
    assert refused.value.reasons == (
        "hid_S: expected int, got 8.0 (float)",
        "N_S: expected int, got True (bool)",
        "kernels: expected whole numbers, got (3, '5')",
    )


def test_groups_that_do_not_fit_the_frames_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"groups: expected a divisor of frames_in \* hid_S = 5 \* 2 = 10, got 4"):
        replace(SMALL, frames_in=5, frames_out=5, hid_S=2)


def test_a_rollout_needs_as_many_channels_out_as_in() -> None:
    with pytest.raises(ConfigError, match="expected channels_out equal to channels_in 2, got 1"):
        replace(SMALL, channels_out=1, frames_out=5)


def test_an_unknown_key_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'hidS'\nTo mend it: use frames_in, frames_out"):
        SimVPConfig.from_dict({"hidS": 8})


def test_an_input_of_another_shape_is_refused() -> None:
    with pytest.raises(ContractError, match=r"SimVP input: shape: expected \(B, 4, 2, H, W\), got \(2, 3, 2, 8, 12\)"):
        build(SMALL)(frames(SMALL)[:, :3])
