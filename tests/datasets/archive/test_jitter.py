"""Times that jitter around a step: taken for their slots, recorded, and refused where they are near none."""

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from datasets.archive import Archive
from pipelines.home import Home
from pipelines.ingest import ingest
from simvp.coords import Step
from simvp.errors import ArchiveError

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")
START = np.datetime64("2020-01-01", "ns")
SECOND = np.timedelta64(1, "s")
LATE = np.array([2, 1, -3, 3, 0, -2, 3, -1, 2, 4])  # seconds, of scans every five minutes
SCANS = 300 * np.arange(10) + LATE


def frames(seconds: Any) -> xr.Dataset:
    """Frames at these seconds; the values are the numbers of the slots that they are near."""
    seconds = np.asarray(seconds)
    values = np.rint(seconds / 300)[:, None, None] + np.zeros((2, 2))
    return xr.Dataset(
        {"rain": (("time", "latitude", "longitude"), values.astype("f4"), {"units": "mm"})},
        coords={
            "time": ("time", START + seconds * SECOND, {"standard_name": "time"}),
            "latitude": ("latitude", [51.0, 50.0], {"units": "degrees_north"}),
            "longitude": ("longitude", [5.0, 6.0], {"units": "degrees_east"}),
        },
    )


def assert_slots(archive: Archive, slots: Any = range(10)) -> None:
    ds = archive.dataset()
    np.testing.assert_array_equal(ds["time"], START + 300 * np.arange(max(slots) + 1) * SECOND)
    np.testing.assert_array_equal(np.flatnonzero(ds["present"]), list(slots))
    np.testing.assert_array_equal(ds["rain"][list(slots), 0, 0], list(slots))


@pytest.mark.parametrize("step", [None, Step.parse("5min")])
def test_scans_lie_in_the_slots_of_their_step(
    step: Step | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive = Archive(tmp_path / "a.zarr")
    with caplog.at_level(logging.WARNING):
        commit = archive.append(frames(SCANS), step=step)
    assert (commit.appended, commit.snapped) == (10, 9)
    assert "9 of 10 frames are labelled with whole steps of 5 min, which their times miss by up to 4 s" in caplog.text
    assert "whole steps of 5 min, which the times of the source jitter around" in archive.dataset()["time"].comment
    assert str(archive.step) == "5 min"
    assert_slots(archive)


@pytest.mark.parametrize("parts", [[[0, 1, 2, 3], [4, 5], [6, 7, 8, 9]], [[3, 0, 2], [9], [1, 4, 5, 6, 7, 8]]])
def test_whatever_is_appended_lies_in_the_same_slots(parts: list[list[int]], tmp_path: Path) -> None:
    archive, whole = Archive(tmp_path / "a.zarr"), Archive(tmp_path / "b.zarr")
    for part in parts:
        archive.append(frames(SCANS[part]), step=Step.parse("5min"))
    assert_slots(archive)
    whole.append(frames(SCANS))
    assert_slots(whole)
    again = archive.append(frames(SCANS))
    assert (again.appended, again.unchanged) == (0, 10)


def test_late_scans_of_an_archive_that_began_on_the_minute(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "a.zarr")
    assert archive.append(frames(300 * np.arange(4))).snapped == 0
    assert "comment" not in archive.dataset()["time"].attrs
    assert archive.append(frames(SCANS[4:])).snapped == 5
    assert_slots(archive)


REFUSED: dict[str, tuple[list[int], str | None, str]] = {
    "beyond the tolerance": (
        [0, 300, 640, 900, 1201],
        None,
        r"times are 260 s to 340 s apart, most nearly 5 min: 1 of 5 times miss a step of 5 min by more than 30 s",
    ),
    "beyond it, with the step stated": ([0, 300, 680, 900, 1201], "5min", "1 of 5 times miss a step of 5 min"),
    "two frames": ([2, 301], None, "2 frames do not show whether the step is 299 s or 5 min with times that jitter"),
    "three of an odd step": ([0, 299, 598], None, "3 frames do not show whether the step is 299 s or 5 min"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_times_that_are_near_no_step_are_told_the_nearest(case: str, tmp_path: Path) -> None:
    seconds, step, words = REFUSED[case]
    archive = Archive(tmp_path / "a.zarr")
    with pytest.raises(ArchiveError, match=words) as caught:
        archive.append(frames(seconds), step=None if step is None else Step.parse(step))
    assert ("state the step" in str(caught.value)) == (step is None)
    assert not archive.exists


def test_the_step_that_the_refusal_asks_for_is_enough(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "a.zarr")
    assert archive.append(frames([0, 300, 640, 900, 1201]), step=Step.parse("5min")).snapped == 2
    assert_slots(archive, range(5))


def test_two_frames_with_the_step_stated_and_many_of_an_odd_step(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "a.zarr")
    archive.append(frames(SCANS[:2]), step=Step.parse("5min"))
    assert_slots(archive, range(2))
    odd = Archive(tmp_path / "b.zarr")
    odd.append(frames(299 * np.arange(8)))
    assert str(odd.step) == "299 s"
    few = Archive(tmp_path / "c.zarr")
    few.append(frames([0, 299, 598]), step=Step.parse("299s"))
    assert str(few.step) == "299 s"


def test_two_frames_near_one_slot_and_frames_near_none(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "a.zarr")
    archive.append(frames(SCANS))
    with pytest.raises(ArchiveError, match="2020-01-01T00:49:58 and 2020-01-01T00:50:03 are near one slot of the step"):
        archive.append(frames([2998, 3003]))
    with pytest.raises(ArchiveError, match=r"steps of 5 min counted from .*, give or take 75 s, got 1 between"):
        archive.append(frames([3000, 3380]))
    assert_slots(archive)


def test_days_in_float32(tmp_path: Path) -> None:
    """Hours as single-precision days since 1970 miss theirs by up to 84 s."""
    days = (18_262 + np.arange(24) / 24).astype("f4").astype("f8")
    ds = frames(300 * np.arange(24)).assign_coords(
        time=("time", np.rint(days * 86_400).astype("M8[s]").astype("M8[ns]"))
    )
    archive = Archive(tmp_path / "a.zarr")
    archive.append(ds)
    np.testing.assert_array_equal(archive.dataset()["time"], START + np.arange(24) * np.timedelta64(1, "h"))


def test_the_report_counts_them(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    frames(SCANS).to_netcdf(tmp_path / "a.nc")
    report = ingest(home, "scans", source=tmp_path / "a.nc")
    assert report.snapped == 9
    assert re.search("moved in time +9 onto whole steps of 5 min", str(report))
    frames(SCANS + 3000).to_netcdf(tmp_path / "b.nc")
    report = ingest(home, "scans", source=[tmp_path / "a.nc", tmp_path / "b.nc"])
    assert (report.appended, report.length, report.absent) == (10, 20, 0)
