"""Messages of a GRIB file: where each begins and ends, and what its header says; no value is read.

The sections of a message are walked by their lengths (WMO FM 92, editions 1 and 2), so that a piece that is missing or
damaged is noticed wherever it lies, and fields are counted by another way than the one by which they are opened. What
a header means is asked of ecCodes, once for all messages that differ in their reference time alone: to ask it takes
milliseconds, as `paramId` is searched for among thousands of definitions each time.
"""

import mmap
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from simvp.errors import SourceError

Place = int | tuple[int, int]
"""Byte at which a message begins; with the number of the field, where it is not the first of its message."""

# Data representation templates (code table 5.0), of which 40000 and 40010 are those of before they had a number.
SIMPLE, COMPLEX, JPEG, PNG = 0, (2, 3), (40, 40000), (41, 40010)

# Keys that cfgrib asks of every field, "name:type" as it spells them, and those that `grib` needs beside them.
READ = (
    *("edition", "centre", "centreDescription", "subCentre", "paramId", "dataType", "numberOfPoints", "typeOfLevel"),
    *("stepUnits:int", "stepType", "gridType", "uvRelativeToGrid", "endStep:int", "number", "level:float"),
    *("directionNumber", "frequencyNumber", "md5GridSection", "startStep:int", "stepRange", "scanningMode", "Nx", "Ny"),
    *("indicatorOfUnitOfTimeRange:int", "indicatorOfUnitForTimeRange:int", "typeOfFirstFixedSurface", "bottomLevel"),
    *("indicatorOfTypeOfLevel", "derivedForecast", "percentileValue", "quantileValue", "probabilityType"),
    *("scaledValueOfLowerLimit", "scaledValueOfUpperLimit", "constituentType", "aerosolType"),
    *("discipline", "parameterCategory", "parameterNumber", "table2Version", "indicatorOfParameter"),
)
DATED = ("dataDate", "dataTime", "second")

# Keys by which messages can be chosen, those first that they are likely to differ in.
KEYS = (
    *("stepType", "stepRange", "typeOfLevel", "dataType", "shortName", "paramId", "gridType", "edition"),
    *("topLevel", "bottomLevel", "typeOfFirstFixedSurface", "scaledValueOfFirstFixedSurface"),
    *("typeOfSecondFixedSurface", "scaledValueOfSecondFixedSurface", "typeOfStatisticalProcessing"),
    *("percentileValue", "quantileValue", "probabilityType", "scaledValueOfLowerLimit", "scaledValueOfUpperLimit"),
    *("perturbationNumber", "derivedForecast", "typeOfEnsembleForecast", "numberOfForecastsInEnsemble"),
    *(
        "centre",
        "subCentre",
        "stream",
        "class",
        "type",
        "expver",
        "experimentVersionNumber",
        "generatingProcessIdentifier",
    ),
    *("typeOfGeneratingProcess", "backgroundProcess", "typeOfProcessedData", "productionStatusOfProcessedData"),
    *("constituentType", "aerosolType", "channel", "satelliteNumber", "discipline", "parameterCategory"),
    *(
        "parameterNumber",
        "table2Version",
        "indicatorOfParameter",
        "indicatorOfTypeOfLevel",
        "tablesVersion",
        "localTablesVersion",
    ),
    *(
        "productDefinitionTemplateNumber",
        "startStep",
        "endStep",
        "lengthOfTimeRange",
        "uvRelativeToGrid",
        "numberOfPoints",
        *DATED,
    ),
)

SHORTEST = 32  # bytes of a message, at least
PADDING = 4096  # bytes of zeros and blanks that may follow a message
BULLETIN = re.compile(rb"[A-Z]{4}\d\d [A-Z]{4} \d{6}")  # heading of the Global Telecommunication System

# Of keys that ecCodes lists, those that are of the values, of the packing and of the length.
OF_VALUES = re.compile(
    r"values|codedValues|average|maximum|minimum|max|min|standardDeviation|skewness|kurtosis|isConstant|const|"
    r"numberOf(Missing|Values|CodedValues|Data)\w*|referenceValue\w*|binaryScaleFactor|decimalScaleFactor|bitsPerValue|"
    r"\w*[Ll]ength|offset\w*|md5\w*|section\d\w*|\w*[Bb]it[Mm]ap\w*|packing\w*|packed\w*|unpacked\w*|get\w*|lat\w*Lon\w*"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One field of a message: cfgrib asks it for keys as if it were the message.

    Parameters
    ----------
    at
        Where it is.
    header, date
        Sections that say what it is, as they are stored, without and with its reference time.
    shared, dated
        Keys that every message of this header has, and those of its own time.
    fault
        Why its values cannot be read, or nothing.
    """

    at: Place
    header: bytes
    date: bytes
    shared: Mapping[str, Any]
    dated: Mapping[str, Any]
    fault: str

    def __getitem__(self, key: str) -> Any:
        return self.dated[key] if key in self.dated else self.shared[key]

    def get(self, key: str) -> Any:
        """A key, or None where the message has no such key."""
        return self.dated.get(key, self.shared.get(key))


def read_fields(path: str, keys: Sequence[str] = ()) -> list[Field]:
    """Every field of every message of a file, in their order.

    Parameters
    ----------
    keys
        Further ones to read, such as "stream".

    Raises
    ------
    SourceError
        A message that is cut off or damaged, bytes between messages that are none, an edition other than 1 and 2.
    """
    asked_for = [*READ, *(key for key in keys if key not in DATED)]
    known: dict[bytes, tuple[bytes, Mapping[str, Any]]] = {}
    dates: dict[bytes, Mapping[str, Any]] = {}
    fields = []
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for start, end in _messages(path, data):
            for number, (header, date, fault) in enumerate(_headers(path, data, start, end)):
                at = (start, number) if number else start
                if date not in dates:  # climatologies have months or days that are none; ecCodes makes dates of them
                    dates[date] = _dated(date) or _asked(file, at, DATED)
                if header not in known:
                    known[header] = header, _asked(file, at, asked_for)
                header, shared = known[header]
                fields.append(Field(at=at, header=header, date=date, shared=shared, dated=dates[date], fault=fault))
    return fields


def read_keys(path: str, field: Field, keys: Sequence[str]) -> dict[str, Any]:
    """Further keys of one field; those that it does not have are left out."""
    with open(path, "rb") as file:
        return _asked(file, field.at, keys)


def differences(path: str, one: Field, other: Field, keys: Sequence[str]) -> dict[str, tuple[Any, Any]]:
    """Keys in which two fields differ, with both values: of `keys`, in their order, else of all that ecCodes knows."""
    if (one.header, one.date) == (other.header, other.date):
        return {}
    with open(path, "rb") as file:
        mine, theirs = _asked(file, one.at, keys), _asked(file, other.at, keys)
        if mine == theirs:
            mine, theirs = _all(file, one.at), _all(file, other.at)
    differing = {key: (mine.get(key), theirs.get(key)) for key in dict.fromkeys([*mine, *theirs])}
    return {key: values for key, values in differing.items() if values[0] != values[1]}


def _messages(path: str, data: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Begin and end of each message."""
    at, count = 0, 0
    while (start := data.find(b"GRIB", at)) >= 0:
        count += 1
        _check_gap(path, data[at:start], at)
        at = start + max(SHORTEST, _length(path, data, start))
        where = f"message {count} (byte {start})"
        if at > len(data):
            there = f"promises {at - start} bytes, got {len(data) - start}"
            raise SourceError(path, [f"the file is cut off, or damaged in the middle: the header of {where} {there}"])
        if data[at - 4 : at] != b"7777":
            reason = f"the file is damaged: {where} does not end with 7777 where its header says, at byte {at}"
            raise SourceError(path, [f"{reason}; a part of it is cut off, or was overwritten"])
        yield start, at
    _check_gap(path, data[at:], at)


def _check_gap(path: str, gap: bytes, at: int) -> None:
    """Refuse bytes that belong to no message, but for padding and the heading of a bulletin."""
    if len(gap) <= PADDING and (not gap.strip(b"\x00 \r\n\x01\x03") or (len(gap) < 128 and BULLETIN.search(gap))):
        return
    reason = f"the file is damaged: {len(gap)} bytes from byte {at} on belong to no GRIB message"
    raise SourceError(path, [f"{reason}; fetch it again, or keep its whole messages with grib_copy"])


def _length(path: str, data: mmap.mmap, start: int) -> int:
    """Length of a message, bytes."""
    if start + SHORTEST > len(data):
        return SHORTEST
    edition = data[start + 7]
    if edition == 2:
        return int.from_bytes(data[start + 8 : start + 16])
    if edition != 1:
        raise SourceError(path, [f"expected GRIB edition 1 or 2, got edition {edition} at byte {start}"])
    length = int.from_bytes(data[start + 4 : start + 7])
    if not length & 0x800000:
        return length
    # Longer than three bytes can say: ECMWF counts in units of 120 bytes, less what section 4 says of itself.
    *_, values = _sections_1(data, start)
    rest = int.from_bytes(data[values : values + 3])
    return (length & 0x7FFFFF) * 120 - rest + 4 if rest < 120 else length


def _sections_1(data: mmap.mmap, start: int) -> tuple[int, int, int, int]:
    """Where sections 1 to 4 of a message of edition 1 begin; one that is absent begins where the next one does."""
    product = start + 8
    flags, ends = data[product + 7], [product, product + int.from_bytes(data[product : product + 3])]
    for flag in (0x80, 0x40):
        ends.append(ends[-1] + (int.from_bytes(data[ends[-1] : ends[-1] + 3]) if flags & flag else 0))
    return ends[0], ends[1], ends[2], ends[3]


def _headers(path: str, data: mmap.mmap, start: int, end: int) -> Iterator[tuple[bytes, bytes, str]]:
    """Of each field of a message: its header without the reference time, this time, and what is wrong with it."""
    if data[start + 7] == 1:
        product, grid, bitmap, values = _sections_1(data, start)
        whole = data[product:grid]
        table = int.from_bytes(data[bitmap + 4 : bitmap + 6]) if values > bitmap else 0
        fault = f"its bitmap is number {table} of the producer's, which is not in the file" if table else ""
        yield b"1" + whole[:12] + whole[17:24] + whole[25:] + data[grid:bitmap], whole[24:25] + whole[12:17], fault
        return
    sections: dict[int, bytes] = {}
    discipline, at, has_bitmap, packing, indicator = data[start + 6 : start + 7], start + 16, False, b"", 255
    count = 0
    while at < end - 4:
        length, number = int.from_bytes(data[at : at + 4]), data[at + 4]
        if length < 5 or at + length > end - 4 or number not in range(1, 8):
            raise SourceError(path, [f"the file is damaged: no section of a GRIB message at byte {at}"])
        if number < 5:
            sections[number] = data[at : at + length]
            for later in range(number + 1, 5):
                sections.pop(later, None)
        elif number == 5:
            packing = data[at : at + min(length, 64)]
        elif number == 6:
            indicator = data[at + 5]
        elif {1, 3, 4} <= set(sections):
            has_bitmap = has_bitmap or indicator == 0
            points, packed = int.from_bytes(sections[3][6:10]), int.from_bytes(packing[5:9])
            fault = _bitmap_fault(indicator, has_bitmap=has_bitmap, packed=packed, points=points)
            fault = fault or _packing_fault(packing, packed, data[at + 5 : at + min(length, 64)], length - 5)
            first = sections[1]
            header = [b"2", discipline, first[:12], first[19:], *(sections[n] for n in (2, 3, 4) if n in sections)]
            yield b"".join(header), first[12:19], fault
            count += 1
        at += length
    if not count:
        raise SourceError(path, [f"the file is damaged: the message at byte {start} has no field"])


def _bitmap_fault(indicator: int, *, has_bitmap: bool, packed: int, points: int) -> str:
    """Why it is not known which points the values are of (code table 6.0)."""
    if indicator == 254 and not has_bitmap:
        return "it refers to a bitmap before it in its message, and there is none"
    if 0 < indicator < 254:
        return f"its bitmap is number {indicator} of the producer's, which is not in the file"
    return f"it has {packed} values for {points} points, and no bitmap" if indicator == 255 and packed != points else ""


def _packing_fault(section: bytes, packed: int, values: bytes, length: int) -> str:
    """Why what is packed is not as much as the message says, which ecCodes finds out when it has taken the memory.

    Parameters
    ----------
    section, values
        The beginnings of sections 5 and 7 (without its number and length).
    length
        Of the values, bytes.
    """
    template = int.from_bytes(section[9:11])
    if template == SIMPLE and packed * section[19] > 8 * length:
        return f"it has {length} bytes for {packed} values of {section[19]} bits"
    if template in COMPLEX and (groups := int.from_bytes(section[31:35])) > packed:
        return f"it has {groups} groups of {packed} values"
    size = None
    if template in JPEG and values.startswith(b"\xff\x4f\xff\x51"):
        right, lower, left, upper = (int.from_bytes(values[k : k + 4]) for k in (8, 12, 16, 20))
        size = (right - left) * (lower - upper)
    elif template in PNG and values.startswith(b"\x89PNG"):
        size = int.from_bytes(values[16:20]) * int.from_bytes(values[20:24])
    return "" if size in (None, packed) else f"its picture has {size} points for {packed} values"


def _dated(date: bytes) -> dict[str, int]:
    """Keys of a reference time; none where it is no date, as in climatologies."""
    if len(date) < 6:
        return {}
    if len(date) == 7:
        year, month, day, hour, minute, second = int.from_bytes(date[:2]), *date[2:]
    else:
        year, month, day, hour, minute, second = (date[0] - 1) * 100 + date[1], *date[2:], 0
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60):
        return {}
    return {"dataDate": 10000 * year + 100 * month + day, "dataTime": 100 * hour + minute, "second": second}


def _asked(file: IO[bytes], at: Place, keys: Sequence[str]) -> dict[str, Any]:
    """Those of the keys that a field has."""
    import eccodes

    handle = _handle(file, at)
    try:
        found = {}
        for key in keys:
            name, _, kind = key.partition(":")
            try:
                found[key] = eccodes.codes_get(handle, name, {"int": int, "float": float}.get(kind))
            except eccodes.CodesInternalError:
                continue
        return found
    finally:
        eccodes.codes_release(handle)


def _all(file: IO[bytes], at: Place) -> dict[str, Any]:
    """All keys of a field that are not of its values."""
    import eccodes

    handle = _handle(file, at)
    iterator = eccodes.codes_keys_iterator_new(handle)
    names = []
    while eccodes.codes_keys_iterator_next(iterator):
        names.append(eccodes.codes_keys_iterator_get_name(iterator))
    eccodes.codes_keys_iterator_delete(iterator)
    eccodes.codes_release(handle)
    return _asked(file, at, [name for name in names if not OF_VALUES.fullmatch(name)])


def _handle(file: IO[bytes], at: Place) -> int:
    """What ecCodes reads a field through, but for its values; to be released."""
    import eccodes
    from cfgrib.messages import multi_enabled

    if isinstance(at, int):
        file.seek(at)
        return int(eccodes.codes_grib_new_from_file(file, headers_only=True))
    file.seek(at[0])
    with multi_enabled(file):
        for _ in range(at[1]):
            eccodes.codes_release(eccodes.codes_grib_new_from_file(file))
        return int(eccodes.codes_grib_new_from_file(file))
