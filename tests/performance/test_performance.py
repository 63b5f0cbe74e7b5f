"""The benchmarks' clocks, their report, and that every section runs."""

import os
import re
import time

import numpy as np
import pytest
import torch

from performance import __main__ as bench, report
from performance.plain import PlainSimVP
from performance.report import Goal, Section, Table, load
from performance.timing import Timing, alternate, in_process, ratios
from pipelines.tracking.provenance import CHECKOUT, git_state
from simvp.networks.config import SimVPConfig
from simvp.networks.simvp import SimVP


def a_section() -> Section:
    return Section(
        title="Name",
        text="How.",
        tables=(Table(title="T", columns=("way", "s"), rows=(("ours", "1"), ("theirs", "2"))),),
        goals=(Goal(wanted="fast", found="2 times", met=True), Goal(wanted="small", found="large", met=False)),
        notes=("Why.",),
        pictures={"a.png": "curve"},
    )


def test_ways_run_in_turn_and_the_warm_up_does_not_count():
    order = []
    made = alternate({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repetitions=3, warm_up=1)
    assert "".join(order) == "abbaabba"
    assert [len(timing.seconds) for timing in made.values()] == [3, 3]


def test_a_ratio_is_taken_round_by_round():
    # A machine that becomes three times slower in the last round: medians of either would give 2 / 0.5.
    ratio = ratios(Timing((2.0, 2.0, 6.0)), Timing((0.5, 1.0, 3.0)))
    assert ratio.seconds == (4.0, 2.0, 2.0)
    assert str(ratio) == "2 (2 .. 4)"


def allocate(mebibytes: int) -> list[int]:
    """For `in_process`: the process it runs in, after a pause and with that much memory touched."""
    held = np.ones(mebibytes << 17)
    time.sleep(0.05)
    return [os.getpid(), int(held.nbytes)]


def test_a_process_of_its_own_tells_time_memory_and_result():
    done = in_process(allocate, 64)
    pid, size = done.value
    assert pid != os.getpid()
    assert size == 64 << 20
    assert done.seconds >= 0.05
    assert done.peak - done.before >= 60 << 20


def fail() -> None:
    """For `in_process`."""
    raise ValueError("no such grid")


def test_a_process_that_fails_says_why():
    with pytest.raises(RuntimeError, match=r"fail\(\) failed:(.|\n)*ValueError: no such grid"):
        in_process(fail)


def test_a_section_is_kept_and_read_back(tmp_path):
    a_section().save(tmp_path / "x" / "a.json", {"date": "today"})
    assert load(tmp_path / "x" / "a.json") == (a_section(), {"date": "today"})


def test_rows_of_all_sections_stand_in_one_table_on_top(tmp_path):
    for name in "ab":
        summary = Table(columns=("what", "found"), rows=((name, "1"), (name, "2")))
        Section(title=name, text="How.", summary=summary).save(tmp_path / f"{name}.json", report.where(git_state()))
        assert load(tmp_path / f"{name}.json")[0].summary == summary
    report.write(tmp_path / "page.md", [tmp_path / "b.json", tmp_path / "a.json"], "# Page\n")
    text = (tmp_path / "page.md").read_text()
    table = "| what | found |\n| --- | ---: |\n| b | 1 |\n| b | 2 |\n| a | 1 |\n| a | 2 |\n"
    assert re.match(re.escape(f"# Page\n\n{table}\n## b\n\n*On ") + r".*\.\*\n\nHow\.\n\n<sub>Measured ", text)


def test_sections_from_before_there_were_such_rows_are_read():
    for file in sorted(bench.KEPT.glob("*.json")):
        section, _ = load(file)
        assert section.tables
        assert section.summary is None


def test_the_report_says_what_was_met_and_where(tmp_path):
    a_section().save(tmp_path / "a.json", report.where(git_state()))
    report.write(tmp_path / "B.md", [tmp_path / "a.json"])
    text = (tmp_path / "B.md").read_text()
    assert re.search(r"## Name\n\n\*On .*cores.*CPU flags.*\.\*\n\nHow\.\n\n\*\*T\*\*\n\n\| way \| s \|\n", text)
    assert "* fast: 2 times (met)\n* small: large (**not met**)" in text
    assert "![curve](docs/a.png)" in text
    assert re.search(r"Measured \d{4}-\d\d-\d\d \d\d:\d\d UTC; [0-9a-f]{12}.*Python .*torch ", text)


def test_an_unknown_section_is_refused(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--only", "step,speed"])
    assert "section speed: expected some of step, loader, ingest, commits, predict" in capsys.readouterr().err


def test_the_plain_network_is_ours():
    torch.manual_seed(0)
    ours = SimVP(SimVPConfig(hid_S=4, hid_T=16, N_S=4, N_T=3, frames_in=4, frames_out=4)).double()
    x = torch.rand(2, 4, 1, 16, 16, dtype=torch.float64)
    plain = PlainSimVP(ours)
    assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in ours.parameters())
    torch.testing.assert_close(plain(x), ours(x), rtol=1e-10, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", bench.SECTIONS)
def test_every_section_runs(name, capsys):
    before = {path: path.read_bytes() for path in CHECKOUT.glob("BENCHMARKS.md")}
    bench.main(["--short", "--only", name])
    assert capsys.readouterr().out.startswith("## ")
    assert {path: path.read_bytes() for path in CHECKOUT.glob("BENCHMARKS.md")} == before
