"""The blend of last frame and last cycle: its fit by hand, its start, its drift; and the correction beside it."""

import json

import pytest
import torch
from torch import Tensor

from simvp.errors import ConfigError, ContractError
from simvp.networks.config import SimVPConfig
from simvp.networks.gridded import GriddedConfig, GriddedSimVP

NETWORK = SimVPConfig(
    frames_in=4, frames_out=4, channels_in=3, channels_out=2, hid_S=4, hid_T=8, N_S=2, N_T=1, groups=2, kernels=(3,)
)
CONFIG = GriddedConfig(network=NETWORK, states=2, lag=3, drift=0.5, tilt=0.0, swing=0.0)
POINT = GriddedConfig(
    network=NETWORK.replace(frames_in=2, frames_out=1, channels_in=1, channels_out=1),
    states=1,
    lag=None,
    drift=0.0,
    tilt=0.0,
    swing=0.0,
)


def build(config: GriddedConfig, seed: int = 0) -> GriddedSimVP:
    torch.manual_seed(seed)
    return GriddedSimVP(config).eval()


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def unsettle(network: GriddedSimVP) -> None:
    """Give the readout and the blend weights, as a training would."""
    for number, parameter in enumerate((network.network.decoder.readout.weight, network.mix)):
        parameter.data = 0.3 * noise(*parameter.shape, seed=number)


def test_a_new_network_forecasts_the_climatology() -> None:
    assert torch.equal(build(CONFIG)(noise(2, 4, 3, 5, 6)), torch.zeros(2, 4, 2, 5, 6))


def test_until_it_is_trained_it_is_the_blend_exactly() -> None:
    network, x = build(CONFIG), noise(2, 4, 3, 5, 6)
    network.mix.data = noise(2, 4, 2)
    with torch.no_grad():
        y = network(x)
    for lead in range(4):
        for state in range(2):
            last, cycle = network.mix.detach()[:, lead, state]
            phase = (1, 2, 3, 1)[lead]  # the valid time less 3 frames, or less 6 for the fourth lead
            torch.testing.assert_close(y[:, lead, state], last * x[:, 3, state] + cycle * x[:, phase, state])


def test_the_correction_is_added_at_the_size_of_the_blend_s_error() -> None:
    network, x = build(CONFIG), noise(2, 4, 3, 5, 6)
    unsettle(network)
    network.residual_scale.copy_(torch.arange(8.0).reshape(4, 2))
    with torch.no_grad():
        correction = network(x) - torch.einsum("kls,bklshw->blshw", network.mix, network._terms(x))
        torch.testing.assert_close(correction, network.network(x) * torch.arange(8.0).reshape(4, 2, 1, 1))


def windows(last: list[float], target: list[float]) -> tuple[Tensor, Tensor, Tensor]:
    """Windows of two frames in and one out, on a grid of one row and two columns that are the same."""
    x = torch.tensor([[0.0, value] for value in last])[:, :, None, None, None].expand(-1, -1, 1, 1, 2)
    y = torch.tensor(target)[:, None, None, None, None].expand(-1, 1, 1, 1, 2)
    return x, y, torch.ones(1, 1, 2)


def test_weights_by_hand() -> None:
    network = build(POINT)
    # mean of last * target = (1 * 2 + 3 * 1) / 2 = 2.5, of last**2 = 5: weight 0.5.
    # Errors 1.5 and -0.5: mean square 1.25.
    network.fit_mix([windows([1, 3], [2, 1])], torch.ones(1, 2))
    assert network.mix.item() == pytest.approx(0.5)
    assert network.residual_scale.item() == pytest.approx(1.25**0.5)


def test_windows_in_batches_count_each_once() -> None:
    network = build(POINT)
    network.fit_mix([windows([1], [2]), windows([3], [1])], torch.ones(1, 2))
    assert network.mix.item() == pytest.approx(0.5)


def test_weights_under_drift_by_hand() -> None:
    network = build(POINT.replace(drift=1.0))
    # mean of last * target = 0.5, of last**2 = 1, of target**2 = 0.25; each product gains the variance of the
    # offset: weight (0.5 + 1) / (1 + 1) = 0.75, error 0.25 + 1 - 0.75 * 1.5 = 0.125.
    network.fit_mix([windows([1, -1], [0.5, -0.5])], torch.ones(1, 2))
    assert network.mix.item() == pytest.approx(0.75)
    assert network.residual_scale.item() == pytest.approx(0.125**0.5)


def test_the_area_and_the_mask_weigh_the_points() -> None:
    x, y, mask = windows([1, 3], [2, 1])
    x, y = x.clone(), y.clone()
    x[..., 1], y[..., 1] = 4.0, 4.0  # here the weight would be 1
    network = build(POINT)
    network.fit_mix([(x, y, mask)], torch.tensor([[1.5, 0.5]]))
    # 3/4 of (2.5, 5) and 1/4 of (16, 16): 5.875 / 7.75
    assert network.mix.item() == pytest.approx(5.875 / 7.75)
    network.fit_mix([(x, y, torch.tensor([[[1.0, 0.0]]]))], torch.tensor([[1.5, 0.5]]))
    assert network.mix.item() == pytest.approx(0.5)


def test_a_target_that_is_not_there_does_not_count_in_the_blend() -> None:
    x, y, _ = windows([1, 3], [2, 1])
    y = y.clone()
    y[0, ..., 0] = 100.0
    mask = torch.ones(2, 1, 1, 1, 2)
    mask[0, ..., 0] = 0
    network = build(POINT)
    network.fit_mix([(x, y, mask)], torch.ones(1, 2))
    assert network.mix.item() == pytest.approx(0.5)
    assert network.residual_scale.item() == pytest.approx(1.25**0.5)


def test_a_linear_world_is_found_exactly_for_each_lead_and_state() -> None:
    network = build(CONFIG.replace(drift=0.0))
    truth = torch.rand(2, 4, 2, generator=torch.Generator().manual_seed(3))
    truth[1, 2] = truth[0, 2]  # three frames before the third lead is the last frame: the weight is split evenly
    batches = []
    for seed in (4, 5):
        x = noise(6, 4, 3, 5, 6, seed=seed)
        batches.append((x, torch.einsum("kls,bklshw->blshw", truth, network._terms(x)), torch.ones(2, 5, 6)))
    network.fit_mix(batches, torch.ones(5, 6))
    torch.testing.assert_close(network.mix.detach(), truth, rtol=0, atol=1e-5)
    torch.testing.assert_close(network.residual_scale, torch.zeros(4, 2), rtol=0, atol=1e-3)


def test_a_state_that_never_departs_gets_no_weight() -> None:
    network = build(POINT)
    network.fit_mix([windows([0, 0], [0, 0])], torch.ones(1, 2))
    assert (network.mix.item(), network.residual_scale.item()) == (0.0, 0.0)


def test_a_fit_to_no_window_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected training windows, got none"):
        build(POINT).fit_mix([], torch.ones(1, 2))


def test_a_blend_that_sums_to_one_does_not_feel_the_drift() -> None:
    network, x = build(CONFIG), noise(2, 4, 3, 5, 6)
    network.mix.data = torch.stack([torch.full((4, 2), 0.75), torch.full((4, 2), 0.25)])
    with torch.no_grad():
        still = network(x)
        torch.testing.assert_close(network.train()(x), still, rtol=0, atol=1e-5)
        network.mix.data[0] = 0.5  # now a shift by o comes out as 0.75 o, and is shifted back by o
        shifted = network(x) - network.eval()(x)
    offsets = shifted[:, :1, :, :1, :1]
    torch.testing.assert_close(shifted, offsets.expand_as(shifted), rtol=0, atol=1e-5)
    assert offsets.unique().numel() == 4  # one for each window and state


def test_weights_under_tilt_by_hand() -> None:
    network = build(POINT.replace(tilt=1.0))
    # Two columns slope from -1 to 1: mean square 1, as an offset of one has; one row has no slope.
    network.fit_mix([windows([1, -1], [0.5, -0.5])], torch.ones(1, 2))
    assert network.mix.item() == pytest.approx(0.75)


def test_weights_under_swing_by_hand() -> None:
    network = build(POINT.replace(swing=2.0))
    x, y, mask = windows([1, -1], [0.5, -0.5])
    # Last frames 1 and target 3 of the cycle, in both windows, weigh four times as much:
    # (0.5 + 4 * 3) / (1 + 4 * 1) = 2.5
    cycle = torch.tensor([7.0, 1.0, 3.0])[None, :, None, None, None].expand(2, 3, 1, 1, 2)
    network.fit_mix([(x, y, mask, cycle)], torch.ones(1, 2))
    assert network.mix.item() == pytest.approx(2.5)


def test_swing_shifts_inputs_and_targets_by_the_cycle_of_their_own_times() -> None:
    network, x = build(CONFIG.replace(drift=0.0, swing=0.5)), noise(4000, 4, 3, 2, 2)
    cycle = noise(1, 8, 2, 2, 2, seed=5).expand(4000, -1, -1, -1, -1)
    seen: list[Tensor] = []
    network.network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0] - x))
    with torch.no_grad():
        y = network.train()(x, cycle)  # mix is zero: what comes out is the shift back
        torch.testing.assert_close(network.eval()(x, cycle), torch.zeros_like(y))
    size = seen[0][:, 0, :2, 0, 0] / cycle[:, 0, :, 0, 0]  # (B, S)
    torch.testing.assert_close(seen[0][:, :, :2], size[:, None, :, None, None] * cycle[:, :4], rtol=0, atol=1e-4)
    torch.testing.assert_close(y, -size[:, None, :, None, None] * cycle[:, 4:], rtol=0, atol=1e-4)
    assert size.std(0).tolist() == pytest.approx([0.5, 0.5], rel=0.05)


def test_tilt_slopes_a_window_along_rows_and_columns() -> None:
    network, x = build(CONFIG.replace(drift=0.0, tilt=0.3)), noise(4000, 4, 3, 3, 5)
    with torch.no_grad():
        shift = -network.train()(x)[:, 0, 0]  # (B, H, W); mix is zero
    torch.testing.assert_close(shift[:, 1, 2], torch.zeros(4000))
    torch.testing.assert_close(shift[:, 1, 3], 0.5 * shift[:, 1, 4])
    torch.testing.assert_close(shift[:, 0, 0], shift[:, 0, 2] + shift[:, 1, 0], rtol=0, atol=1e-6)
    for edge in (shift[:, 0, 2], shift[:, 1, 4]):
        assert edge.std().item() == pytest.approx(0.3, rel=0.05)


def test_drift_has_the_stated_size_and_spares_forcings_and_masked_points() -> None:
    network, x = build(CONFIG), noise(4000, 4, 3, 2, 2)
    x[:, :, 0, 1, 1] = 0.0  # masked
    seen: list[Tensor] = []
    network.network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0] - x))
    with torch.no_grad():
        network.train()(x)
    shift = seen[0]
    assert not shift[:, :, 2].any()
    assert not shift[:, :, 0, 1, 1].any()
    torch.testing.assert_close(shift[:, :, 1], shift[:, :1, 1, :1, :1].expand(-1, 4, 2, 2), rtol=0, atol=1e-5)
    # 4000 draws: the estimate of a standard deviation is off by 1.1 % (one sigma)
    assert shift[:, 0, 1, 0, 0].std().item() == pytest.approx(0.5, rel=0.05)


def test_evaluation_is_without_chance_and_training_follows_the_seed() -> None:
    network, x = build(CONFIG), noise(2, 4, 3, 5, 6)
    unsettle(network)
    with torch.no_grad():
        assert torch.equal(network(x), network(x))
        network.train()
        torch.manual_seed(7)
        first = network(x)
        second = network(x)
        torch.manual_seed(7)
        assert torch.equal(network(x), first)
        assert not torch.equal(first, second)


def test_training_leaves_the_blend_where_that_pays() -> None:
    # A pattern that moves one column a frame: no blend of two frames at the same point knows it.
    pattern = noise(8, 1, 1, 6, 30, seed=2)
    frames = torch.cat([pattern.roll(t, dims=-1)[..., :12] for t in range(6)], dim=1)  # (B, 6, 1, 6, 12)
    x, y, mask = frames[:, :4], frames[:, 4:], torch.ones(1, 6, 12)
    config = GriddedConfig(
        network=NETWORK.replace(frames_out=2, channels_in=1, channels_out=1, hid_S=8, hid_T=32, N_S=1),
        states=1,
        lag=4,
    )
    network = build(config)
    network.fit_mix([(x, y, mask)], torch.ones(6, 12))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    with torch.no_grad():
        start = (network(x) - y).square().mean().item()
    network.train()
    for _ in range(40):
        loss = (network(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        assert (network.eval()(x) - y).square().mean().item() < 0.7 * start


def test_a_saved_state_rebuilds_the_network() -> None:
    network, x = build(CONFIG), noise(2, 4, 3, 5, 6)
    unsettle(network)
    network.residual_scale.fill_(0.7)
    assert {"mix", "spread"} < set(network.state_dict())  # the names in saved models, which stay
    again = build(GriddedConfig.from_dict(json.loads(json.dumps(network.config.to_dict()))), seed=9)
    again.load_state_dict(network.state_dict())
    assert again.config == CONFIG
    with torch.no_grad():
        assert torch.equal(again(x), network(x))


def test_all_that_does_not_fit_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        GriddedConfig(
            network=NETWORK.replace(channels_out=3, frames_out=5), states=4, lag=5, drift=-1.0, swing=float("nan")
        )
    assert refused.value.reasons == (
        "states: expected 1 to channels_in = 3, the states being the first channels, got 4",
        "channels_out: expected one for each of 4 states, got 3",
        "frames_out: expected at most frames_in = 4, got 5",
        "lag: expected 1 to frames_in = 4 or None, got 5",
        "drift: expected 0 or more, got -1.0",
        "swing: expected 0 or more, got nan",
    )


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(
        ConfigError,
        match=r"lags: no setting of that name \(did you mean 'lag'\?\), got 3\n.* the settings are network, states",
    ):
        GriddedConfig.from_dict({**CONFIG.to_dict(), "lags": 3})


def test_an_input_of_another_shape_is_refused() -> None:
    with pytest.raises(ContractError, match=r"expected \(B, 4, 3, H, W\), got \(2, 4, 2, 5, 6\)"):
        build(CONFIG)(noise(2, 4, 2, 5, 6))
