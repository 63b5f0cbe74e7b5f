"""What a network takes: counted by hand, refused in words, and (slow) held against a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from simvp.errors import Refusal
from simvp.networks import footprint
from simvp.networks.footprint import LARGE, MARGIN, available, peak, refuse_beyond

CPU = torch.device("cpu")


class Chain(nn.Module):
    """Holds x, y and z at first, then x, z and a sum of twice their size."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1000))
        self.trained_on = 0

    def forward(self, x: Tensor) -> Tensor:
        self.trained_on += self.training
        y = self.weight * x
        z = y + 1
        del y
        return torch.cat([z, z])


class Looking(nn.Module):
    """Makes a tenth of x twice and a sum of the same size; a part of x is no new memory."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:100] * 2 + x[:100].reshape(10, 10).T.reshape(100)


@pytest.mark.parametrize(("network", "values"), [(Chain(), 4000), (Looking(), 1000 + 300)])
def test_a_peak_is_what_is_held_at_the_worst_moment(network: nn.Module, values: int) -> None:
    assert peak(network, (1000,), CPU) == int(MARGIN * 4 * values)


def test_the_mode_of_the_network_is_left_as_it_was() -> None:
    network = Chain().train()
    peak(network, (1000,), CPU)
    assert network.training
    assert network.trained_on == 0


def test_a_domain_that_fits_nowhere_is_refused_with_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "available", lambda device: 3 << 29)
    with pytest.raises(Refusal) as refusal:
        refuse_beyond(nn.Identity(), (1, 4, 8, 4096, 4096), (2, 12, 1, 4096, 4096), CPU)
    # The input of 2 GiB times 1.6, and twice the forecasts of 2 x 12 maps of 2 ** 24 values: 3.2 + 3 GiB.
    assert str(refusal.value) == (
        "Forecast of 2 init times and 12 steps on 4096 x 4096 points: memory: 6.2 GiB are needed on cpu, 1.5 are "
        "available\n"
        "To mend it: cut the domain, take fewer init times at a time, train a smaller size, or use a larger machine"
    )


@pytest.mark.parametrize("free", [3 << 30, None])
def test_what_fits_or_cannot_be_known_is_let_through(monkeypatch: pytest.MonkeyPatch, free: int | None) -> None:
    monkeypatch.setattr(footprint, "available", lambda device: free)
    refuse_beyond(nn.Identity(), (1, 1, 1, 1 << 13, 1 << 13), (1, 1, 1, 1 << 13, 1 << 13), CPU)


def test_a_small_window_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "available", lambda device: 0)
    refuse_beyond(nn.Identity(), (1, 1, 1, 8, LARGE // 16), (1, 1, 1, 8, LARGE // 128), CPU)


def test_available_is_part_of_what_the_machine_has() -> None:
    free = available(CPU)
    assert free is not None
    assert 0 < free <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_a_container_has_what_its_limit_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/proc/meminfo": "MemTotal: 8 kB\nMemAvailable: 4096 kB\n",
        "/proc/self/cgroup": "1:cpu:/\n0::/pod/one\n",
        "/sys/fs/cgroup/pod/one/memory.max": "3000000\n",
        "/sys/fs/cgroup/pod/one/memory.stat": "anon 1000000\nfile 1900000\n",
    }
    monkeypatch.setattr(Path, "read_text", lambda path: files[str(path)])
    assert available(CPU) == 2_000_000
    files["/sys/fs/cgroup/pod/one/memory.max"] = "max\n"
    assert available(CPU) == 4096 * 1024


MEASURED = """\
import sys, torch
from pathlib import Path
from simvp.networks.footprint import peak
from simvp.networks.simvp import SimVP, SimVPConfig

def status(name):
    return next(int(l.split()[1]) * 1024 for l in Path("/proc/self/status").read_text().splitlines() if name in l)

variant = sys.argv[1]
inception = {"kernels": (3, 5, 7, 11), "groups": 8} if variant in ("simvp", "incepu") else {}
sizes = {"hid_S": 32, "hid_T": 128, "N_S": 4, "N_T": 4, **inception}
network = SimVP(SimVPConfig(variant=variant, frames_in=6, frames_out=6, channels_in=5, channels_out=1, **sizes)).eval()
expected = peak(network, (1, 6, 5, 701, 700), torch.device("cpu"))
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
with torch.inference_mode():
    network(torch.ones(1, 6, 5, 701, 700))
print(expected / (status("VmHWM") - before))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
@pytest.mark.parametrize("variant", ["simvp", "incepu", "gsta", "tau"])
def test_a_process_takes_no_more_and_not_much_less(variant: str) -> None:
    done = subprocess.run([sys.executable, "-c", MEASURED, variant], capture_output=True, text=True, check=True)
    assert 1.0 < float(done.stdout) < 1.7
