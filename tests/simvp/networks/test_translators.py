"""What the translators of SimVPv2 and TAU do, beside giving the public code's output (test_pretrained.py)."""

import math

import pytest
import torch
from torch import nn

from simvp.networks.config import SimVPConfig
from simvp.networks.simvp import SimVP
from simvp.networks.translators import AttentionBlock, AttentionStack, ConvMLP, GatedAttention, TemporalAttention

SIZES = SimVPConfig(variant="gsta", frames_in=3, frames_out=3, hid_S=4, hid_T=10, N_S=2, N_T=4, mlp_ratio=2.5)


def stack(config: SimVPConfig) -> AttentionStack:
    translator = SimVP(config).translator
    assert isinstance(translator, AttentionStack)
    return translator


def test_the_first_block_leads_to_the_inner_width_and_the_last_one_back() -> None:
    blocks = stack(SIZES).blocks
    inner = [(block.mlp.widen.in_channels, block.mlp.widen.out_channels) for block in blocks]
    assert inner == [(12, 30), (10, 25), (10, 25), (10, 25)]
    ends = [(b.reduction.in_channels, b.reduction.out_channels) for b in blocks if isinstance(b.reduction, nn.Conv2d)]
    assert ends == [(12, 10), (10, 12)]
    assert [isinstance(block.reduction, nn.Identity) for block in blocks] == [False, True, True, False]


def test_equal_widths_need_no_reduction() -> None:
    assert not any("reduction" in name for name in stack(SIZES.replace(hid_T=12)).state_dict())


@pytest.mark.parametrize(
    ("drop_path", "expected"),
    [(0.0, [0, 0, 0, 0]), (0.1, [0.01, 0.04, 0.07, 0.1]), (0.004, [0.004] * 4)],
)
def test_blocks_are_left_out_by_a_linear_rule(drop_path: float, expected: list[float]) -> None:
    assert [block.drop for block in stack(SIZES.replace(drop_path=drop_path)).blocks] == pytest.approx(expected)


def test_a_block_is_left_out_for_whole_samples_and_keeps_the_mean() -> None:
    block = AttentionBlock(2, 2, nn.Identity(), 1.0, 0.25).train()
    torch.manual_seed(0)
    kept = block._kept(torch.ones(4000, 2, 1, 3))
    assert kept.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert (kept == kept[:, :1, :, :1]).all()
    assert kept.mean().item() == pytest.approx(1.0, abs=0.03)  # standard error 0.009
    x = torch.randn(5, 2, 1, 3)
    assert torch.equal(block.eval()._kept(x), x)


def test_without_a_chance_no_block_is_left_out_in_training() -> None:
    network, x = SimVP(SIZES).train(), torch.randn(2, 3, 1, 8, 8)
    assert torch.equal(network(x), network(x))
    dropping = SimVP(SIZES.replace(drop_path=0.9)).train()
    assert not torch.equal(dropping(x), dropping(x))


def test_a_block_without_weight_passes_its_input_on() -> None:
    block = AttentionBlock(6, 6, GatedAttention(6), 2.0, 0.0).eval()
    x = torch.randn(2, 6, 5, 4)
    with torch.no_grad():
        block.scale1.zero_()
        block.scale2.zero_()
        assert torch.equal(block(x), x)


def test_gated_attention_sees_eleven_points_around_and_temporal_attention_the_whole_map() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 8, 1, 40, dtype=torch.float64)
    other = x.clone()
    other[..., 0] += 1  # 2 points of the 5 x 5 kernel, 9 of the dilated 7 x 7
    for attention, reach in ((GatedAttention(8), 12), (TemporalAttention(8), 40)):
        with torch.no_grad():
            moved = (attention.double()(x) - attention(other)).abs().amax(dim=(0, 1, 2)) > 0
        assert moved[:reach].all()
        assert not moved[reach:].any()


@pytest.mark.parametrize(("width", "squeezed"), [(2, 1), (8, 2), (40, 10), (64, 16), (80, 16), (640, 16)])
def test_channels_are_squeezed_as_in_the_public_code(width: int, squeezed: int) -> None:
    assert TemporalAttention(width).squeeze.weight.shape == (squeezed, width)


def of_fan_out(conv: nn.Conv2d) -> bool:
    expected = math.sqrt(2 * conv.groups / (conv.kernel_size[0] ** 2 * conv.out_channels))
    return conv.weight.std().item() == pytest.approx(expected, rel=0.1) and not conv.bias.any()


def test_new_weights_are_those_of_the_public_code() -> None:
    torch.manual_seed(0)
    gated, temporal, mlp = GatedAttention(96), TemporalAttention(96), ConvMLP(96, 192)
    convs = [module for module in [*gated.modules(), *mlp.modules()] if isinstance(module, nn.Conv2d)]
    assert len(convs) == 8
    assert all(of_fan_out(conv) for conv in convs)
    assert not any(of_fan_out(module) for module in temporal.modules() if isinstance(module, nn.Conv2d))

    wide = SimVPConfig(variant="gsta", frames_in=1, frames_out=1, hid_S=32, hid_T=32, N_S=2, N_T=2)
    for variant, std in (("gsta", 0.02), ("simvp", math.sqrt(1 / (3 * 32 * 9)))):  # torch's default is uniform
        network = SimVP(wide.replace(variant=variant))
        for block in (network.encoder.blocks[1], network.decoder.blocks[0]):
            assert block.conv.weight.std().item() == pytest.approx(std, rel=0.05)
            assert bool(block.conv.bias.any()) is (variant == "simvp")
    block = stack(wide).blocks[0]
    assert torch.equal(block.scale1, torch.full((32,), 0.01))
    assert torch.equal(block.scale2, torch.full((32,), 0.01))
