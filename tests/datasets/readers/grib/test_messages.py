"""GRIB files that are cut off, damaged or padded: noticed wherever it is, and nothing taken for damage that is none."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.readers.grib.messages import read_fields
from datasets.readers.source import open_source
from simvp.errors import SourceError
from tests.support.files.grib import keep, maps, message, of_sections, sections

MESSAGES = [message(v, hour=n) for n, v in enumerate(maps(3))]
FIRST_EDITION = [message(v, hour=n, edition=1) for n, v in enumerate(maps(3))]
BULLETIN = b"\x01\r\r\n123 \r\r\nHTDN85 EGRR 010000\r\r\n"


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(SourceError) as caught:
        open_source(path, **options)
    return str(caught.value)


@pytest.mark.parametrize("made", [MESSAGES, FIRST_EDITION], ids=["edition 2", "edition 1"])
@pytest.mark.parametrize("left", [3, 8, 20, 60, -1, -4, -30])
def test_a_last_message_that_is_cut_off(made: list[bytes], left: int, tmp_path: Path) -> None:
    path = keep(tmp_path / "a", [*made[:2], made[2][:left]])
    text = refused(path)
    assert "the file is cut off" in text if left != 3 else "3 bytes from byte" in text
    assert str(len(made[0] + made[1])) in text


@pytest.mark.parametrize("made", [MESSAGES, FIRST_EDITION], ids=["edition 2", "edition 1"])
@pytest.mark.parametrize("left", [8, 20, 60, -1, -4, -30])
def test_a_message_in_the_middle_that_is_cut_off(made: list[bytes], left: int, tmp_path: Path) -> None:
    text = refused(keep(tmp_path / "a", [made[0], made[1][:left], *made[1:] * 5]))
    assert "message 2" in text
    # With eight bytes left of edition 2, the next message stands where the length was.
    words = (
        "the header of message 2" if made is MESSAGES and left == 8 else "does not end with 7777 where its header says"
    )
    assert words in text


@pytest.mark.parametrize("place", [0, 1, 3])
@pytest.mark.parametrize(
    "stray",
    [b"garbage", b"\x00" * 5000, b"\x00\x01\x02\x03" * 4, MESSAGES[0][4:]],
    ids=["text", "zeros", "numbers", "headless"],
)
def test_bytes_that_belong_to_no_message(place: int, stray: bytes, tmp_path: Path) -> None:
    path = keep(tmp_path / "a", [*MESSAGES[:place], stray, *MESSAGES[place:]])
    if place == 0 and len(stray) > 200:
        assert "GRIB" in refused(path)  # by its first bytes it is none
        return
    begin = sum(map(len, MESSAGES[:place]))
    assert f"{len(stray)} bytes from byte {begin} on belong to no GRIB message" in refused(path)


@pytest.mark.parametrize("between", [b"", b"\x00" * 7, b"\r\n", BULLETIN, b"\r\r\n\x03" + BULLETIN])
def test_padding_and_headings_of_bulletins_are_no_damage(between: bytes, tmp_path: Path) -> None:
    ds = open_source(keep(tmp_path / "a", [part for made in MESSAGES for part in (between, made)] + [b"\x00" * 100]))
    np.testing.assert_array_equal(ds["t2m"], maps(3).astype("f4"))


def test_an_overwritten_end_and_an_unknown_edition(tmp_path: Path) -> None:
    broken = MESSAGES[1][:-4] + b"7770"
    assert "message 2" in refused(keep(tmp_path / "a", [MESSAGES[0], broken, MESSAGES[2]]))
    third = MESSAGES[1][:7] + b"\x03" + MESSAGES[1][8:]
    assert "expected GRIB edition 1 or 2, got edition 3" in refused(keep(tmp_path / "b", [MESSAGES[0], third]))
    endless = MESSAGES[1][:8] + bytes(8) + MESSAGES[1][16:]
    assert "message 2" in refused(keep(tmp_path / "c", [MESSAGES[0], endless]))


def test_a_section_of_impossible_length(tmp_path: Path) -> None:
    parts = [part for _, part in sections(MESSAGES[0])]
    parts[2] = b"\x00\x00\x00\x03" + parts[2][4:]
    assert "no section of a GRIB message at byte" in refused(keep(tmp_path / "a", [of_sections(parts)]))


def test_a_message_that_lacks_a_section(tmp_path: Path) -> None:
    parts = sections(MESSAGES[0])
    for lacking, words in ((7, "has no field"), (3, "has no field"), (5, "it has 0 values for 12 points")):
        made = of_sections([part for number, part in parts if number != lacking])
        assert words in refused(keep(tmp_path / "a", [made, *MESSAGES[1:]]))


@pytest.mark.parametrize(
    ("indicator", "words"),
    [(254, "it refers to a bitmap before it in its message, and there is none"), (7, "its bitmap is number 7 of the")],
)
def test_bitmaps_that_are_not_there(indicator: int, words: str, tmp_path: Path) -> None:
    parts = [part if n != 6 else part[:5] + bytes([indicator]) for n, part in sections(MESSAGES[0])]
    path = keep(tmp_path / "a", [of_sections(parts), *MESSAGES[1:]])
    assert f"t2m: 1 of 3 fields cannot be read, the first at byte 0: {words}" in refused(path)


def test_a_bitmap_that_was_left_out(tmp_path: Path) -> None:
    """Fewer values than points: cfgrib would begin again with the first of them."""
    values = maps(1)[0]
    values[1, 1] = 9999.0
    made = message(values, bitmapPresent=1, missingValue=9999.0)
    parts = [part if n != 6 else b"\x00\x00\x00\x06\x06\xff" for n, part in sections(made)]
    assert "it has 11 values for 12 points, and no bitmap" in refused(keep(tmp_path / "a", [of_sections(parts)]))


def test_values_that_cannot_be_unpacked(tmp_path: Path) -> None:
    parts = [bytearray(part) for _, part in sections(MESSAGES[1])]
    parts[3][11] = 9  # octet 12 of template 5.4, the precision
    path = keep(tmp_path / "a", [MESSAGES[0], of_sections([bytes(part) for part in parts]), MESSAGES[2]])
    ds = open_source(path)
    with pytest.raises(SourceError, match=f"{path}, message at byte {len(MESSAGES[0])}: its values cannot be read"):
        ds.load()


def test_a_bitmap_of_the_producer_in_edition_1(tmp_path: Path) -> None:
    values = maps(1)[0]
    values[1, 1] = 9999.0
    made = bytearray(message(values, edition=1, bitmapPresent=1, missingValue=9999.0))
    product = int.from_bytes(made[8:11])
    bitmap = 8 + product + int.from_bytes(made[8 + product : 11 + product])
    made[bitmap + 5] = 9
    assert "its bitmap is number 9 of the producer's" in refused(keep(tmp_path / "a", [bytes(made)]))


def test_headers_that_differ_in_their_time_alone_are_asked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import eccodes

    asked: list[int] = []
    plain: Callable[..., int] = eccodes.codes_grib_new_from_file
    monkeypatch.setattr(eccodes, "codes_grib_new_from_file", lambda *a, **k: asked.append(1) or plain(*a, **k))
    for edition in (1, 2):
        made = [message(v, hour=5 * n, edition=edition) for n, v in enumerate(maps(20))]
        made += [message(maps(1)[0], hour=200, edition=edition, shortName="10u")]
        asked.clear()
        fields = read_fields(str(keep(tmp_path / f"{edition}", made)), ["shortName"])
        assert len(asked) == 2
        assert [field["shortName"] for field in fields] == ["2t"] * 20 + ["10u"]
        assert [(field["dataDate"], field["dataTime"]) for field in fields] == [
            (20200101 + 5 * n // 24, 100 * (5 * n % 24)) for n in range(20)
        ] + [(20200109, 800)]


def test_large_messages_of_edition_1(tmp_path: Path) -> None:
    """Longer than 2^23 bytes: the length counts in units of 120."""
    values = np.arange(1700 * 1700, dtype="f8").reshape(1700, 1700) % 4096
    grid = {
        "Ni": 1700,
        "Nj": 1700,
        "iDirectionIncrementInDegrees": 0.01,
        "jDirectionIncrementInDegrees": 0.01,
        "latitudeOfFirstGridPointInDegrees": 50.0,
        "latitudeOfLastGridPointInDegrees": 50.0 - 16.99,
        "longitudeOfFirstGridPointInDegrees": 5.0,
        "longitudeOfLastGridPointInDegrees": 21.99,
    }
    made = [message(values + n, hour=n, edition=1, grid=grid) for n in range(2)]
    assert len(made[0]) > 1 << 23
    ds = open_source(keep(tmp_path / "a", made))
    np.testing.assert_array_equal(ds["t2m"][1, ::100, ::100], (values + 1)[::100, ::100])
    text = refused(keep(tmp_path / "b", [made[0], made[1][:-1000]]))
    assert "the file is cut off" in text


def test_nothing_is_said_of_a_whole_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        open_source(keep(tmp_path / "a", MESSAGES)).load()
    assert not caplog.records
