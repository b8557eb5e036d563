"""Stored features resume and tell changes; a user's own are checked and put in order."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from goldseam.errors import DigestMismatch, InvalidArray, InvalidConfig, MissingInput, OutputExists
from goldseam.finetuning import features as feature_module
from goldseam.finetuning.features import (
    CachedFeatures,
    ShardedFeatures,
    _write_shard,
    open_features,
    store_features,
)
from goldseam.finetuning.own_features import read_features
from goldseam.models.checkpoint import load_checkpoint


def test_stored_features_are_those_of_each_known_image_without_augmentation(
    disc_data, disc_models, tmp_path
):
    checkpoint = disc_models["pipeline"]
    stored = store_features(
        checkpoint, disc_data, "train", "tags", tmp_path / "out", device="cpu", shard_rows=7
    )
    assert len(stored.features.parts) > 1
    assert all(isinstance(part, np.memmap) for part in stored.features.parts)
    model = load_checkpoint(checkpoint)
    rows = np.flatnonzero(disc_data.known("train")["tags"]).tolist()
    assert len(stored.features) == len(rows)
    for at, record in enumerate(disc_data.records("train", ["tags"], rows)):
        image = torch.from_numpy(record.image_HWC.transpose(2, 0, 1).copy())[None] / 255
        with torch.no_grad():
            expected = model.shared_features(image)[1][0].numpy()
        # a batch sums in another order than one image
        np.testing.assert_allclose(stored.features[at : at + 1][0], expected, atol=1e-4)
        np.testing.assert_array_equal(stored.labels_NC[at], record.labels["tags"])
        assert (stored.groups[at], stored.image_ids[at]) == (record.group, record.image_id)
    half = store_features(
        checkpoint, disc_data, "train", "tags", tmp_path / "half", precision="float16", device="cpu"
    )
    assert half.features[:].dtype == np.float16
    assert half.digest != stored.digest
    with pytest.raises(OutputExists):
        store_features(checkpoint, disc_data, "train", "tags", tmp_path / "half", device="cpu")


def test_an_interrupted_run_goes_on_after_its_last_complete_shard(
    disc_data, disc_models, tmp_path, monkeypatch
):
    arguments = (disc_models["pipeline"], disc_data, "train", "tags")
    whole = store_features(*arguments, tmp_path / "whole", device="cpu", shard_rows=6)
    compute, calls = feature_module._compute, []

    def killed(*args):
        calls.append(args[4])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return compute(*args)

    monkeypatch.setattr(feature_module, "_compute", killed)
    with pytest.raises(KeyboardInterrupt):
        store_features(*arguments, tmp_path / "out", device="cpu", shard_rows=6)
    assert not (tmp_path / "out").exists()
    again = store_features(*arguments, tmp_path / "out", device="cpu", shard_rows=6)
    assert calls[0] not in calls[1:]
    assert again.digest == whole.digest
    monkeypatch.setattr(feature_module, "_compute", None)  # a complete one is opened
    assert store_features(
        *arguments, tmp_path / "out", device="cpu", shard_rows=6
    ).digest == whole.digest  # fmt: skip


def test_a_changed_file_is_found_out(disc_data, disc_models, tmp_path):
    out = tmp_path / "out"
    store_features(disc_models["pipeline"], disc_data, "train", "tags", out, device="cpu")
    path = out / "features-00000.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DigestMismatch):
        open_features(out)
    with pytest.raises(MissingInput):
        open_features(tmp_path)


def test_what_float16_cannot_hold_is_named(tmp_path):
    part = CachedFeatures(
        np.array([[1.0], [1e6]], np.float32), np.zeros((2, 1), np.int8), ("a", "b"), ("i0", "i1")
    )
    with pytest.raises(InvalidConfig, match="image 'i1'"):
        _write_shard(tmp_path, 0, part, "float16")
    assert not list(tmp_path.iterdir())


def test_shards_give_rows_in_the_order_asked_for():
    rows_ND = np.arange(30.0).reshape(10, 3)
    shards = ShardedFeatures([rows_ND[:4], rows_ND[4:5], rows_ND[5:]])
    assert (shards.shape, len(shards)) == ((10, 3), 10)
    for asked in (np.array([9, 0, 4, 4, 3]), slice(2, 8), np.array([], np.intp)):
        np.testing.assert_array_equal(shards[asked], rows_ND[asked])


def write_parquet(path, lists, ids, kind=None):
    columns = {"image_id": pa.array(ids), "features": pa.array(lists, kind)}
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), 2)])
def test_parquet_is_put_in_the_order_of_the_ids(tmp_path, kind):
    lists = [[0.0, 1], [2, 3], [4, 5]]
    path = write_parquet(tmp_path / "f.parquet", lists, ["a", "b", "c"], kind)
    np.testing.assert_array_equal(read_features(path, ["c", "a"]), [[4, 5], [0, 1]])
    np.testing.assert_array_equal(read_features(path), lists)


@pytest.mark.parametrize(
    ("lists", "ids", "match"),
    [
        ([[0.0, 1], [2, 3]], ["a", "a"], "'a' stands there more than once"),
        ([[0.0, 1], [2, 3]], ["a", "x"], "no row for 1 of 2 ids, such as 'b'"),
        ([[0.0, 1], [2]], ["a", "b"], "row 1: 1 numbers, expected 2"),
        ([[0.0, 1], None], ["a", "b"], "row 1: null, expected 2"),
        ([[0.0, 1], [2, None]], ["a", "b"], r"row 1 \(image 'b'\), feature 1: nan"),
        ([[0.0, 1], [np.inf, 1]], ["a", "b"], r"row 1 \(image 'b'\), feature 0: inf"),
    ],
)
def test_a_broken_parquet_file_is_named(tmp_path, lists, ids, match):
    path = write_parquet(tmp_path / "f.parquet", lists, ids)
    with pytest.raises(InvalidArray, match=match):
        read_features(path, ["a", "b"])


def test_npy_is_mapped_and_checked(tmp_path):
    path = tmp_path / "f.npy"
    np.save(path, np.ones((4, 2), np.float16))
    assert isinstance(read_features(path, list("abcd")), np.memmap)
    with pytest.raises(InvalidArray, match="4 rows, expected 3"):
        read_features(path, list("abc"))
    for wrong in (np.ones(3), np.ones((2, 2), int)):
        np.save(path, wrong)
        with pytest.raises(InvalidArray, match="expected two axes"):
            read_features(path)
    np.save(path, np.array([[1.0, np.nan]]))
    with pytest.raises(InvalidArray, match="row 0, feature 1: nan"):
        read_features(path)
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(InvalidArray, match="no plain array"):
        read_features(path)


def test_missing_and_foreign_files_are_named(tmp_path):
    for name in ("no.npy", "no.parquet", "no.csv"):
        with pytest.raises(MissingInput):
            read_features(tmp_path / name)
    path = write_parquet(tmp_path / "f.parquet", [[1.0]], ["a"])
    with pytest.raises(InvalidArray, match="no column 'embedding'"):
        read_features(path, column="embedding")
