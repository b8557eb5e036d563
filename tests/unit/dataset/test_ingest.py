"""A reference names data by content: other data is refused, and nothing is copied."""

import shutil

import pytest

from goldseam.dataset.ingest import IngestConfig, ingest, open_reference
from goldseam.dataset.schema import DatasetInfo
from goldseam.errors import DigestMismatch, MissingInput
from goldseam.results import DatasetReference


@pytest.fixture
def folder(disc_folder, tmp_path):
    return shutil.copytree(disc_folder, tmp_path / "data")


def test_a_reference_says_where_and_what_and_copies_nothing(folder, tmp_path):
    found = ingest(IngestConfig(uri=str(folder), revision="v1"), tmp_path / "out")
    assert found.digest == DatasetInfo.read_yaml(folder).digest
    assert found.rows == {"train": 48, "validation": 12, "test": 16}
    assert found.revision == "v1"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["result.json"]
    assert open_reference(tmp_path / "out").info.name == "discs"
    assert DatasetReference.read(tmp_path / "out") == found


def test_the_same_data_again_is_the_same_reference(folder, tmp_path):
    config = IngestConfig(uri=str(folder))
    assert ingest(config, tmp_path / "out") == ingest(config, tmp_path / "out")


def test_data_that_differs_from_the_pinned_digest_is_refused(folder, tmp_path):
    config = IngestConfig(uri=str(folder), digest="sha256:" + "0" * 64)
    with pytest.raises(DigestMismatch) as caught:
        ingest(config, tmp_path / "out")
    assert "0000" in caught.value.message
    assert "dvc checkout" in caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_a_shard_that_was_changed_is_refused(folder, tmp_path):
    shard = next(folder.glob("train*.parquet"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DigestMismatch, match="train"):
        ingest(IngestConfig(uri=str(folder)), tmp_path / "out")


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingInput, match="nowhere"):
        ingest(IngestConfig(uri=str(tmp_path / "nowhere")), tmp_path / "out")


def test_data_that_changes_after_it_was_referenced_is_refused(folder, tmp_path):
    ingest(IngestConfig(uri=str(folder)), tmp_path / "out")
    text = (folder / "dataset.yaml").read_text()
    (folder / "dataset.yaml").write_text(text.replace("name: discs", "name: disks"))
    with pytest.raises(DigestMismatch, match="digest is"):
        open_reference(tmp_path / "out")
