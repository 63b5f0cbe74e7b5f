"""`make gpu` on a CPU in short form: every step runs, leaves its result before the next, and the curve goes on."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from performance import __main__ as bench
from performance.gpu import __main__ as gpu, curve, loading, speed
from performance.report import Section, load
from pipelines.benchmark import ClipBatches
from simvp.networks import SimVP, SimVPConfig

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_files_of_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIMVP_DATA", raising=False)


def told(folder: Path) -> dict[str, Section]:
    return {name: load(path)[0] for name in gpu.STEPS if (path := folder / f"gpu-{name}.json").is_file()}


def test_the_report_knows_every_step() -> None:
    assert tuple(f"gpu-{name}" for name in gpu.STEPS) == bench.ON_GPU
    assert set(gpu.UNTIL) == set(gpu.STEPS) - {"curve"}


def test_every_step_runs_and_writes_before_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[set[str]] = []
    plain = gpu._done

    def done(name: str, folder: Path, *given: object, **more: object) -> Section:
        written.append(set(told(folder)))
        return plain(name, folder, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(gpu, "_done", done)
    monkeypatch.setattr(gpu, "_pytest", lambda arguments, seconds: "2 passed, 1 skipped, 90 deselected in 3.1s")
    gpu.main(["--short", "--folder", str(tmp_path)])
    assert written == [set(gpu.STEPS[:number]) for number in range(len(gpu.STEPS))]
    sections = told(tmp_path)
    assert sections["tests"].tables[0].rows == (("passed", "2"), ("skipped", "1"))
    step, inference = sections["speed"].tables
    assert [row[:2] for row in step.rows] == [(way, "1") for way in (speed.PLAIN, speed.TUNED, speed.OURS)]
    assert len(inference.rows) == 3
    assert [row[0] for row in sections["loading"].tables[0].rows] == ["made", "made and moved"]
    assert sections["ranks"].text.startswith("Left out: two devices are needed")
    assert [row[1] for row in sections["curve"].tables[0].rows] == ["0", "2", "4"]
    report = (tmp_path / "report.md").read_text()
    assert all(f"## {section.title}" in report for section in sections.values())


def test_a_step_that_fails_says_why_and_one_without_time_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacking(device: torch.device, *, short: bool) -> Section:
        raise ModuleNotFoundError("No module named 'xarray'")

    monkeypatch.setattr(loading, "measure", lacking)
    monkeypatch.setattr(gpu, "_pytest", lambda arguments, seconds: f"not done within {seconds:.0f} s")
    monkeypatch.setattr(gpu, "UNTIL", {"tests": 60, "speed": 0, "loading": 60, "ranks": 60})
    monkeypatch.setattr(gpu, "STEPS", gpu.STEPS[:-1])
    gpu.main(["--short", "--folder", str(tmp_path)])
    sections = told(tmp_path)
    assert list(sections) == ["tests", "loading", "ranks"]
    assert sections["loading"].text == "Did not run: ModuleNotFoundError: No module named 'xarray'"
    assert sections["tests"].tables[0].rows == (("not done within 60 s", ""),)
    assert "Traceback" in capsys.readouterr().err


def run(folder: Path, left: Callable[[], float] = lambda: 1e3) -> curve.Kept:
    curve.measure(folder, CPU, left, short=True)
    return curve.Kept(**json.loads((folder / "curve.json").read_text()))


def test_the_curve_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    plain = ClipBatches.batch

    def recorded(self: ClipBatches, indices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        if self.clips.part == "train":
            seen.extend(indices.tolist())
        return plain(self, indices)

    monkeypatch.setattr(ClipBatches, "batch", recorded)
    first = run(tmp_path)
    assert [point[1] for point in first.points] == [0, 2, 4]
    weights = np.frombuffer((tmp_path / "weights-0.part").read_bytes(), np.int16)
    assert len(weights) == sum(value.numel() for value in SimVP(SimVPConfig(**speed.REDUCED)).state_dict().values())
    second = run(tmp_path)
    assert [point[1] for point in second.points] == [0, 2, 4, 6, 8]
    assert second.points[:3] == first.points
    assert second.minutes > first.minutes
    assert seen == list(range(16))  # two clips an update, none of them twice

    # What it goes on with are the weights that were kept.
    kept, begun = curve._found(tmp_path, curve.Kept(second.clips, second.sizes))
    assert kept.updates == 8
    stored = np.frombuffer((tmp_path / "weights-0.part").read_bytes(), np.int16)
    assert np.array_equal(torch.cat([v.flatten() for v in begun.values()]).view(torch.int16).numpy(), stored)


def test_no_time_is_a_score_and_what_is_lost_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [point[1] for point in run(tmp_path, lambda: 0.0).points] == [0]
    monkeypatch.setattr(curve, "MOST", 1000)
    (tmp_path / "weights-0.part").unlink()
    assert [point[1] for point in run(tmp_path).points] == [0, 2, 4]  # weights too large to be kept
    assert not list(tmp_path.glob("*.part"))
    assert [point[1] for point in run(tmp_path).points] == [0, 2, 4]


def test_without_digits_the_curve_is_left_out(tmp_path: Path) -> None:
    section = curve.measure(tmp_path, CPU, lambda: 1.0)
    assert section.text.startswith("Left out: no MNIST digits are here")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_pytest_itself_is_called(tmp_path: Path) -> None:
    gpu.main(["--short", "--folder", str(tmp_path)])
    assert told(tmp_path)["tests"].tables[0].rows[-1][0] in ("passed", "skipped")
