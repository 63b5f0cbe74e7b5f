"""Public checkpoints give the public code's output, and any other file is refused with what was seen in it."""

import argparse
import json
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pytest
import torch

from simvp.errors import ConfigError, SourceError
from simvp.networks.config import SimVPConfig
from simvp.networks.pretrained import MODULES, from_pretrained
from simvp.networks.simvp import SimVP

A4BIO = ("a4bio-inception-t10c1h32w32", "a4bio-inception-t4c2h32w32")
OPENSTL = ("openstl-incepu-t4c2h32w32", "openstl-gsta-t10c1h32w32", "openstl-tau-t4c2h32w32")
State = dict[str, Any]


@pytest.fixture(scope="module")
def state(shared: Path) -> State:
    return torch.load(shared / "golden" / f"{A4BIO[1]}.pth", weights_only=True)


@pytest.mark.parametrize("name", A4BIO + OPENSTL)
def test_the_public_code_s_output_comes_out(shared: Path, name: str) -> None:
    network = from_pretrained(shared / "golden" / f"{name}.pth")
    golden = torch.load(shared / "golden" / f"{name}.io.pt", weights_only=True)
    facts = json.loads((shared / "golden" / f"{name}.json").read_text())
    assert not network.training
    with torch.no_grad():
        torch.testing.assert_close(network(golden["x"]), golden["y"], rtol=0, atol=1e-5)
    assert sum(p.numel() for p in network.parameters()) == facts["parameters"]
    sizes, given = network.config, facts["arguments"]
    assert sizes.variant == given.get("model_type", "simvp").lower()
    assert [sizes.frames_in, sizes.channels_in] == (given.get("shape_in") or given["in_shape"])[:2]
    assert {n: getattr(sizes, n) for n in ("hid_S", "hid_T", "N_S", "N_T", "groups")} == {
        n: given.get(n, 8) for n in ("hid_S", "hid_T", "N_S", "N_T", "groups")
    }


# Networks of this library under the public names: no golden file is needed, and the sizes may be odd.

SMALL = SimVPConfig(frames_in=3, frames_out=3, hid_S=4, hid_T=16, N_S=2, N_T=2, groups=2, kernels=(3, 5))
INCEPU = SMALL.replace(variant="incepu")
ATTENTION = {"groups": 8, "kernels": (3, 5, 7, 11), "hid_T": 20}
GSTA, TAU = SMALL.replace(variant="gsta", **ATTENTION), SMALL.replace(variant="tau", **ATTENTION)
OF_ALL: tuple[State, ...] = (
    {},
    {"channels_in": 3, "channels_out": 3},
    {"channels_in": 3, "channels_out": 1},
    {"frames_in": 1, "frames_out": 1},
    {"frames_in": 7, "frames_out": 7, "hid_S": 2, "groups": 1},
    {"hid_S": 6, "hid_T": 18, "groups": 1},
    {"N_S": 3},
    {"N_S": 5, "N_T": 5},
    {"N_T": 3, "kernel_enc": 5, "kernel_dec": 7},
    {"kernel_enc": 1, "kernel_dec": 5},
    {"hid_T": 12},
    {"group_norm": False, "hid_S": 5, "frames_in": 4, "frames_out": 4, "groups": 4},
)
OF_INCEPTION: tuple[State, ...] = (
    {"kernels": (3,)},
    {"kernels": (3, 5, 7, 11), "groups": 4},
    {"kernels": (1, 9)},
    {"temporal_shortcuts": False, "N_T": 4},
    {"N_T": 1},
)
OF_SIMVP: tuple[State, ...] = (
    {"N_S": 1},
    {"spatial_shortcut": False},
    {"spatial_shortcut": False, "temporal_shortcuts": False, "group_norm": False, "N_S": 3},
)
OF_ATTENTION: tuple[State, ...] = (
    {"N_S": 1},
    {"hid_T": 1},
    {"hid_T": 70, "mlp_ratio": 4.0},
    {"mlp_ratio": 2.7, "hid_T": 13},  # 32 of 12 and 35 of 13
    {"mlp_ratio": 0.5, "hid_T": 13},
    {"frames_in": 9, "frames_out": 9, "mlp_ratio": 1.25, "N_T": 6},
)


def odd_sizes() -> Iterator[SimVPConfig]:
    for small, lists in (
        (SMALL, (OF_ALL, OF_INCEPTION, OF_SIMVP)),
        (INCEPU, (OF_ALL, OF_INCEPTION)),
        (GSTA, (OF_ALL, OF_ATTENTION)),
        (TAU, (OF_ALL, OF_ATTENTION)),
    ):
        for changes in (changes for each in lists for changes in each):
            unread = {"groups"} if small in (GSTA, TAU) else set()
            yield small.replace(**{name: value for name, value in changes.items() if name not in unread})


def randomised(config: SimVPConfig) -> SimVP:
    """Network whose every number differs from a new one's: norms, shares of residuals, running statistics."""
    torch.manual_seed(1)
    network = SimVP(config).eval()
    for name, tensor in network.state_dict().items():
        if "num_batches" in name:
            tensor.fill_(17)
        elif tensor.ndim < 2:
            tensor.uniform_(0.5, 1.5)
    return network


def public_state(network: SimVP) -> State:
    """The network's tensors under the public names."""
    theirs = {ours: public for public, ours in MODULES.items() if not public.endswith(".conv.0")}
    state = OrderedDict()
    for name, tensor in network.state_dict().items():
        module, _, leaf = name.rpartition(".")
        if "scale" in leaf:
            module, leaf = name, ""
        indices = iter(re.findall(r"\d+", re.sub(r"(norm|scale)\d", "", module)))
        public = theirs[re.sub(r"\.\d+", ".#", module)]
        public = re.sub("#", lambda _, each=indices: next(each), public)
        if getattr(network.get_submodule(module.rpartition(".")[0]), "finer", 1) > 1 and module.endswith("conv"):
            public += ".0"
        state[f"{public}.{leaf}".rstrip(".")] = tensor.clone()
    return state


def saved(content: Any, folder: Path, **options: Any) -> Path:
    torch.save(content, folder / "checkpoint.pth", **options)
    return folder / "checkpoint.pth"


def shown(config: SimVPConfig) -> str:
    changes = {n: v for n, v in config.to_dict().items() if v != SMALL.to_dict()[n]}
    return " ".join(f"{name} {value}" for name, value in changes.items()) or "small"


@pytest.mark.parametrize("config", list(odd_sizes()), ids=shown)
def test_a_network_under_public_names_comes_back_with_its_sizes(config: SimVPConfig, tmp_path: Path) -> None:
    network = randomised(config)
    given = config.N_T if either(config) else None
    loaded = from_pretrained(saved(public_state(network), tmp_path), N_T=given)
    assert loaded.config == config
    same(loaded, network)
    x = torch.randn(2, config.frames_in, config.channels_in, 5, 9)
    if config.channels_in == config.channels_out:
        with torch.no_grad():
            torch.testing.assert_close(loaded(x), network(x), rtol=0, atol=0)


def either(config: SimVPConfig) -> bool:
    """Whether the paper's code saves the same tensors for N_T 1."""
    widths = config.hid_T == config.frames_in * config.hid_S
    return config.variant == "simvp" and config.N_T == 2 and config.temporal_shortcuts and widths


# The paper's code saves a first and a last block each way, and goes through the first N_T of them.
TWICE = SMALL.replace(hid_T=12)


def test_of_two_networks_with_the_same_tensors_the_one_that_is_named_is_given(tmp_path: Path) -> None:
    network = randomised(TWICE)
    path = saved(public_state(network), tmp_path)
    with pytest.raises(SourceError) as refusal:
        from_pretrained(path)
    assert str(refusal.value) == (
        f"checkpoint {path} fits two networks: "
        "N_T: its tensors are those of 1 and of 2 alike, which give other forecasts\n"
        "To mend it: say which it was trained with: from_pretrained(path, N_T=2), or --set N_T=2 of `simvp benchmark`"
    )
    same(from_pretrained(path, N_T=2), network)
    one = from_pretrained(path, N_T=1)
    assert one.config == TWICE.replace(N_T=1)
    x = torch.randn(2, 3, 1, 8, 8)
    seen = {}
    network.translator.up[0].register_forward_hook(lambda module, args, y: seen.update(y=y))
    network.translator.down[1].register_forward_hook(lambda module, args, y: args[0])  # left out, as with N_T 1
    one.translator.register_forward_hook(lambda module, args, y: seen.update(one=y))
    with torch.no_grad():
        network(x)
        one(x)
    torch.testing.assert_close(seen["one"], seen["y"], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("config", "wanted", "expected"), [(TWICE, 3, "1 or 2"), (SMALL, 1, "2"), (INCEPU.replace(hid_T=12), 1, "2")]
)
def test_blocks_that_the_tensors_do_not_have_are_refused(
    config: SimVPConfig, wanted: int, expected: str, tmp_path: Path
) -> None:
    path = saved(public_state(randomised(config)), tmp_path)
    with pytest.raises(SourceError, match=rf"N_T: expected {expected} by its tensors, got {wanted}"):
        from_pretrained(path, N_T=wanted)


def test_the_share_of_blocks_left_out_in_training_is_what_the_checkpoint_or_its_reader_says(tmp_path: Path) -> None:
    state = public_state(randomised(GSTA))
    path = saved({"state_dict": state, "hyper_parameters": {"drop_path": 0.1, "lr": 5e-3}}, tmp_path)
    assert from_pretrained(path).config == GSTA.replace(drop_path=0.1)
    assert from_pretrained(path, drop_path=0.2).config.drop_path == 0.2
    assert from_pretrained(saved(state, tmp_path)).config.drop_path == 0.0
    with pytest.raises(ConfigError, match=r"drop_path: expected 0 or more and below 1, got 1\.5"):
        from_pretrained(path, drop_path=1.5)
    state = public_state(randomised(SMALL))
    path = saved({"state_dict": state, "hyper_parameters": {"drop_path": 0.1}}, tmp_path)
    assert from_pretrained(path).config == SMALL  # the paper's network has none
    with pytest.raises(SourceError, match=r"drop_path: variant simvp does not read it: expected 0\.0, got 0\.1"):
        from_pretrained(path, drop_path=0.1)


def same(loaded: SimVP, network: SimVP) -> None:
    expected, found = network.state_dict(), loaded.state_dict()
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)
        assert found[name].stride() == tensor.stride()


def test_a_width_that_the_groups_do_not_divide_comes_back_with_one_group(tmp_path: Path) -> None:
    network = randomised(SMALL.replace(hid_T=18))  # squeezed to 9
    loaded = from_pretrained(saved(public_state(network), tmp_path))
    assert loaded.config == network.config.replace(groups=1)
    x = torch.randn(1, 3, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), network(x), rtol=0, atol=0)


@pytest.mark.parametrize("ratio", [8.0, 2.7, 8 / 3, 1.001, 3.99])
def test_any_ratio_gives_back_both_widths(ratio: float, tmp_path: Path) -> None:
    for frames, inner in ((3, 20), (25, 33)):
        network = randomised(TAU.replace(frames_in=frames, frames_out=frames, hid_T=inner, mlp_ratio=ratio))
        same(from_pretrained(saved(public_state(network), tmp_path)), network)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    network = randomised(TAU).to(dtype)
    loaded = from_pretrained(saved(public_state(network), tmp_path))
    assert {tensor.dtype for tensor in loaded.state_dict().values()} == {torch.float32, torch.int64}
    same(loaded, network.float())


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    path = saved(public_state(randomised(GSTA)), tmp_path)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    from_pretrained(path)
    assert torch.equal(torch.rand(2), expected)


# Forms: what the state dict is wrapped in.


def prefixed(prefix: str, state: State) -> State:
    return OrderedDict((prefix + name, tensor) for name, tensor in state.items())


def lightning(state: State) -> State:
    """What Lightning's trainer stores, with hyperparameters as OpenSTL gives them and a schedule of torch 2.3."""
    return {
        "epoch": 3,
        "global_step": 1200,
        "pytorch-lightning_version": "2.1.0",
        "state_dict": state,
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"current": {"ready": 4}}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val_loss'}": {"best_model_score": torch.tensor(0.1)}},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 1e-3}]}],
        "lr_schedulers": [{"anneal_func": torch.optim.lr_scheduler.OneCycleLR._annealing_cos, "last_epoch": 7}],
        "hparams_name": "kwargs",
        "hyper_parameters": {
            "in_shape": [3, 1, 8, 8],
            "test_mean": np.arange(3.0),
            "test_std": np.float32(2.5),
            "data_name": np.array(["t2m", "u10"]),
            "args": argparse.Namespace(lr=1e-3, res_dir=Path("work_dirs") / "taxibj", epochs=np.int64(50)),
        },
    }


FORMS: dict[str, Callable[[State], Any]] = {
    "bare": lambda state: state,
    "Lightning": lambda state: lightning(prefixed("model.", state)),
    "Lightning with states of metrics": lambda state: lightning(
        {"mse.total": torch.tensor(4), "mse.sum_squared_error": torch.zeros(3)} | prefixed("model.", state)
    ),
    "DistributedDataParallel": lambda state: prefixed("module.", state),
    "Lightning and DataParallel": lambda state: lightning(prefixed("module.model.", state)),
    "Lightning around DataParallel": lambda state: lightning(prefixed("model.module.", state)),
    "compiled": lambda state: lightning(prefixed("model._orig_mod.", state)),
    "earlier OpenSTL": lambda state: {
        "epoch": 9,
        "state_dict": state,
        "optimizer": {"state": {}},
        "scheduler": {"t": 9},
    },
    "earlier OpenSTL, distributed": lambda state: {"epoch": 9, "state_dict": prefixed("module.", state)},
    "model_state_dict": lambda state: {"model_state_dict": state, "loss": 0.5},
    "model": lambda state: {"model": prefixed("module.", state), "args": argparse.Namespace(lr=np.float64(0.1))},
    "model within state_dict": lambda state: {"state_dict": {"model": state}},
}


@pytest.mark.parametrize("older", [False, True], ids=["zip", "older format"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same_network(form: str, older: bool, tmp_path: Path) -> None:
    network = randomised(TAU)
    content = FORMS[form](public_state(network))
    loaded = from_pretrained(saved(content, tmp_path, _use_new_zipfile_serialization=not older))
    assert loaded.config == TAU
    same(loaded, network)
    assert not any(isinstance(allowed, tuple) for allowed in torch.serialization.get_safe_globals())  # no stand-in


def test_numbers_of_an_earlier_numpy_are_left_out_as_well(tmp_path: Path) -> None:
    network = randomised(SMALL)
    path = saved(lightning(public_state(network)), tmp_path, _use_new_zipfile_serialization=False)
    now = path.read_bytes()
    assert now.count(b"numpy._core.multiarray") == 2
    path.write_bytes(now.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    same(from_pretrained(path), network)


# Refusals.


def without(name: str) -> Callable[[State], Any]:
    return lambda state: {n: t for n, t in state.items() if n != name}


def with_one(name: str, value: Any) -> Callable[[State], Any]:
    return lambda state: {**state, name: value}


BROKEN: dict[str, tuple[Callable[[State], Any], str]] = {
    "a size is missing": (
        without("dec.readout.weight"),
        "decoder.readout.weight: expected among the tensors, which are decoder.blocks.0.conv.bias",
    ),
    "a bias is missing": (
        without("hid.dec.1.conv1.bias"),
        r"translator.up.1.squeeze.bias: expected \(16,\), got nothing",
    ),
    "a block too many": (
        with_one("dec.dec.2.conv.norm.bias", torch.zeros(8)),
        r"decoder.blocks.2.norm.bias: expected nothing, got \(8,\)",
    ),
    "another width": (
        with_one("enc.enc.1.conv.norm.weight", torch.zeros(6)),
        r"encoder.blocks.1.norm.weight: expected \(8,\), got \(6,\)",
    ),
    "flat weights": (
        with_one("enc.enc.0.conv.conv.weight", torch.zeros(72)),
        "do not have four dims",
    ),
    "odd sizes": (
        with_one("enc.enc.0.conv.conv.weight", torch.zeros(7, 2, 3, 3)),
        "hid_S: expected a multiple of 2, got 7",
    ),
    "even kernels": (
        with_one("enc.enc.0.conv.conv.weight", torch.zeros(8, 2, 4, 4)),
        "kernel_enc: expected an odd size, got 4",
    ),
    "another network": (
        lambda state: {"layer1.0.weight": torch.zeros(2), "fc.bias": torch.zeros(1)},
        "2 of 2 tensors are not its own: fc.bias, layer1.0.weight",
    ),
    "a counter alone": (lambda state: {"mse.total": torch.tensor(3)}, "1 of 1 tensors are not its own: mse.total"),
    "a head beside it": (
        with_one("head.weight", torch.zeros(2, 2)),
        "1 of 127 tensors are not its own: head.weight",
    ),
    "a second network": (
        lambda state: prefixed("model.", state) | prefixed("ema.", state),
        "126 of 252 tensors are not its own: ema.dec.dec.0.conv.conv.bias",
    ),
    "another module inside": (
        with_one("enc.attention.scale", torch.zeros(())),
        "1 of 127 tensors are not its own: enc.attention.scale",
    ),
    "a name under two wrappers": (
        lambda state: prefixed("model.", state) | {"dec.readout.bias": torch.zeros(2)},
        "1 of 127 tensors are not its own: dec.readout.bias",
    ),
    "both ways of upsampling": (
        with_one("dec.dec.0.conv.conv.0.bias", torch.zeros(8)),
        "decoder.blocks.0.conv.bias: given under two names",
    ),
    "whole numbers": (
        with_one("dec.readout.bias", torch.zeros(2, dtype=torch.int8)),
        "dec.readout.bias: expected dense floating-point values, got torch.int8",
    ),
    "no values": (
        with_one("dec.readout.bias", torch.zeros(2, device="meta")),
        "dec.readout.bias: expected dense floating-point values, got torch.float32, torch.strided, meta",
    ),
    "a list": (lambda state: [1, 2], r"expected named tensors, got list \[1, 2\]"),
    "one tensor": (lambda state: torch.zeros(2), "expected named tensors, got Tensor"),
    "plain values": (with_one("epoch", 4), "1 of 127 entries are no tensors: epoch"),
    "numbered tensors": (lambda state: {0: torch.zeros(2)}, "1 of 1 entries are no tensors: 0"),
    "nothing": (lambda state: {}, "expected named tensors, got dict {}"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_fits_nothing_is_refused(case: str, state: State, tmp_path: Path) -> None:
    spoil, text = BROKEN[case]
    with pytest.raises(SourceError, match=text) as refused:
        from_pretrained(saved(spoil(state), tmp_path))
    assert "holds no SimVP of the published code" in str(refused.value)
    assert "A4Bio/SimVP" in refused.value.remedy
    assert "OpenSTL" in refused.value.remedy


BLOCK = "hid.enc.1.block."
OTHERS: dict[str, tuple[dict[str, tuple[int, ...]], str]] = {
    "ConvMixer": (
        {"conv_dw.weight": (20, 1, 11, 11), "norm_1.running_mean": (20,), "conv_pw.bias": (20,)},
        "have conv_dw, conv_pw, norm_1:",
    ),
    "ViT": ({"norm1.weight": (20,), "attn.qkv.weight": (60, 20), "attn.proj.bias": (20,)}, "have attn.proj, attn.qkv:"),
    "Swin": ({"attn.relative_position_bias_table": (225, 8)}, "have attn.relative_position_bias_table:"),
    "PoolFormer": (
        {"norm1.weight": (20,), "norm2.bias": (20,), "mlp.fc1.bias": (80,), "layer_scale_1": (20,)},
        "lack attn.proj_1, attn.proj_2, attn.spatial_gating_unit.conv0",
    ),
}


@pytest.mark.parametrize("family", OTHERS)
def test_other_translators_are_refused_by_what_their_blocks_have(family: str, tmp_path: Path) -> None:
    blocks, text = OTHERS[family]
    frame = {n: t for n, t in public_state(randomised(GSTA)).items() if ".block." not in n}
    with pytest.raises(SourceError) as refused:
        from_pretrained(saved(frame | {BLOCK + n: torch.zeros(shape) for n, shape in blocks.items()}, tmp_path))
    assert len(refused.value.reasons) == 1
    assert refused.value.reasons[0].startswith(f"its translator blocks {text}")
    assert refused.value.reasons[0].endswith(": they are not one of incepu, gsta, tau")


def test_attention_that_neither_gates_nor_squeezes_is_refused(tmp_path: Path) -> None:
    state = public_state(randomised(TAU))
    with pytest.raises(SourceError, match="as VAN's do: they are not one of incepu, gsta, tau"):
        from_pretrained(saved({name: tensor for name, tensor in state.items() if ".fc." not in name}, tmp_path))


def test_one_block_without_upsampling_does_not_tell_its_activation(tmp_path: Path) -> None:
    for narrow in (SMALL.replace(N_S=1, spatial_shortcut=False), INCEPU.replace(N_S=1)):
        with pytest.raises(SourceError, match="simvp without its spatial shortcut and incepu have the same tensors"):
            from_pretrained(saved(public_state(randomised(narrow)), tmp_path))


def test_a_transposed_convolution_in_openstl_s_frame_is_refused(tmp_path: Path) -> None:
    state = public_state(randomised(INCEPU))
    state["dec.dec.0.conv.conv.0.weight"] = torch.zeros(4, 4, 3, 3)
    with pytest.raises(
        SourceError, match=r"decoder.blocks.0.conv.weight: expected \(16, 4, 3, 3\), got \(4, 4, 3, 3\)"
    ):
        from_pretrained(saved(state, tmp_path))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        from_pretrained(tmp_path / "none.pth")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 and no more"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "damaged.pth").write_bytes(content)
    with pytest.raises(SourceError, match="cannot be read: it is damaged, or holds more than tensors"):
        from_pretrained(tmp_path / "damaged.pth")


class Settings:
    """Hyperparameters of somebody's own class."""


@pytest.mark.parametrize("older", [False, True], ids=["zip", "older format"])
def test_foreign_classes_are_named(state: State, tmp_path: Path, older: bool) -> None:
    content = {"state_dict": state, "hyper_parameters": {"settings": Settings(), "where": PurePath("x")}}
    with pytest.raises(SourceError, match=r"cannot be read: .*\.test_pretrained\.Settings") as refused:
        from_pretrained(saved(content, tmp_path, _use_new_zipfile_serialization=not older))
    assert "torch.save(model.state_dict(), 'weights.pth')" in refused.value.remedy


def test_a_whole_network_is_refused_by_its_classes(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"which are not called here: .*simvp\.networks\.config\.SimVPConfig"):
        from_pretrained(saved(randomised(SMALL), tmp_path))


class Trap:
    """Unpickled, it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    (tmp_path / "pickle.pth").write_bytes(pickle.dumps(Trap(trap), protocol=2))
    torch.save({"enc.enc.0.conv.conv.weight": Trap(trap)}, tmp_path / "zip.pth")
    for name in ("pickle.pth", "zip.pth"):
        with pytest.raises(SourceError, match="cannot be read") as refused:
            from_pretrained(tmp_path / name)
        assert "weights_only" not in str(refused.value)
    assert not trap.exists()


class Reached:
    """Unpickled, it would be what a dotted name reaches."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (getattr, (argparse.Namespace, "reached"))


def test_names_that_are_let_pass_mean_stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Meta(type):
        reads: tuple[str, ...] = ()

        def __getattr__(cls, name: str) -> None:
            Meta.reads += (name,)

    path = saved({"state_dict": public_state(randomised(SMALL)), "trap": Reached()}, tmp_path)
    monkeypatch.setattr(argparse, "Namespace", Meta("Namespace", (), {}))
    from_pretrained(path)
    assert Meta.reads == ()
    torch.load(path, weights_only=False)  # which does call what the file names
    assert Meta.reads == ("reached",)
