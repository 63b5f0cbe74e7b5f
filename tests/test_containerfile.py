"""The Containerfile, as far as it can be checked where there is no engine to build it."""

import re
import shlex
from fnmatch import fnmatch

import yaml

from tests.conftest import CHECKOUT

TEXT = (CHECKOUT / "Containerfile").read_text()


def instructions() -> list[tuple[str, str]]:
    """Name and arguments of every instruction; comments and the ends of continued lines taken out."""
    lines = [line for line in TEXT.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines)).splitlines()
    return [(word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined if line)]


def named(name: str) -> list[str]:
    return [rest for word, rest in instructions() if word == name]


def test_every_instruction_is_one() -> None:
    known = {"FROM", "ARG", "ENV", "WORKDIR", "COPY", "RUN", "USER", "VOLUME", "CMD"}
    assert {word for word, _ in instructions()} <= known


def test_the_base_has_a_version() -> None:
    (base,) = named("FROM")
    default = dict(arg.split("=") for arg in named("ARG"))["PYTHON"]
    image, _, tag = base.replace("${PYTHON}", default).partition(":")
    assert (image, tag) == ("python", "3.11-slim-bookworm")


def test_every_argument_is_used_after_it_is_declared() -> None:
    found = instructions()
    for at, (word, rest) in enumerate(found):
        if word == "ARG":
            name = rest.partition("=")[0]
            assert any(f"${{{name}}}" in later for _, later in found[at + 1 :]), name


def test_what_is_copied_is_there_and_gets_into_the_context() -> None:
    ignored = (CHECKOUT / ".dockerignore").read_text().splitlines()
    assert [line for line in ignored if not line.startswith(("#", "!"))] == ["*", "**/__pycache__"]
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = {source for rest in named("COPY") for source in shlex.split(rest)[:-1]}
    assert copied == allowed
    for source in copied:
        assert (CHECKOUT / source).exists(), source


def test_every_package_of_the_code_that_runs_is_in_the_image() -> None:
    entrypoints = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text())["deployments"]
    rooms = {one["entrypoint"].partition(".")[0] for one in entrypoints} | {"simvp", "datasets", "pipelines"}
    copied = {source for rest in named("COPY") for source in shlex.split(rest)[:-1]}
    assert rooms <= copied
    (folder,) = named("WORKDIR")
    assert f"PYTHONPATH={folder}" in " ".join(named("ENV"))


def test_it_runs_as_nobody_and_the_pools_say_the_same_of_the_home() -> None:
    users = named("USER")
    assert users
    assert all(user.isdecimal() and int(user) > 0 for user in users)  # Kubernetes checks numbers, not names
    assert f"useradd --uid {users[-1]} " in TEXT
    (home,) = named("VOLUME")
    for kind in ("docker", "kubernetes"):
        pool = (CHECKOUT / "flows" / "pools" / f"{kind}.json").read_text()
        assert f'"SIMVP_HOME": "{home}"' in pool
        assert f'"PREFECT_HOME": "{home}/prefect"' in pool
    assert f'"runAsUser": {users[-1]}' in (CHECKOUT / "flows" / "pools" / "kubernetes.json").read_text()


def test_packages_are_those_of_the_lock_and_no_index_is_named() -> None:
    installs = [words for rest in named("RUN") for words in re.split(r"&&|;|then", rest) if "pip install" in words]
    assert len(installs) == 4
    pinned = (
        "--requirement requirements.lock",
        "--constraint requirements.lock",
        "'^torch==' requirements.lock",
        "--no-deps",
    )
    for words in installs:
        assert any(pin in words for pin in (*pinned, "--no-deps")), words
    addresses = set(re.findall(r"[a-z]+://[^\s)]+", TEXT))
    assert all(fnmatch(address, "http://127.0.0.1*") for address in addresses)
