"""Model files that anybody made: any bytes and any header end as a refusal, soon and in little memory."""

import json
import struct
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from safetensors.numpy import load_file, save_file

from simvp.errors import Refusal, RegistryError
from simvp.inference import Forecaster
from simvp.inference.model_file import HEADER, fingerprint, read_contract, read_header
from tests.support.models import small_forecaster
from tests.support.worlds import formula_world

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("little_memory")]
RANDOM = settings(
    deadline=5000,
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    small_forecaster(formula_world(frames=14 * 24, shape=(3, 4))).save(path)
    return path


class Changed:
    """A file with the same arrays, and with a header that anybody could have written: its fingerprint fits."""

    def __init__(self, whole: Path) -> None:
        self.header, self.arrays = read_header(whole), load_file(whole)
        self.path = whole.with_name("changed.safetensors")

    def write(self, header: Any, arrays: dict[str, np.ndarray] | None = None) -> Path:
        arrays = self.arrays if arrays is None else arrays
        if isinstance(header, dict):
            header["fingerprint"] = fingerprint(header, arrays)
        save_file(arrays, self.path, metadata={"simvp": header if isinstance(header, str) else json.dumps(header)})
        return self.path


def refused(path: Path) -> str:
    with pytest.raises(RegistryError) as caught:
        Forecaster.load(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"N_T": 10**6}, "N_T: "),
        ({"N_T": 100}, "N_T: 100 blocks, but "),
        ({"N_S": 30}, "network.decoder.blocks."),
        ({"hid_T": 2**20, "groups": 8}, "hid_T: "),
        ({"hid_T": 2**14}, "hid_T: 16384, but "),
        ({"hid_T": 2**12}, "network.translator."),
        ({"hid_S": 2**14}, "hid_S: 16384, but "),
        ({"kernels": [3] * 10**6}, "kernels: "),
        ({"kernel_enc": 10**9 + 1}, "kernel_enc: expected 1023 or less, got 1000000001"),
        ({"frames_out": 10**9, "frames_in": 10**9}, "frames_in: expected 10000 or less, got 1000000000"),
        ({"variant": "gsta", "groups": 8, "kernels": [3, 5, 7, 11], "mlp_ratio": 1e300}, "its parts do not fit"),
    ],
)
def test_a_network_whose_weights_are_not_there(sizes: dict[str, Any], said: str, whole: Path) -> None:
    changed = Changed(whole)
    header = deepcopy(changed.header)
    header["network"]["network"].update(sizes)
    assert said in refused(changed.write(header))


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("spec", {"frames_in": 10**12}, "expected T and T' from 1 to 10000"),
        ("spec", {"frames_out": 10**12}, "expected T and T' from 1 to 10000"),
        ("spec", {"frames_in": "8"}, "FrameSpec.frames_in: Input should be a valid integer, got '8'"),
        ("spec", {"channels": []}, "its parts do not fit together"),
        ("spec", {"grid": {}}, "its parts do not fit together: KeyError 'kind'"),
        ("network", {"states": 10**9}, "states: expected 1 to "),
        ("network", {"lag": 10**9}, "lag: expected 1 to "),
    ],
)
def test_parts_that_do_not_fit_together(part: str, change: dict[str, Any], said: str, whole: Path) -> None:
    changed = Changed(whole)
    header = deepcopy(changed.header)
    header[part].update(change)
    if said.endswith("'kind'"):
        said = said.partition(": KeyError")[0]
    assert said in refused(changed.write(header))


def test_a_header_without_parts_or_of_another_kind(whole: Path) -> None:
    changed = Changed(whole)
    assert "expected spec, network, baselines, provenance, fingerprint in its header" in refused(
        changed.write({"format": 1, "spec": []})
    )
    assert "expected an object in its header, got [1, 2]" in refused(changed.write("[1, 2]"))
    assert "expected JSON in its header: lists or objects in each other" in refused(
        changed.write("[" * 100_000 + "]" * 100_000)
    )
    header = deepcopy(changed.header)
    header["network"] = None
    assert "expected a network or a base forecast, got neither" in refused(changed.write(header))


def test_a_header_of_absurd_length(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for length in (HEADER + 1, 1 << 62):
        path.write_bytes(struct.pack("<Q", length) + b"{}" + bytes(HEADER + 10 if length < 1 << 40 else 100))
        assert "header" in refused(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a header."""
    found = [before] if before else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [place for key, one in inner for place in places(one, (*before, key))]


@given(data=st.data())
@RANDOM
def test_any_header_is_a_model_or_a_refusal(data: st.DataObject, whole: Path) -> None:
    """A value anywhere in it becomes another one, or is left out."""
    changed = Changed(whole)
    header = deepcopy(changed.header)
    for _ in range(data.draw(st.integers(1, 2))):
        *way, last = data.draw(st.sampled_from(places(header)))
        inner = header
        for key in way:
            inner = inner[key]
        if data.draw(st.booleans()):
            inner[last] = data.draw(JSON)
        else:
            del inner[last]
    path = changed.write(header)
    for read in (Forecaster.load, read_contract):
        with suppress(Refusal):
            read(path)


@given(data=st.data())
@RANDOM
def test_arrays_of_any_shape_are_a_model_or_a_refusal(data: st.DataObject, whole: Path) -> None:
    changed = Changed(whole)
    arrays = dict(changed.arrays)
    name = data.draw(st.sampled_from(sorted(arrays)))
    shape = data.draw(st.lists(st.integers(0, 4), max_size=5))
    kind = data.draw(st.sampled_from(["f4", "f8", "i8", "u1", "bool"]))
    if data.draw(st.booleans()):
        arrays[name] = np.zeros(shape, kind)
    else:
        del arrays[name]
    with suppress(Refusal):
        Forecaster.load(changed.write(deepcopy(changed.header), arrays))


@given(
    changes=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.integers(0, 60_000),
)
@RANDOM
def test_any_bytes_are_a_model_or_a_refusal(changes: list[tuple[int, int]], cut: int, whole: Path) -> None:
    content = bytearray(whole.read_bytes())
    for at, value in changes:
        content[at % len(content)] = value
    path = whole.with_name("bytes.safetensors")
    path.write_bytes(content[: len(content) - cut % 7 * cut])
    with suppress(Refusal):
        Forecaster.load(path)
