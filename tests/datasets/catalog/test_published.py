"""Published files: from the directory, the cache, an address or a package, and never another content."""

import hashlib
import logging
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pooch
import pytest
import xarray as xr

from datasets.catalog.entries import find_source
from datasets.catalog.published import PackagedSource, PublishedFile, PublishedSource
from simvp.errors import SourceError, Unavailable

ERA5 = "era5-2mt-2019-03-uk.grib"
CONTENT = {"a.nc": b"first", "b.nc": b"second", "c.nc": b"third"}


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a data directory nor files in the cache, whatever the machine has."""
    monkeypatch.delenv("SIMVP_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Address of the folder `site`, served on this machine."""

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Print nothing."""

    (tmp_path / "site").mkdir()
    served = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=tmp_path / "site"))
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    served.server_close()


def blob(content: bytes) -> str:
    return "git:" + hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def source_of(address: str, folder: str = "three/", *, git: bool = False) -> PublishedSource:
    checksum = blob if git else lambda content: hashlib.sha256(content).hexdigest()
    files = [PublishedFile(url=f"{address}/{name}", checksum=checksum(content)) for name, content in CONTENT.items()]
    return PublishedSource(references="https://here.example/", folder=folder, published=tuple(files))


def put(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(CONTENT[name])


def offline(*args: object, **options: object) -> str:
    raise ConnectionError("no route")


def test_the_id_of_a_blob_is_that_of_git(tmp_path: Path) -> None:
    for content in (b"", b"hello\n", bytes(range(256)) * 1000):
        (tmp_path / "file").write_bytes(content)
        done = subprocess.run(
            ["git", "hash-object", "--no-filters", str(tmp_path / "file")], capture_output=True, text=True, check=True
        )
        file = PublishedFile(url="file", checksum=f"git:{done.stdout.strip()}")
        assert file.found(tmp_path / "file") == file.expected == f"git blob {done.stdout.strip()}"
    assert blob(b"") == "git:e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


@pytest.mark.parametrize("git", [False, True])
def test_files_are_fetched_once_and_kept(tmp_path: Path, server: str, git: bool) -> None:
    put(tmp_path / "site", *CONTENT)
    source = source_of(server, git=git)
    assert not source.present()
    files = source.files()
    assert files == [tmp_path / "cache" / "simvp" / "three" / name for name in CONTENT]
    assert [file.read_bytes() for file in files] == list(CONTENT.values())
    assert source.present()
    for name in CONTENT:
        (tmp_path / "site" / name).unlink()
    assert source.files() == files


@pytest.mark.parametrize("git", [False, True])
def test_another_content_at_the_address_is_refused_and_not_kept(tmp_path: Path, server: str, git: bool) -> None:
    put(tmp_path / "site", *CONTENT)
    (tmp_path / "site" / "b.nc").write_bytes(b"revised")
    source = source_of(server, git=git)
    with pytest.raises(SourceError, match=r"b\.nc") as caught:
        source.files()
    kept = tmp_path / "cache" / "simvp" / "three"
    assert sorted(file.name for file in kept.iterdir()) == ["a.nc"]
    text = str(caught.value)
    if git:
        assert f"expected git blob {blob(b'second')[4:]}, got git blob {blob(b'revised')[4:]}" in text
        assert f"fetch it again; if that gives the same, {server}/b.nc gives another file now" in text
    else:
        assert f"{server}/b.nc gives another content than expected" in text
    (tmp_path / "site" / "b.nc").write_bytes(b"second")
    assert len(source.files()) == 3


def test_of_a_file_whose_checksum_nobody_told_any_content_is_taken(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "site", "a.nc")
    source = replace(source_of(server), published=(PublishedFile(url=f"{server}/a.nc"),))
    (fetched,) = source.files()
    assert fetched.read_bytes() == CONTENT["a.nc"]
    monkeypatch.setenv("SIMVP_DATA", str(tmp_path))
    put(tmp_path / "three", "a.nc")
    (tmp_path / "three" / "a.nc").write_bytes(b"other")
    assert source.files() == [tmp_path / "three" / "a.nc"]


def test_what_lies_in_the_directory_is_not_fetched(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMVP_DATA", str(tmp_path / "data"))
    put(tmp_path / "data" / "three", "a.nc", "c.nc")
    put(tmp_path / "site", "b.nc")
    source = source_of(server)
    assert not source.present()
    here, cache = tmp_path / "data" / "three", tmp_path / "cache" / "simvp" / "three"
    assert source.files() == [here / "a.nc", cache / "b.nc", here / "c.nc"]
    assert source.present()


@pytest.mark.parametrize("git", [False, True])
def test_another_content_in_the_directory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git: bool
) -> None:
    monkeypatch.setenv("SIMVP_DATA", str(tmp_path))
    monkeypatch.setattr(pooch, "retrieve", offline)
    put(tmp_path / "three", *CONTENT)
    (tmp_path / "three" / "c.nc").write_bytes(b"damaged")
    source = source_of("https://here.example", git=git)
    file = source.published[2]
    with pytest.raises(SourceError) as caught:
        source.files()
    text = str(caught.value)
    assert f"file {tmp_path / 'three' / 'c.nc'}: expected {file.expected}, got" in text
    assert "replace it by https://here.example/c.nc, or unset SIMVP_DATA to have it fetched" in text


def test_without_network_it_says_which_files_from_where_and_where_to_put_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooch, "retrieve", offline)
    source = source_of("https://here.example")
    with pytest.raises(Unavailable) as caught:
        source.open()
    assert str(caught.value) == (
        "file a.nc: cannot be fetched from https://here.example/a.nc (ConnectionError), and SIMVP_DATA is not set\n"
        "To mend it: try again later, or put a.nc .. c.nc (3 files) into the folder three of a directory and set "
        "SIMVP_DATA to that directory"
    )
    prepared = PublishedFile(url="ready.nc", checksum="0" * 64)
    two = replace(source, published=source.published[:2], prepared=prepared)
    monkeypatch.setenv("SIMVP_DATA", str(tmp_path))
    with pytest.raises(Unavailable) as caught:
        two.open()
    assert str(caught.value) == (
        f"file a.nc: cannot be fetched from https://here.example/a.nc (ConnectionError), and {tmp_path / 'three'} has "
        "no such file\nTo mend it: try again later, or put a.nc and b.nc into the folder three of a directory and set "
        "SIMVP_DATA to that directory; or put ready.nc into the directory itself"
    )
    assert (
        two.wanted == "a.nc and b.nc, or ready.nc in the directory itself; where they are not there, they are fetched"
    )


def test_era5_lies_in_the_directory_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooch, "retrieve", offline)
    source = find_source("era5-uk")
    with pytest.raises(Unavailable) as caught:
        source.open()
    text = str(caught.value)
    assert f"file {ERA5}: cannot be fetched from https://github.com/" in text
    assert "SIMVP_DATA is not set" in text
    assert text.endswith(f"try again later, or put {ERA5} into a directory and set SIMVP_DATA to it")
    assert source.wanted == f"{ERA5}; where it is not there, it is fetched"
    monkeypatch.setenv("SIMVP_DATA", str(tmp_path))
    (tmp_path / ERA5).write_bytes(b"GRIB something else 7777")
    assert source.present()
    with pytest.raises(SourceError) as caught:
        source.open()
    expected = "e5e82609f0e28e84822852e15d20c88dbb4b142a30264a7e6f87b9b5c7501df9"
    assert f"{tmp_path / ERA5}: expected sha256 {expected}, got sha256 " in str(caught.value)
    (tmp_path / ERA5).unlink()
    assert not source.present()
    put(tmp_path / "cache" / "simvp")
    (tmp_path / "cache" / "simvp" / ERA5).write_bytes(b"GRIB")
    assert source.present()


def test_a_prepared_file_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooch, "retrieve", offline)
    monkeypatch.setenv("SIMVP_DATA", str(tmp_path))
    xr.Dataset(
        {"t": (("time", "y", "x"), np.ones((2, 3, 3)), {"units": "K"})},
        {"time": np.array(["2020-01-01", "2020-01-02"], "M8[ns]")},
    ).to_netcdf(tmp_path / "ready.nc")
    digest = hashlib.sha256((tmp_path / "ready.nc").read_bytes()).hexdigest()
    put(tmp_path / "three", *CONTENT)
    source = replace(
        source_of("https://here.example"), title="T", prepared=PublishedFile(url="ready.nc", checksum=digest)
    )
    assert source.present()
    assert source.files() == [tmp_path / "ready.nc"]
    ds = source.open()
    assert ds["t"].shape == (2, 3, 3)
    assert ds.attrs == {"title": "T", "license": "", "references": "https://here.example/"}
    (tmp_path / "ready.nc").write_bytes(b"CDF\x01")
    with pytest.raises(SourceError, match=rf"ready.nc: expected sha256 {digest}, got (.|\n)*replace or remove it"):
        source.files()
    (tmp_path / "ready.nc").unlink()
    assert [file.name for file in source.files()] == list(CONTENT)


def test_pooch_says_little_of_many_files(tmp_path: Path, server: str) -> None:
    contents = {f"{number:02d}.nc": bytes([number]) for number in range(12)}
    for name, content in contents.items():
        (tmp_path / "site" / name).write_bytes(content)
    files = [
        PublishedFile(url=f"{server}/{name}", checksum=hashlib.sha256(content).hexdigest())
        for name, content in contents.items()
    ]
    many = PublishedSource(folder="many/", published=tuple(files))
    logger = pooch.get_logger()
    seen: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        many.files()
        assert seen == [f"Downloading 12 files from '{server}'."]
        many.files()
        assert len(seen) == 1
        replace(many, folder="one/", published=tuple(files[:1])).files()
        assert [text.split(" ")[:2] for text in seen[1:]] == [["Downloading", "data"]]
        (tmp_path / "site" / "11.nc").unlink()
        with pytest.raises(SourceError, match=r"11\.nc"):
            replace(many, folder="other/").files()
        replace(many, folder="again/", published=tuple(files[:1])).files()  # it speaks again, also after a failure
        assert [text.split(" ")[1] for text in seen[1:]] == ["data", "12", "data"]
    finally:
        logger.removeHandler(handler)


def packaged(**changed: str) -> PackagedSource:
    settings = {"package": "fields_of_somebody", "distribution": "fields-of-somebody", "path": "data/t.nc"}
    return PackagedSource(**{**settings, "sha256": hashlib.sha256(b"t").hexdigest(), **changed})


def test_a_file_out_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = packaged()
    assert source.wanted == "t.nc of the Python package fields-of-somebody"
    assert not source.present()
    with pytest.raises(SourceError) as caught:
        source.open()
    assert str(caught.value) == (
        "Python package fields-of-somebody: it is not installed\nTo mend it: python -m pip install fields-of-somebody"
    )
    package = tmp_path / "fields_of_somebody"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('a package is looked into, not imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert not source.present()
    with pytest.raises(SourceError, match=r"fields-of-somebody: it has no file data/t\.nc"):
        source.files()
    (package / "data").mkdir()
    (package / "data" / "t.nc").write_bytes(b"t")
    assert source.present()
    assert source.files() == [package / "data" / "t.nc"]
    (package / "data" / "t.nc").write_bytes(b"u")
    with pytest.raises(SourceError) as caught:
        source.files()
    assert f"expected sha256 {source.sha256}, got sha256 " in str(caught.value)
    assert "install the version of fields-of-somebody that requirements.lock names" in str(caught.value)
