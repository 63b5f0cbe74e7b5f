"""The documentation site: what its pages promise of the code, links that lead somewhere, and that it is built."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from datasets.archive.block_writer import FORMAT as ARCHIVE
from docs.extensions import commands, refusals
from docs.extensions.api import rooms
from docs.extensions.settings import default, kind, meanings, record
from pipelines.training.checkpoint import FORMAT as CHECKPOINT
from simvp.inference.model_file import FORMATS
from tests.conftest import CHECKOUT

DOCS = CHECKOUT / "docs"
REFUSALS = DOCS / "how-to" / "refusals.md"
MADE = ("_build", "gallery", "api")
PAGES = [
    CHECKOUT / "README.md",
    *sorted(path for path in DOCS.rglob("*.md") if not set(MADE) & set(path.relative_to(DOCS).parts)),
]


def prose(page: Path) -> str:
    """A page without its blocks of code, and without the front matter of a notebook."""
    return re.sub(r"^(`{3,}|~{3,}).*?^\1$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as plain git hosts and the site make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(CHECKOUT).as_posix())
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        place, _, anchor = link.partition("#")
        if "://" in place or place.startswith("mailto:"):
            continue
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_module_that_refuses_has_an_entry_and_every_entry_a_module() -> None:
    owners = refusals.owners(REFUSALS.read_text())  # raises where a module is covered by no line
    blocks = re.findall(r"^```{refusals}\n(.*?)^```", REFUSALS.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.split()]
    assert len(lines) == len(set(lines))
    assert [line for line in lines if line not in owners.values()] == []


def test_a_module_of_a_new_kind_has_no_entry_until_it_gets_one() -> None:
    page = REFUSALS.read_text().replace("datasets/credentials.py\n", "")
    with pytest.raises(KeyError, match=r"datasets/credentials\.py"):
        refusals.owners(page)


def test_every_class_of_refusals_is_in_the_table() -> None:
    page = REFUSALS.read_text()
    assert {kind for kind in refusals.kinds() if f"`{kind}`" not in page} == set()


def test_texts_are_found_in_all_forms(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text('''
def check(name, size):
    """Never a text: expected a docstring, got one."""
    reasons = [f"{name}: expected one, got {size}"]
    reasons.append("second reason")
    if size:
        reasons += ["third reason" if name else "fourth reason"]
    raise ConfigError(f"Check of {name}", reasons, "do this")
def other(where):
    subject = "Other"
    raise errors.Refusal(subject, (f"{n} is wrong" for n in where), remedy=f"look at {where}")
FAULT = "a reason of a table: expected this, got that"
''')
    assert [tuple(said) for said in refusals.texts(module)] == [
        ("Check of …: …: expected one, got …", "do this"),
        ("Check of …: second reason", "do this"),
        ("Check of …: third reason", "do this"),
        ("Check of …: fourth reason", "do this"),
        ("Other: … is wrong", "look at …"),
        ("a reason of a table: expected this, got that", ""),
    ]


def test_modules_that_raise_refusals_have_texts() -> None:
    silent = []
    for path in (path for room in refusals.ROOMS for path in sorted((CHECKOUT / room).rglob("*.py"))):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Raise) and node.exc]
        raised = [ast.unparse(node.exc.func) for node in calls if isinstance(node.exc, ast.Call)]
        if set(raised) & refusals.kinds() and not refusals.texts(path):
            silent.append(path.relative_to(CHECKOUT).as_posix())
    # What these pass on has been said in words before.
    assert silent == ["simvp/values/decoding.py"]


def test_every_variable_of_the_project_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "environment.md").read_text()
    sources = [path for room in refusals.ROOMS for path in (CHECKOUT / room).rglob("*.py")]
    names = {name for path in sources for name in re.findall(r"SIMVP_[A-Z]+(?:_[A-Z]+)*", path.read_text())}
    assert "SIMVP_HOME" in names
    assert {name for name in names if f"`{name}`" not in page and not name.startswith("SIMVP_SOURCE")} == set()


def test_numbers_of_file_formats_are_those_of_the_code() -> None:
    page = (DOCS / "reference" / "formats.md").read_text()
    (model,) = re.findall(r"^\| model, .*$", page, re.MULTILINE)
    assert re.findall(r"(\d): ", model) == [str(number) for number in FORMATS]
    assert re.search(rf"^\| archive, .*\| {ARCHIVE} \|", page, re.MULTILINE)
    assert re.search(rf"^\| checkpoint of a training .*\| {CHECKPOINT} \|", page, re.MULTILINE)


def test_every_setting_says_what_it_means() -> None:
    names = re.findall(r"^```{settings} (\S+)", (DOCS / "reference" / "settings.md").read_text(), re.MULTILINE)
    assert "pipelines.training.TrainConfig" in names
    for name in names:
        assert {field for field, words in meanings(name).items() if not words} == set(), name
        for about in record(name).model_fields.values():
            assert kind(about)
            assert default(about)


def test_the_reference_of_the_commands_is_their_help() -> None:
    page, listed = commands.text(), commands.table()
    for name, command in commands.named().items():
        section = page.partition(f"### `simvp {name}`\n")[2].partition("\n### ")[0]
        assert f"| [`simvp {name}`](#simvp-{name}) | " in listed
        for line in commands.examples(command):
            assert f"\n$ {line}\n" in section
        for option in command.params:
            assert (option.metavar if option.param_type_name == "argument" else option.opts[0]) in section
            assert option.help.split(". ")[0] in section
        assert "Exit codes" not in section  # once, for all of them


def test_the_library_is_described_by_what_it_hands_on() -> None:
    import simvp

    found = rooms()
    assert set(found["simvp"]) == set(simvp.__all__)
    assert "ingest" in found["pipelines.ingest"]
    assert "Refusal" in found["simvp.errors"]


def test_the_pictures_of_the_pages_are_of_pages_that_there_are() -> None:
    from docs.screenshots import SITE_PAGES  # imports what the script needs, too

    there = {path.relative_to(DOCS).with_suffix("").as_posix() for path in PAGES if path.is_relative_to(DOCS)}
    there |= {f"gallery/{path.stem}" for path in (DOCS / "examples").glob("*.py")} | {"gallery/index"}
    there |= {f"reference/api/{room}" for room in rooms()}
    assert set(SITE_PAGES) <= there


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", "docs", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    pictures = [path for path in (tmp_path / "_images").glob("sphx_glr_plot_*.png") if "thumb" not in path.name]
    assert len({re.sub(r"_\d+\.png$", "", path.name) for path in pictures}) >= 10
    pages = [path.read_text() for path in tmp_path.rglob("*.html")]
    assert 'href="#simvp-forecast"' in (tmp_path / "reference" / "commands.html").read_text().partition("<section")[2]
    # Nothing is fetched from elsewhere when a page is opened.
    assert [page for page in pages if re.search(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', page)] == []
