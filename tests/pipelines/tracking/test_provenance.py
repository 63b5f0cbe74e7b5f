"""The digest of the code that decides: every module of it counts, and neither its place nor its comments."""

import shutil
from pathlib import Path

import pytest

from pipelines.tracking import provenance
from pipelines.tracking.provenance import CHECKOUT, code_digest, modules_behind
from pipelines.training.run import BESIDE

# What must never fall out of the key, whatever the imports look like: the precision and the validation once did.
DECIDING = (
    *(
        "simvp.scoring.baselines",
        "simvp.contract.climatology",
        "simvp.contract.frame_spec",
        "simvp.networks.fourier",
        "simvp.networks.simvp",
        "simvp.networks.gridded",
    ),
    *(
        "pipelines.windows.prefetch",
        "pipelines.windows.batches",
        "pipelines.training.device",
        "pipelines.training.loop",
        "pipelines.training.network",
    ),
    *(
        "pipelines.windows.periods",
        "pipelines.training.plan",
        "pipelines.training.config",
        "pipelines.training.run",
        "pipelines.training.gridded",
        "pipelines.training.validation",
    ),
    *(
        "pipelines.windows.windows",
        "pipelines.windows.frames",
        "pipelines.windows.sequences",
        "datasets.archive.archive",
        "datasets.store.encoding",
    ),
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the packages that can be changed."""
    for room in ("simvp", "datasets", "pipelines"):
        shutil.copytree(CHECKOUT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def digest(root: Path) -> str:
    code_digest.cache_clear()
    return code_digest("pipelines.train", beside=BESIDE, root=root)


def behind(root: Path = CHECKOUT) -> dict[str, Path]:
    return modules_behind("pipelines.train", beside=BESIDE, root=root)


def replace_everywhere(root: Path, old: str, new: str) -> None:
    for path in root.rglob("*.py"):
        path.write_text(path.read_text().replace(old, new))


def test_every_module_that_decides_is_behind_a_training() -> None:
    assert not set(DECIDING) - set(behind())
    assert not {"pipelines.tracking.runs", "pipelines.pictures.fields", "datasets.catalog"} & set(behind())
    clips = modules_behind("pipelines.benchmark.run", beside=BESIDE)
    expected = {
        "datasets.video.clips",
        "datasets.video.kth",
        "pipelines.benchmark.clip_batches",
        "pipelines.training.loop",
        "simvp.scoring.metrics",
    }
    assert not expected - set(clips)


@pytest.mark.parametrize("every", [72, pytest.param(1, marks=pytest.mark.slow)])
def test_a_changed_line_in_any_deciding_module_is_other_code(copy: Path, every: int) -> None:
    found = [digest(copy)]
    for path in sorted(behind(copy).values())[::every]:
        text = path.read_text()
        path.write_text(text + "\nCHANGED = 1\n")
        found.append(digest(copy))
        path.write_text(text)
    assert len(set(found)) == len(found) > 80 // every
    assert digest(copy) == found[0] == digest(CHECKOUT)


def test_comments_docstrings_imports_and_spaces_are_no_code(copy: Path) -> None:
    before = digest(copy)
    path = copy / "pipelines" / "windows" / "periods.py"
    rest = path.read_text().split('"""', 2)[2]
    path.write_text(f'"""Something else."""\n# A remark.\nimport os\n{rest}\n\n')
    assert digest(copy) == before


def test_a_module_that_moves_with_its_imports_is_the_same_code(copy: Path) -> None:
    before = digest(copy)
    room = copy / "simvp" / "coords"
    (room / "steps.py").rename(room / "times.py")
    replace_everywhere(copy, "from simvp.coords.steps import", "from simvp.coords.times import")
    stub = room / "__init__.pyi"
    stub.write_text(stub.read_text().replace("from .steps import", "from .times import"))
    assert "simvp.coords.times" in behind(copy)
    assert digest(copy) == before


def test_a_name_that_a_package_hands_on_leads_to_its_module(copy: Path) -> None:
    before = digest(copy)
    room = copy / "simvp" / "words"
    room.mkdir(exist_ok=True)
    (copy / "simvp" / "errors.py").rename(room / "texts.py")
    (room / "__init__.pyi").write_text("from .texts import ConfigError as ConfigError, Refusal as Refusal\n")
    replace_everywhere(copy, "from simvp.errors import", "from simvp.words import")
    assert "simvp.words.texts" in behind(copy)
    assert digest(copy) == before


def test_a_module_that_is_not_there_is_refused(copy: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"pipelines.nothing: expected a file .*nothing.py"):
        code_digest("pipelines.nothing", root=copy)


def test_git_state(tmp_path: Path) -> None:
    assert provenance.git_state(tmp_path) == {"commit": "unknown", "dirty": False}


def test_requirements_are_pinned() -> None:
    assert any(line.startswith("torch==") for line in provenance.requirements())
    assert not any("checkout" in line for line in provenance.requirements())


def test_an_image_says_which_commit_it_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIMVP_COMMIT", raising=False)
    assert provenance.git_state(tmp_path) == {"commit": "unknown", "dirty": False}
    monkeypatch.setenv("SIMVP_COMMIT", "0a1b2c")
    assert provenance.git_state(tmp_path) == {"commit": "0a1b2c", "dirty": False}
    assert provenance.git_state()["commit"] != "0a1b2c"  # a checkout knows better
