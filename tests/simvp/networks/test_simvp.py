"""The networks of the family: their size, any grid, any T', and every switch."""

import json
from typing import Any, get_args

import pytest
import torch
from torch.nn import functional

from simvp.errors import ConfigError, ContractError
from simvp.networks import simvp
from simvp.networks.config import SimVPConfig, Variant
from simvp.networks.simvp import SimVP

SMALL = SimVPConfig(
    frames_in=4, frames_out=4, channels_in=2, channels_out=2, hid_S=4, hid_T=16, N_S=4, N_T=2, groups=4, kernels=(3, 5)
)

VARIANTS = get_args(Variant)
INCEPU = SMALL.replace(variant="incepu")
ATTENTION = {"groups": 8, "kernels": (3, 5, 7, 11), "hid_T": 24, "mlp_ratio": 2.0}
GSTA, TAU = (SMALL.replace(variant=variant, **ATTENTION) for variant in ("gsta", "tau"))
FAMILY = pytest.mark.parametrize("small", [SMALL, INCEPU, GSTA, TAU], ids=VARIANTS)


def build(config: SimVPConfig, seed: int = 0) -> SimVP:
    torch.manual_seed(seed)
    return SimVP(config).eval()


def frames(config: SimVPConfig, rows: int = 8, columns: int = 12, batch: int = 2) -> torch.Tensor:
    shape = (batch, config.frames_in, config.channels_in, rows, columns)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("variant", "hid_T", "count"),
    [
        ("simvp", 512, 57_761_409),
        ("simvp", 256, 15_778_433),
        ("incepu", 512, 57_946_113),
        ("gsta", 512, 46_769_665),
        ("tau", 512, 44_656_001),
    ],
)
def test_it_has_as_many_parameters_as_the_published_code(variant: Variant, hid_T: int, count: int) -> None:
    with torch.device("meta"):
        network = SimVP(SimVPConfig(variant=variant, hid_S=64, hid_T=hid_T, N_S=4, N_T=8))
    assert sum(p.numel() for p in network.parameters()) == count


@FAMILY
@pytest.mark.parametrize("kernels", [(3, 3), (5, 1), (1, 7)])
@pytest.mark.parametrize("grid", [(33, 49), (59, 59), (61, 73), (32, 32), (1, 9), (2, 1)])
def test_any_grid_goes_through(small: SimVPConfig, grid: tuple[int, int], kernels: tuple[int, int]) -> None:
    config = small.replace(kernel_enc=kernels[0], kernel_dec=kernels[1])
    with torch.no_grad():
        y = build(config)(frames(config, *grid))
    assert y.shape == (2, 4, 2, *grid)
    assert torch.isfinite(y).all()


@FAMILY
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_any_number_of_blocks_fits_together(small: SimVPConfig, count: int) -> None:
    config = small.replace(N_S=count, N_T=max(count, 2))
    with torch.no_grad():
        assert build(config)(frames(config, 9, 6)).shape == (2, 4, 2, 9, 6)


@FAMILY
def test_an_odd_grid_equals_the_crop_of_the_grid_with_its_edges_repeated(small: SimVPConfig) -> None:
    x = frames(small, 5, 10)
    rows, columns = torch.arange(8).clamp(max=4), torch.arange(12).clamp(max=9)
    network = build(small)
    with torch.no_grad():
        torch.testing.assert_close(network(x), network(x[..., rows, :][..., columns])[..., :5, :10])


@FAMILY
def test_fewer_frames_out_are_the_first_ones_of_the_whole_output(small: SimVPConfig) -> None:
    x = frames(small)
    with torch.no_grad():
        whole, cut = build(small)(x), build(small.replace(frames_out=3))(x)
    torch.testing.assert_close(cut, whole[:, :3])


@FAMILY
def test_more_frames_out_are_rolled_out_in_blocks(small: SimVPConfig) -> None:
    x = frames(small, 6, 7)
    network = build(small)
    with torch.no_grad():
        first = network(x)
        second = network(first)
        third = network(second)
        expected = torch.cat([first, second, third], dim=1)[:, :10]
        torch.testing.assert_close(build(small.replace(frames_out=10))(x), expected)


@FAMILY
@pytest.mark.parametrize("frames_out", [3, 4, 10])
@pytest.mark.parametrize("at_once", [1, 5])
def test_frames_coded_a_few_at_a_time_are_the_same(
    small: SimVPConfig, frames_out: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, x = build(small.replace(frames_out=frames_out)).double(), frames(small, 9, 6, batch=3).double()
    with torch.no_grad():
        whole = network(x)
        sizes: list[int] = []
        for part in (network.encoder, network.encoder.blocks[0], network.decoder):
            part.register_forward_pre_hook(lambda module, given: sizes.append(len(given[0])))
        monkeypatch.setitem(simvp.AT_ONCE, "cpu", at_once * small.hid_S * 12 * 8)  # padded to 12 x 8
        torch.testing.assert_close(network(x), whole, rtol=1e-9, atol=1e-9)
        kept = len(sizes)
        monkeypatch.setattr(simvp, "SHORTCUTS", 0)  # made again for the decoder
        torch.testing.assert_close(network(x), whole, rtol=1e-9, atol=1e-9)
    assert max(sizes) <= at_once
    assert len(sizes) - kept > kept


@FAMILY
def test_every_weight_receives_a_gradient(small: SimVPConfig) -> None:
    config = small.replace(channels_out=1, frames_out=3)
    network = build(config).train()
    network(frames(config)).square().mean().backward()
    # The translator's last block also writes the frame that is cut off.
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


@FAMILY
def test_in_eval_mode_samples_know_nothing_of_each_other(small: SimVPConfig) -> None:
    network, x = build(small), frames(small, batch=3)
    with torch.no_grad():
        torch.testing.assert_close(network(x)[1:2], network(x[1:2]))


@FAMILY
def test_the_readout_is_a_convolution_that_can_be_zeroed(small: SimVPConfig) -> None:
    network = build(small)
    torch.nn.init.zeros_(network.decoder.readout.weight)
    torch.nn.init.constant_(network.decoder.readout.bias, 3.0)
    with torch.no_grad():
        assert (network(frames(small)) == 3.0).all()


CHANGES: dict[str, Any] = {
    "frames_in": 6,
    "frames_out": 2,
    "channels_in": 3,
    "channels_out": 1,
    "hid_S": 8,
    "hid_T": 20,
    "N_S": 2,
    "N_T": 3,
    "groups": 2,
    "kernels": (3, 7),
    "spatial_shortcut": False,
    "temporal_shortcuts": False,
    "group_norm": False,
    "group_conv": False,
    "kernel_enc": 5,
    "kernel_dec": 5,
    "mlp_ratio": 3.0,
    "drop_path": 0.9,
}


OF_U_NETS, OF_STACKS = ("groups", "kernels", "temporal_shortcuts", "group_conv"), ("mlp_ratio", "drop_path")
UNREAD = {"simvp": OF_STACKS, "incepu": OF_STACKS, "gsta": OF_U_NETS, "tau": OF_U_NETS}


@FAMILY
@pytest.mark.parametrize("field", CHANGES)
def test_every_field_is_read_or_refused(small: SimVPConfig, field: str) -> None:
    def made(config: SimVPConfig) -> tuple[Any, ...]:
        network = build(config).train()
        y = network(frames(config))
        names = {name: tensor.shape for name, tensor in network.state_dict().items()}
        return names, y.shape, round(float(y.detach().std()), 6)

    changed = {field: CHANGES[field]}
    if field in UNREAD[small.variant]:
        with pytest.raises(ConfigError) as refused:
            small.replace(**changed)
        default = SimVPConfig.model_fields[field].default
        assert refused.value.reasons == (
            f"{field}: variant {small.variant} does not read it: expected {default}, got {CHANGES[field]}",
        )
    else:
        assert made(small.replace(**changed)) != made(small)


def test_every_field_has_a_change_to_try() -> None:
    assert {*CHANGES, "variant"} == set(SimVPConfig.model_fields)


@FAMILY
@pytest.mark.parametrize("shortcut", [True, False])
def test_the_spatial_shortcut_carries_each_frame_to_its_own_output(small: SimVPConfig, shortcut: bool) -> None:
    x = frames(small)
    other = x.clone()
    other[:, 1] += 1
    network = build(small.replace(spatial_shortcut=shortcut))
    for parameter in network.translator.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        moved = (network(x) - network(other)).abs().amax(dim=(0, 2, 3, 4))
    assert (moved > 0).tolist() == [False, shortcut, False, False]


def test_openstl_s_shortcut_is_added_and_simvp_s_stands_beside() -> None:
    assert build(SMALL).decoder.blocks[-1].conv.in_channels == 2 * SMALL.hid_S
    network = build(GSTA)
    deep, shortcut = torch.randn(1, 4, 2, 3), torch.randn(1, 4, 8, 12)
    seen: list[torch.Tensor] = []
    network.decoder.blocks[-1].register_forward_pre_hook(lambda module, given: seen.extend(given))
    with torch.no_grad():
        network.decoder(deep, shortcut)
        network.decoder(deep, torch.zeros_like(shortcut))
    torch.testing.assert_close(seen[0] - seen[1], shortcut)


def test_without_temporal_shortcuts_a_block_up_sees_only_the_one_below() -> None:
    x = frames(SMALL)
    for shortcuts in (True, False):
        network = build(SMALL.replace(temporal_shortcuts=shortcuts))
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
    full = build(SMALL.replace(group_conv=False)).translator.down[0].branches[0]
    assert (full.conv.groups, full.norm.num_groups) == (1, 4)


def test_a_width_that_the_groups_do_not_divide_has_one_group() -> None:
    config = SMALL.replace(hid_T=20)  # squeezed to 10, not divisible by 4
    branch = build(config).translator.up[-1].branches[0]
    assert branch.conv.groups == branch.norm.num_groups == 1


def test_an_inception_block_is_the_sum_of_its_branches() -> None:
    block = build(SMALL).translator.down[0]
    x = torch.randn(1, 16, 3, 3)
    with torch.no_grad():
        squeezed = functional.conv2d(x, block.squeeze.weight, block.squeeze.bias)
        torch.testing.assert_close(block(x), block.branches[0](squeezed) + block.branches[1](squeezed))


@FAMILY
def test_a_config_goes_through_json(small: SimVPConfig) -> None:
    assert SimVPConfig.from_dict(json.loads(json.dumps(small.to_dict()))) == small


def test_sizes_that_were_saved_before_there_were_variants_are_the_papers_network() -> None:
    saved = json.loads(
        """{"frames_in": 4, "frames_out": 4, "channels_in": 2, "channels_out": 2, "hid_S": 4, "hid_T": 16, "N_S": 2,
        "N_T": 1, "groups": 4, "kernels": [3], "spatial_shortcut": true, "temporal_shortcuts": true,
        "group_norm": true, "group_conv": true}"""
    )
    network = build(SimVPConfig.from_dict(saved))
    assert network.config.variant == "simvp"
    modules = [
        *(f"{half}.blocks.{i}.{part}" for half in ("encoder", "decoder") for i in (0, 1) for part in ("conv", "norm")),
        *(f"translator.{way}.0.{part}" for way in ("down", "up") for part in ("squeeze", "branches.0.conv")),
        *(f"translator.{way}.0.branches.0.norm" for way in ("down", "up")),
        "decoder.readout",
    ]
    assert set(network.state_dict()) == {f"{module}.{leaf}" for module in modules for leaf in ("weight", "bias")}
    assert isinstance(network.decoder.blocks[0].conv, torch.nn.ConvTranspose2d)


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
    with pytest.raises(ConfigError) as refused:
        SimVPConfig(variant="tau", N_T=1, hid_T=0, kernel_enc=4, kernel_dec=-1, mlp_ratio=0.0, drop_path=1.0, groups=4)
    assert refused.value.reasons == (
        "groups: variant tau does not read it: expected 8, got 4",
        "N_T: expected 2 or more, got 1",
        "hid_T: expected 1 or more, got 0",
        "kernel_enc: expected an odd size, got 4",
        "kernel_dec: expected an odd size, got -1",
        "drop_path: expected 0 or more and below 1, got 1.0",
        "mlp_ratio: expected 1 or more channels inside the MLP, got a ratio of 0.0",
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1])
def test_a_chance_or_ratio_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ConfigError) as refused:
        GSTA.replace(drop_path=value, mlp_ratio=value)
    assert [reason.partition(":")[0] for reason in refused.value.reasons] == ["drop_path", "mlp_ratio"]


def test_values_of_another_type_are_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        SimVPConfig(hid_S=8.0, N_S=True, kernels=(3, "5"), variant="gSTA", drop_path=True)
    assert refused.value.reasons == (
        "hid_S: expected a valid integer, got 8.0",
        "N_S: expected a valid integer, got True",
        "kernels.1: expected a valid integer, got '5'",
        "variant: expected one of simvp, incepu, gsta, tau, got 'gSTA'",
        "drop_path: expected a valid number, got True",
    )


def test_a_whole_number_is_a_ratio_and_stays_one_in_saved_models() -> None:
    whole = GSTA.replace(mlp_ratio=2)
    assert whole == GSTA
    assert '"mlp_ratio": 2,' in json.dumps(SimVPConfig.from_dict(whole.to_dict()).to_dict())
    for ratio in (True, "2"):
        with pytest.raises(ConfigError, match=r"mlp_ratio:"):
            GSTA.replace(mlp_ratio=ratio)


def test_groups_that_do_not_fit_the_frames_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"groups: expected a divisor of frames_in \* hid_S = 5 \* 2 = 10, got 4"):
        SMALL.replace(frames_in=5, frames_out=5, hid_S=2)


def test_a_rollout_needs_as_many_channels_out_as_in() -> None:
    with pytest.raises(ConfigError, match="expected channels_out equal to channels_in 2, got 1"):
        SMALL.replace(channels_out=1, frames_out=5)


def test_an_unknown_key_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigError,
        match=r"hidS: no setting of that name \(did you mean 'hid_S'\?\), got 8\n.* the settings are frames_in",
    ):
        SimVPConfig.from_dict({"hidS": 8})


def test_an_input_of_another_shape_is_refused() -> None:
    with pytest.raises(ContractError, match=r"SimVP input: shape: expected \(B, 4, 2, H, W\), got \(2, 3, 2, 8, 12\)"):
        build(SMALL)(frames(SMALL)[:, :3])
