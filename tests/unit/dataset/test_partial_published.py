"""Published label masks: three forms, an order of columns, and files that would run code."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goldseam.dataset.partial.masks import InvalidMask
from goldseam.dataset.partial.plain_values import read_pickle
from goldseam.dataset.partial.published import read_published_mask
from goldseam.errors import MissingInput

PASCAL = ("segmentation", "human_parts", "saliency", "normals", "boundary")
IDS = ("2008_000008", "2008_000015", "2008_000019")
KNOWN = [[1, 0, 0, 0, 1], [0, 1, 0, 0, 0], [0, 0, 1, 1, 0]]


def pth(path: Path, content: Any) -> Path:
    import torch

    torch.save(content, path)
    return path


def npy(path: Path, content: Any) -> Path:
    np.save(path, np.array(content, object), allow_pickle=True)
    return path


def table(path: Path, content: Any) -> Path:
    """What `np.save` writes for a dictionary."""
    np.save(path, content, allow_pickle=True)
    return path


def by_task() -> dict[str, list[str]]:
    names = ("semseg", "human_parts", "sal", "normals", "edge")
    return {
        name: [image for image, row in zip(IDS, KNOWN, strict=True) if row[column]]
        for column, name in enumerate(names)
    }


FORMS: dict[str, Callable[[Path], Path]] = {
    "flags": lambda at: pth(at / "a.pth", {"labels_weights": torch_of(KNOWN)}),
    "flags in npy": lambda at: table(at / "a.npy", np.array(KNOWN, np.float32)),
    "flags in a pickled npy": lambda at: table(
        at / "a.npy", {"labels_weights": np.array(KNOWN, np.float32)}
    ),
    "ids": lambda at: pth(at / "a.pth", dict(zip(IDS, KNOWN, strict=True))),
    "ids as NumPy texts": lambda at: pth(
        at / "a.pth", {np.str_(name): row for name, row in zip(IDS, KNOWN, strict=True)}
    ),
    "arrays": lambda at: pth(
        at / "a.pth", {np.str_(n): np.array(row) for n, row in zip(IDS, KNOWN, strict=True)}
    ),
    "tensors": lambda at: pth(
        at / "a.pth", {name: torch_of(row) for name, row in zip(IDS, KNOWN, strict=True)}
    ),
    "NumPy numbers": lambda at: pth(
        at / "a.pth",
        {n: [np.float64(one) for one in row] for n, row in zip(IDS, KNOWN, strict=True)},
    ),
    "tasks": lambda at: table(at / "a.npy", by_task()),
    "tasks in other texts": lambda at: table(
        at / "a.npy", {task: [np.str_(one) for one in ids] for task, ids in by_task().items()}
    ),
    "tasks with arrays": lambda at: table(
        at / "a.npy", {task: np.array(ids) for task, ids in by_task().items()}
    ),
}


def torch_of(values: Any) -> Any:
    import torch

    return torch.tensor(values, dtype=torch.float32)


@pytest.mark.parametrize("form", FORMS)
def test_every_published_form(tmp_path: Path, form: str) -> None:
    path = FORMS[form](tmp_path)
    mask = read_published_mask(path, IDS, PASCAL)
    assert (mask.image_ids, mask.tasks) == (IDS, PASCAL)
    assert mask.known_NT.astype(int).tolist() == KNOWN
    assert mask.protocol == f"published: {path.name}"
    # tasks may be chosen; the file's order of columns stays its own
    some = read_published_mask(path, IDS, ("boundary", "segmentation"), order=PASCAL)
    assert some.known_NT.astype(int).tolist() == [[1, 1], [0, 0], [0, 0]]


def test_rows_are_images_by_position_and_names_by_name(tmp_path: Path) -> None:
    flags = pth(tmp_path / "flags.pth", {"labels_weights": torch_of(KNOWN)})
    named = pth(tmp_path / "named.pth", dict(zip(IDS, KNOWN, strict=True)))
    backwards = IDS[::-1]
    assert read_published_mask(flags, backwards, PASCAL).known_NT.astype(int).tolist() == KNOWN
    mask = read_published_mask(named, backwards, PASCAL)
    assert mask.known_NT.astype(int).tolist() == KNOWN[::-1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"labels_weights": torch_of(KNOWN[:2])}, r"\(2, 5\), expected \(3, 5\)"),
        ({"labels_weights": torch_of(KNOWN) * 0.5}, "row 0, column 0: 0.5, expected 0 or 1"),
        ({"labels_weights": torch_of(KNOWN) * float("nan")}, "nan, expected 0 or 1"),
        ({"labels_weights": "yes"}, "no numbers"),
        (dict(zip(IDS[:2], KNOWN, strict=False)), "does not name the image '2008_000019'"),
        (dict(zip((*IDS, "x"), [*KNOWN, KNOWN[0]], strict=True)), "names 'x'"),
        ({name: row[:3] for name, row in zip(IDS, KNOWN, strict=True)}, "3 flags, expected 5"),
        ({name: torch_of(1) for name in IDS}, "0 flags, expected 5"),
        ({name: np.float64(1) for name in IDS}, "0 flags, expected 5"),
        ({"semseg": ["2008_000008", "nowhere"]}, "the image 'nowhere' is not among"),
        ({"semseg": [["2008_000008"], []]}, "no list of image ids"),
        ({"semseg": list(IDS), "seg": []}, "names 'segmentation' twice"),
        ({1: [1], "1": [0]}, "names '1' twice"),
        ({"labels_weights": [[10**400] * 5] * 3}, "no numbers"),
        ([[1, 0]], "holds list"),
        ({}, "holds dict"),
        (7, "holds int"),
    ],
)
def test_a_mask_that_does_not_fit(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(InvalidMask, match=message):
        read_published_mask(pth(tmp_path / "a.pth", content), IDS, PASCAL)


def test_a_task_without_a_column(tmp_path: Path) -> None:
    path = pth(tmp_path / "a.pth", {"labels_weights": torch_of(KNOWN)})
    with pytest.raises(InvalidMask, match="no column of task 'depth'"):
        read_published_mask(path, IDS, ("depth",), order=PASCAL)
    path = table(tmp_path / "a.npy", {"semseg": [], "sal": []})
    with pytest.raises(InvalidMask, match="names the task 'saliency'"):
        read_published_mask(path, IDS, ("segmentation",))


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.target, "owned")


@pytest.mark.parametrize("inside", ["alone", "key", "array", "weights"])
@pytest.mark.parametrize("suffix", [".pth", ".npy"])
def test_a_hostile_file_runs_nothing(tmp_path: Path, suffix: str, inside: str) -> None:
    proof = tmp_path / "proof"
    bad = Hostile(proof)
    content = {
        "alone": bad,
        "key": {"2008_000008": [bad]},
        "array": np.array([bad], object),
        "weights": {"labels_weights": bad},
    }[inside]
    write = pth if suffix == ".pth" else npy
    path = write(tmp_path / f"mask{suffix}", content)
    # the file does what it says when it is read the usual way
    pickle.loads(pickle.dumps(bad))
    assert proof.exists()
    proof.unlink()
    with pytest.raises(InvalidMask, match="was not read") as caught:
        read_published_mask(path, IDS, PASCAL)
    assert not proof.exists()
    assert "CSV" in caught.value.remedy


@pytest.mark.parametrize(
    "code",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"c_codecs\nencode\n(S'a'\nS'rot13'\ntR.",
        b"cnumpy\nload\n(S'x.npy'\ntR.",
        b"cnumpy\nfromfile\n(S'x'\ntR.",
        b"cbuiltins\ngetattr\n(cnumpy\nndarray\nS'tofile'\ntR.",
        b"cnumpy.core.multiarray\nscalar.__self__\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__class__\x93.",
        b"",
        b"\x80\x04",
    ],
)
def test_only_listed_names_are_built(tmp_path: Path, code: bytes) -> None:
    path = tmp_path / "mask.npy"
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(
            stream, {"descr": "|O", "fortran_order": False, "shape": ()}
        )
        stream.write(code)
    with pytest.raises(InvalidMask, match="was not read"):
        read_published_mask(path, IDS, PASCAL)


class Reduced:
    """Pickles as a call of something with arguments, then with a state."""

    def __init__(self, *reduced: Any) -> None:
        self.reduced = reduced

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


RECONSTRUCT, SCALAR = np.zeros(0).__reduce__()[0], np.float64(0).__reduce__()[0]


def pickled_dtype(code: str, *state: Any) -> Reduced:
    return Reduced(np.dtype, (code, False, True), (3, *(state or ("|", *[None] * 3, -1, -1, 0))))


def pickled_array(kind: Any, data: Any, shape: tuple[int, ...] = (1,)) -> Reduced:
    return Reduced(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, shape, kind, False, data))


# NumPy's own classes would take the bytes for the addresses of objects and end the process
ADDRESSES = b"A" * 8
AS_OBJECT = pickled_dtype("O8")
STATES: dict[str, Any] = {
    "addresses as objects": pickled_array(AS_OBJECT, ADDRESSES),
    "an address as a number": Reduced(SCALAR, (AS_OBJECT, ADDRESSES)),
    "records": pickled_array(
        pickled_dtype("V8", "|", None, ("a",), {"a": (np.dtype("f8"), 0)}, 8, 1, 0), ADDRESSES
    ),
    "no dtype": pickled_array("O8", [1]),
    "other order": pickled_array(pickled_dtype("f8", "O", *[None] * 3, -1, -1, 0), ADDRESSES),
    "fewer bytes than the shape": pickled_array(np.dtype("f8"), ADDRESSES, (9,)),
    "fewer objects than the shape": pickled_array(np.dtype("O"), [1], (9,)),
    "no content": Reduced(RECONSTRUCT, (np.ndarray, (0,), b"b")),
    "letters that are none": pickled_array(np.dtype("<U1"), b"\xff" * 4),
    "another class": pickled_array(np.dtype("O"), [{1, 2}]),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("suffix", [".pth", ".npy"])
def test_states_that_numpy_would_trust(tmp_path: Path, suffix: str, state: str) -> None:
    write = pth if suffix == ".pth" else npy
    path = write(tmp_path / f"mask{suffix}", {"semseg": STATES[state]})
    with pytest.raises(InvalidMask):
        read_published_mask(path, IDS, PASCAL)


def test_a_short_file_does_not_mean_very_many_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goldseam.dataset.partial.plain_values.LARGEST", 10_000)
    twice: list[Any] = ["2008_000008"]
    for _ in range(40):
        twice = [twice, twice]
    for write in (pth, table):
        path = write(tmp_path / f"mask{'.pth' if write is pth else '.npy'}", {"semseg": twice})
        with pytest.raises(InvalidMask, match="more than 10,000 values"):
            read_published_mask(path, IDS, PASCAL)


def test_npy_is_read_without_the_module_that_runs_pickles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = table(tmp_path / "a.npy", by_task())
    flags = table(tmp_path / "b.npy", {"labels_weights": np.array(KNOWN, np.float32)})
    for name in ("Unpickler", "load", "loads"):
        monkeypatch.delattr(pickle, name)
    for one in (path, flags):
        mask = read_published_mask(one, IDS, PASCAL)
        assert mask.known_NT.astype(int).tolist() == KNOWN


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_of_pickles(protocol: int) -> None:
    content = {
        "texts": np.array(["a", "bé"]),
        "numbers": [1, -2, 3.5, True, None, 10**20, np.float32(0.5), np.bool_(True), np.str_("c")],
        "bytes": b"\x00\xff",
        "columns": np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)),
        "objects": np.array([[1, "x"], [(2, 3), None]], object),
        "none": [(), {}, []],
    }
    # protocol 5 writes arrays in another way, which np.save never does
    if protocol == 5:
        del content["texts"], content["columns"]
    found = read_pickle(pickle.dumps(content, protocol))
    assert list(found) == list(content)
    assert found["numbers"] == content["numbers"]
    assert found["bytes"] == content["bytes"]
    assert found["none"] == [[], {}, []]
    assert found["objects"].tolist() == [[1, "x"], [[2, 3], None]]
    for name in {"texts", "columns"} & set(content):
        np.testing.assert_array_equal(found[name], content[name])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(MissingInput):
        read_published_mask(tmp_path / "none.pth", IDS, PASCAL)
    for name in ("a.pth", "a.npy"):
        (tmp_path / name).write_bytes(b"hello")
        with pytest.raises(InvalidMask, match="damaged"):
            read_published_mask(tmp_path / name, IDS, PASCAL)


def test_old_names_of_numpy_are_known(tmp_path: Path) -> None:
    """Files written with NumPy 1 name `numpy.core`, with NumPy 2 `numpy._core`."""
    path = table(tmp_path / "a.npy", by_task() | {"edge": np.array(["2008_000008"])})
    content = path.read_bytes()
    assert b"numpy._core" in content
    # a shorter name: the lengths in the pickle go along
    old = content.replace(b"\x8c\x16numpy._core.multiarray", b"\x8c\x15numpy.core.multiarray")
    assert old != content
    # the frame's length follows
    at = old.index(b"\x95") + 1
    length = int.from_bytes(old[at : at + 8], "little") - (len(content) - len(old))
    path.write_bytes(old[:at] + length.to_bytes(8, "little") + old[at + 8 :])
    assert read_published_mask(path, IDS, PASCAL).labels_per_task["boundary"] == 1
