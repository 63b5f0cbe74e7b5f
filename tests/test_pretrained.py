"""Public checkpoints give the public code's output, and any other file is refused with what was seen in it."""

import json
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from simvp.errors import SourceError
from simvp.pretrained import from_pretrained

GOLDEN = ("a4bio-inception-t10c1h32w32", "a4bio-inception-t4c2h32w32")


@pytest.fixture(scope="module")
def state(shared: Path) -> dict[str, torch.Tensor]:
    return torch.load(shared / "golden" / f"{GOLDEN[1]}.pth", weights_only=True)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_public_code_s_output_comes_out(shared: Path, name: str) -> None:
    network = from_pretrained(shared / "golden" / f"{name}.pth")
    golden = torch.load(shared / "golden" / f"{name}.io.pt", weights_only=True)
    facts = json.loads((shared / "golden" / f"{name}.json").read_text())
    assert not network.training
    with torch.no_grad():
        torch.testing.assert_close(network(golden["x"]), golden["y"], rtol=0, atol=1e-5)
    assert sum(p.numel() for p in network.parameters()) == facts["parameters"]
    sizes, given = network.config, facts["arguments"]
    assert [sizes.frames_in, sizes.channels_in] == given["shape_in"][:2]
    assert {n: getattr(sizes, n) for n in ("hid_S", "hid_T", "N_S", "N_T", "groups")} == {
        n: given[n] for n in ("hid_S", "hid_T", "N_S", "N_T", "groups")
    }


@pytest.mark.parametrize("wrap", ["model.", "module."])
def test_wrapped_checkpoints_hold_the_same_network(
    shared: Path, state: dict[str, torch.Tensor], tmp_path: Path, wrap: str
) -> None:
    content: dict[str, Any] = {wrap + name: tensor for name, tensor in state.items()}
    if wrap == "model.":
        content = {"state_dict": OrderedDict(content), "epoch": 3, "hyper_parameters": {"lr": 0.01}}
    torch.save(content, tmp_path / "wrapped.ckpt")
    plain, wrapped = from_pretrained(shared / "golden" / f"{GOLDEN[1]}.pth"), from_pretrained(tmp_path / "wrapped.ckpt")
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(wrapped.state_dict()[name], tensor, rtol=0, atol=0)


def without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda state: {n: t for n, t in state.items() if n != name}


def with_one(name: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda state: {**state, name: value}


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
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
    "another network": (
        lambda state: {"layer1.0.weight": torch.zeros(2), "fc.bias": torch.zeros(1)},
        "2 of 2 tensors are not its own: fc.bias, layer1.0.weight",
    ),
    "a list": (lambda state: [1, 2], r"expected named tensors, got list \[1, 2\]"),
    "one tensor": (lambda state: torch.zeros(2), "expected named tensors, got Tensor"),
    "plain values": (with_one("epoch", 4), "1 of 127 entries are no tensors: epoch"),
    "nothing": (lambda state: {}, "expected named tensors, got dict {}"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_fits_nothing_is_refused(case: str, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    spoil, text = BROKEN[case]
    torch.save(spoil(state), tmp_path / "broken.pth")
    with pytest.raises(SourceError, match=text) as refused:
        from_pretrained(tmp_path / "broken.pth")
    assert "holds no SimVP of the published code" in str(refused.value)
    assert "A4Bio/SimVP" in refused.value.remedy


@pytest.mark.parametrize("name", ["openstl-gsta-t10c1h32w32", "openstl-tau-t4c2h32w32", "openstl-incepu-t4c2h32w32"])
def test_other_translators_are_refused_by_the_names_of_their_tensors(shared: Path, name: str) -> None:
    with pytest.raises(SourceError, match=r"tensors are not its own: .*dec\.dec\.0\.conv\.conv\.0\.bias"):
        from_pretrained(shared / "golden" / f"{name}.pth")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        from_pretrained(tmp_path / "none.pth")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 and no more"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "damaged.pth").write_bytes(content)
    with pytest.raises(SourceError, match="cannot be read: it is damaged, or holds more than tensors"):
        from_pretrained(tmp_path / "damaged.pth")


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
