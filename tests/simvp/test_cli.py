"""The command `simvp`: what of it is in the wheel, what it finds in the checkout, help and exit codes."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import typer

from docs.extensions import commands
from simvp import cli
from simvp.cli import GROUP, MEANING, Exit, main
from simvp.errors import Unavailable
from tests.conftest import CHECKOUT

DECLARED = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["entry-points"][GROUP]
OWN = ("predict", "inspect", "export")


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = Exit.DONE) -> tuple[str, str]:
    capsys.readouterr()
    assert main(words) == code
    out, error = capsys.readouterr()
    return out, error


def test_the_installation_declares_the_commands_of_the_checkout() -> None:
    found = {entry.name: entry.value for entry in entry_points(group=GROUP)}
    assert found == DECLARED, "what is installed is older than pyproject.toml: make"


@pytest.mark.parametrize("name", [*OWN, *DECLARED])
def test_every_command_has_help_with_an_example_and_the_exit_codes(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    out, _ = said(capsys, name, "--help")
    assert f"Usage: simvp {name}" in out
    assert "Example" in out
    assert f"simvp {name}" in out.partition("Example")[2]
    assert "\x1b" not in out  # no colours into a pipe
    for code, words in MEANING.items():
        assert f"{code.value}  {words}" in " ".join(out.split()).replace(f" {code.value} ", f" {code.value}  ")


@pytest.mark.parametrize("name", [*OWN, *DECLARED])
def test_every_option_says_what_it_means_what_holds_without_it_and_how_it_is_typed(name: str) -> None:
    command = commands.named()[name]
    context = typer.Context(command, info_name=f"simvp {name}")
    typed = commands.examples(command)
    assert typed
    assert all(line.startswith(f"simvp {name}") for line in typed)
    for option in command.params:
        record = option.get_help_record(context)
        assert record, option.name
        words, about = record
        assert len(about.split()) >= 3, words
        if getattr(option, "is_bool_flag", False):
            continue
        assert re.search(r"\[.*(default: |required)", about), f"{words}: no default"
        # A choice lists its values, and so may the text; else one value stands in it.
        shown = "|" in words or re.search(r"\b(as|:) \S", about) or re.search(r": \w+(, \w+)+", about)
        assert shown, f"{words}: no example"
        # Not a type of Python: what a person types, or what it is called.
        assert not re.search(r"<(str|int|path|list)", words) or option.param_type_name == "argument", words


def test_examples_in_the_help_are_taken() -> None:
    """Every line parses: no option of it is misspelt, no argument too many."""
    for name, command in commands.named().items():
        for line in commands.examples(command):
            command.make_context(f"simvp {name}", shlex.split(line)[2:], resilient_parsing=False)


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = said(capsys, "--help")
    for name in [*OWN, *DECLARED]:
        assert f" {name} " in out


def test_help_of_one_command_loads_no_other_and_nothing_heavy() -> None:
    code = "import sys; from simvp.cli import main; main(['ingest', '--help'])\n"
    code += "print(*{'prefect', 'mlflow', 'torch', 'flows.commands.demo', 'zarr'} & set(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stderr.split() == []


def test_a_command_of_the_checkout_says_so_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "CHECKOUT", tmp_path)
    _, error = said(capsys, "ingest", "rain", "--replace", code=Exit.REFUSED)
    assert error.startswith("simvp ingest: it lives in the checkout")
    assert "To mend it: clone the repository" in error
    out, _ = said(capsys, "--help")
    assert " predict " in out
    assert " ingest " not in out


def test_the_checkout_is_found_from_any_folder(tmp_path: Path) -> None:
    outside = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-m", "simvp", "ingest", "none"]
    done = subprocess.run(command, cwd=tmp_path, env=outside, capture_output=True, text=True)
    assert done.returncode == Exit.REFUSED
    assert done.stderr.startswith("data set none: there is no none.toml in this folder")


def test_what_is_not_there_now_is_refused_and_a_fault_of_the_code_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(error: Exception) -> None:
        def command() -> None:
            raise error

        monkeypatch.setattr("flows.commands.status.status", command)

    fail(Unavailable("The server", ["it is away"]))
    assert said(capsys, "status", code=Exit.REFUSED)[1] == "The server: it is away\nTo mend it: try again later\n"
    fail(PermissionError(13, "Permission denied", "/x"))
    assert "there is no permission: /x" in said(capsys, "status", code=Exit.REFUSED)[1]
    fail(KeyError("x"))
    with pytest.raises(KeyError):
        main(["status"])


def test_completion_knows_the_commands() -> None:
    environment = {**os.environ, "_SIMVP_COMPLETE": "complete_bash", "COMP_WORDS": "simvp ver", "COMP_CWORD": "1"}
    code = "import sys; from simvp.cli import main; sys.exit(main([]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    assert {"verify", "verify-archive"} <= set(done.stdout.split())
