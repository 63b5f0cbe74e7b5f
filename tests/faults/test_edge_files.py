"""Files of the pipeline's own that are damaged: set aside and said, and the stage goes on without them."""

import logging
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.benchmark.rows import Row
from pipelines.benchmark.run import _finished, keep_rows
from pipelines.home import Home
from pipelines.ingest import ingest, recorded
from pipelines.train import train
from pipelines.training import checkpoint
from pipelines.training.config import TrainConfig
from tests.support.small_home import DATASET, small_home, write_source

STATE = {"run_id": "r", "loop": {"weights": torch.arange(1000.0), "step": 3}}


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


DAMAGES = [cut, lambda data: b"", lambda data: b"\x80\x04" * 99, lambda data: data[:-30], lambda data: data[30:]]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_set_aside(damage: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint.save(tmp_path, STATE)
    path = tmp_path / checkpoint.NAME
    path.write_bytes(damage(path.read_bytes()))
    assert checkpoint.load(tmp_path) is None
    assert f"checkpoint {path} is damaged (" in caplog.text
    assert "set aside as checkpoint.pt.damaged; the training begins anew" in caplog.text
    assert [one.name for one in tmp_path.iterdir()] == ["checkpoint.pt.damaged"]


def test_no_bit_that_flips_in_a_checkpoint_changes_a_weight(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, STATE)
    path = tmp_path / checkpoint.NAME
    data, chance, aside = path.read_bytes(), random.Random(0), 0
    for _ in range(100):
        flipped = bytearray(data)
        flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        state = checkpoint.load(tmp_path)
        aside += state is None
        if state is not None:  # where nothing is stored
            assert torch.equal(state["loop"]["weights"], STATE["loop"]["weights"])  # type: ignore[index]
    assert aside > 50


def test_damaged_rows_of_a_benchmark_are_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "rows.json"
    assert _finished(path) is None
    for content in (b"", b"\xff\xfe", b"[]", b'{"rows": [{"method": 3}]}'):
        path.write_bytes(content)
        assert _finished(path) is None
        assert (tmp_path / "rows.json.damaged").read_bytes() == content
    assert caplog.text.count("set aside as rows.json.damaged; the run begins anew") == 4
    rows: list[Row] = []
    assert _finished(path) is None
    keep_rows(path, rows, "run")
    assert _finished(path) == {"rows": [], "run_id": "run", "version": ""}


def test_damaged_notes_of_what_was_read_cost_a_reading(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    source = str(write_source(tmp_path / "source", 1))
    commit = ingest(home, "x", source=source).commit
    for content in (b"", b"\xff\x00\n\t\n\xfe", b"[]"):
        for path in home.manifests("x").iterdir():
            path.write_bytes(content)
        assert recorded(home, "x") == {}
        report = ingest(home, "x")
        assert (report.commit, report.unchanged, report.files_read) == (commit, 24, 1)
        assert recorded(home, "x")["commit"] == commit


@pytest.mark.slow
def test_a_training_begins_anew_where_its_checkpoint_is_cut(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    home = Home(tmp_path / "home")
    shutil.copytree(small_home()[0].path, home.path)
    config = TrainConfig(dataset=DATASET, frames_in=6, frames_out=3, size="tiny", epochs=2, seed=3, threads=1)

    class Killed(Exception):
        pass

    def kill(what: str, done: int, total: int) -> None:
        if done > total / 2:
            raise Killed

    with pytest.raises(Killed):
        train(home, config, progress=kill)
    (path,) = home.training(DATASET).glob("*/checkpoint.pt")
    path.write_bytes(cut(path.read_bytes()))
    logging.getLogger("pipelines").setLevel(logging.INFO)
    assert train(home, config).existing is False
    assert "is damaged" in caplog.text
