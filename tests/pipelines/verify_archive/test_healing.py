"""Healing where there are no files: from a source that makes its frames, and in a bucket."""

from contextlib import closing
from pathlib import Path

import boto3
import numpy as np
import pytest

from datasets.archive.archive import Archive
from datasets.store.store import Store
from pipelines.home import Home
from pipelines.ingest import ingest
from pipelines.verify_archive.stage import verify_archive
from simvp.errors import ArchiveError
from tests.support.damage import chunk_of, delete, flip
from tests.support.worlds import formula_world


def test_frames_of_a_simulated_source_are_simulated_again(tmp_path: Path) -> None:
    home, name = Home(tmp_path), "simulated-weather"
    ingest(home, name)
    archive = Archive(home.archive(name))
    before, values = archive.unchanged.id, archive.dataset()["t2m"].values
    head = Store(archive.path).head
    delete(chunk_of(archive.path, head.read("t2m", slice(0, 1))))
    (store,) = verify_archive(home, name).stores
    assert [(fault.variable, fault.what) for fault in store.faults] == [("t2m", "missing")]
    (healed,) = verify_archive(home, name, heal=True).stores
    assert healed.state == "healed", healed.lines
    assert archive.unchanged.id == before
    np.testing.assert_array_equal(archive.dataset()["t2m"], values)


@pytest.mark.parametrize("what", [delete, flip])
def test_a_chunk_in_a_bucket_is_written_anew(what, bucket: str, tmp_path: Path) -> None:
    home, name = Home(tmp_path / "home", bucket), "waves"
    ds = formula_world(("t2m",), frames=14 * 24, shape=(8, 12))
    noise = np.random.default_rng(5).standard_normal(ds["t2m"].shape).astype("f4")
    (ds + noise).assign_attrs(ds.attrs).map(lambda field: field.assign_attrs(ds["t2m"].attrs)).to_netcdf(
        tmp_path / "a.nc", engine="h5netcdf"
    )
    report = ingest(home, name, source=tmp_path / "a.nc")
    archive = Archive(home.archive(name))
    values = archive.dataset()["t2m"].values
    # The objects of the repository as files, to find the chunk among them; what becomes of it goes back.
    host, _, prefix = bucket.removeprefix("s3://").partition("/")
    chunks = f"{prefix}/{name}/archive.zarr/chunks/"
    local = tmp_path / "objects" / "chunks"
    local.mkdir(parents=True)
    with closing(boto3.client("s3")) as client:
        for one in client.list_objects_v2(Bucket=host, Prefix=chunks)["Contents"]:
            client.download_file(host, one["Key"], str(local / one["Key"].removeprefix(chunks)))
        path = chunk_of(local.parent, Store(archive.path).head.read("t2m", slice(64, 65)))
        what(path)
        if path.exists():
            client.upload_file(str(path), host, chunks + path.name)
        else:
            client.delete_object(Bucket=host, Key=chunks + path.name)

    with pytest.raises(ArchiveError, match="damaged"):
        archive.dataset()["t2m"].load()
    (store,) = verify_archive(home, name).stores
    assert [(fault.variable, fault.where) for fault in store.faults] == [("t2m", "t2m/c/1/0/0")]
    (healed,) = verify_archive(home, name, heal=True).stores
    assert healed.state == "healed", healed.lines
    assert archive.unchanged.id == report.commit
    np.testing.assert_array_equal(archive.dataset()["t2m"], values)
