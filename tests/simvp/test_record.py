"""Records as JSON and arrays: what goes where, under which names, and the way back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from simvp.record import Record, below, plain


@dataclass(frozen=True, kw_only=True, eq=False)
class Maps(Record):
    unnamed: ClassVar[str] = "values"
    period: str
    values: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Field(Record):
    name: str
    bounds: tuple[float | None, float | None]
    attrs: Mapping[str, Any]
    normal: Maps
    valid: np.ndarray
    extra: np.ndarray | None = None


@pytest.fixture
def field() -> Field:
    maps = Maps(period="day", values=np.arange(3.0))
    attrs = {"number": np.float32(0.5), "list": np.array([30, 60])}
    return Field(name="t2m", bounds=(0.0, None), attrs=attrs, normal=maps, valid=np.array([True, False]))


def test_arrays_lie_beside_the_json_under_dotted_names(field: Field) -> None:
    assert field.to_header() == {
        "name": "t2m",
        "bounds": [0.0, None],
        "attrs": {"number": 0.5, "list": [30, 60]},
        "normal": {"period": "day"},
    }
    assert sorted(field.arrays()) == ["normal", "valid"]
    assert sorted(field.arrays_under("channel.1")) == ["channel.1.normal", "channel.1.valid"]


@pytest.mark.parametrize("under", ["", "channel.1"])
def test_the_way_back(field: Field, under: str) -> None:
    arrays = field.arrays()
    if under:
        others = {"channel.10.valid": np.zeros(1), "channel.10.normal": np.zeros(1), "valid": np.zeros(1)}
        arrays = below(field.arrays_under(under) | others, under)
    again = Field.from_header(json.loads(json.dumps(field.to_header())), arrays)
    assert again.to_header() == field.to_header()
    assert again.bounds == (0.0, None)
    assert again.extra is None
    np.testing.assert_array_equal(again.valid, field.valid)
    np.testing.assert_array_equal(again.normal.values, field.normal.values)


def test_numpy_values_become_those_of_json() -> None:
    assert json.dumps(plain({1: (np.int64(2), np.bool_(True)), "a": np.eye(2)})) == (
        '{"1": [2, true], "a": [[1.0, 0.0], [0.0, 1.0]]}'
    )
