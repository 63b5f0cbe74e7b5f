"""Texts of files and of settings: units that never end, JSON of any depth and kind."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from datasets.readers import open_source
from flows.commands.options import value_of
from pipelines.train import _settings
from pipelines.training import TrainConfig
from simvp.errors import Refusal, SourceError
from simvp.networks import SimVPConfig
from simvp.record import from_json
from simvp.values import is_unit
from tests.support.files.small_files import hourly, maps, write

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("little_memory")]
DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    "text",
    ["9**9**9**9", "m^9^9^9^9", "10^9^9 m", "10^99999999999 m", "(9**9)**(9**9)**9", "m" * 200_000, "m**-" * 5000],
)
def test_units_that_the_parser_would_never_end(text: str, tmp_path: Path) -> None:
    """It works out powers of numbers, whoever wrote them."""
    is_unit(text)
    with pytest.raises(SourceError):
        open_source(write(tmp_path / "a.nc", hourly("t", maps(), {"units": "K"}, s=((), 0.0, {}))), units={"t": text})


@pytest.mark.parametrize(
    "text", ["m**2 s**-2", "1e6 m^3 s^-1", "10^-5 s^-1", "kg m**-2 s**-1", "W m^-2 (um)^-1", "m s-1", "(0 - 1)"]
)
def test_units_as_they_are_written(text: str) -> None:
    assert is_unit(text)


@given(st.text("0123456789.^*-+()/ mskgKe", max_size=40))
@settings(deadline=3000, max_examples=150)
def test_any_text_is_a_unit_or_none(text: str) -> None:
    assert is_unit(text) in (True, False)


def test_json_of_any_depth() -> None:
    with pytest.raises(ValueError, match="deeper than a thousand"):
        from_json(DEEP)
    assert value_of(DEEP) == DEEP
    with pytest.raises(Refusal, match="expected the settings as one JSON object"):
        _settings([DEEP])


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("record", [TrainConfig, SimVPConfig])
@given(data=st.data())
@settings(deadline=3000, max_examples=150)
def test_any_settings_are_read_or_refused(record: Any, data: st.DataObject) -> None:
    names = st.sampled_from(sorted(record.model_fields))
    values = data.draw(st.dictionaries(names, JSON, max_size=4))
    with suppress(Refusal):
        record(**values)


@given(st.text(max_size=60))
@settings(deadline=3000, max_examples=100)
def test_any_words_are_settings_or_refused(text: str) -> None:
    for words in ([text], [text, text], [json.dumps({"dataset": text, text: 1})]):
        try:
            TrainConfig(**_settings(words))
        except Refusal:
            continue
