"""Label tables become tags: blank is unknown, and only what is called absent is absent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goldseam.audit.label_side import read_label_side
from goldseam.dataset.checking import check_dataset
from goldseam.dataset.formats import CsvImport, TagCounts, import_csv, open_source
from goldseam.dataset.reading import open_dataset
from goldseam.errors import GoldseamError, InvalidConfig, InvalidDataset, MissingInput

Write = Callable[..., Path]
WIDE = """image,site,boat,buoy,pier
0.png,north,1,0,
1.png,north,,,
2.png,"south, bay",0,-1,1.0
3.png,,TRUE,nan,u
"""


def imported(source: Any, out: Path, images: Path | None = None, **options: Any) -> Any:
    return import_csv(source, out, images=images, config=CsvImport(**options)).info


def cells(folder: Path, column: str, split: str = "train") -> list[Any]:
    return open_dataset(folder).table(split, [column]).column(column).to_pylist()


def states(folder: Path) -> dict[str, list[int]]:
    side = read_label_side(open_dataset(folder))
    return dict(zip(side.image_ids.to_pylist(), side.states["tags"].tolist(), strict=True))


def test_wide(write: Write, tmp_path: Path) -> None:
    out = tmp_path / "out"
    info = imported(write(WIDE, "boats.csv"), out, meta=("site",))
    assert info.name == "boats"
    assert info.tasks["tags"].categories == ("boat", "buoy", "pier")
    assert states(out) == {
        "0.png": [1, 0, -1],
        "1.png": [-1, -1, -1],
        "2.png": [0, -1, 1],
        "3.png": [1, -1, -1],
    }
    # nobody looked at the second image: there is no label, and nobody made it
    assert cells(out, "tags")[1] is None
    assert cells(out, "tags_source") == ["unstated", None, "unstated", "unstated"]
    assert cells(out, "meta_site") == ["north", "north", "south, bay", None]
    assert cells(out, "group") == ["0.png", "1.png", "2.png", "3.png"]
    assert cells(out, "width") == [None] * 4
    assert check_dataset(out) == []
    assert open_dataset(out).without_picture() == 4


@pytest.mark.parametrize(
    ("options", "buoy"),
    [
        ({"uncertain": "present"}, 1),
        ({"uncertain": "absent"}, 0),
        ({"uncertain": "unknown"}, -1),
        ({"values": {"-1": "absent"}, "uncertain": "present"}, 0),
    ],
)
def test_what_is_uncertain_is_what_the_user_says(
    write: Write, tmp_path: Path, options: dict[str, Any], buoy: int
) -> None:
    imported(write(WIDE, "boats.csv"), tmp_path / "out", drop=("site",), **options)
    assert states(tmp_path / "out")["2.png"] == [0, buoy, 1]


@pytest.mark.parametrize("form", ["wide", "long"])
def test_the_summary_counts_what_is_known_and_what_was_uncertain(
    write: Write, tmp_path: Path, form: str
) -> None:
    text = WIDE
    if form == "long":
        rows = [(at, line.split(",")[-3:]) for at, line in enumerate(WIDE.splitlines()[1:])]
        text = "image,category,value\n" + "".join(
            f"{at}.png,{name},{value}\n"
            for at, values in rows
            for name, value in zip(("boat", "buoy", "pier"), values, strict=True)
        )
    config = CsvImport(categories=("pier", "buoy", "boat"), uncertain_of={"pier": "absent"})
    made = import_csv(write(text, "boats.csv"), tmp_path / "out", config=config)
    assert made.tags == (
        TagCounts("pier", 1, 1, 2, 1),
        TagCounts("buoy", 0, 1, 3, 1),
        TagCounts("boat", 2, 1, 1, 0),
    )
    with pytest.raises(InvalidConfig, match="'boot', which the labels do not have"):
        imported(write(text, "boats.csv"), tmp_path / "x", drop=("site",) if form == "wide" else (),
                 uncertain_of={"boot": "absent"})  # fmt: skip


def test_a_value_that_means_nothing_is_named(write: Write, tmp_path: Path) -> None:
    file = write(WIDE, "boats.csv")
    with pytest.raises(InvalidDataset, match=r"column 'site', row 1: 'north'") as caught:
        imported(file, tmp_path / "out")
    assert "--value" in caught.value.remedy
    assert "--meta" in caught.value.remedy
    wrong = write(WIDE.replace("1.0", "2"), "wrong.csv")
    with pytest.raises(InvalidDataset, match=r"column 'pier', row 3: '2'"):
        imported(wrong, tmp_path / "out", drop=("site",))
    assert not (tmp_path / "out").exists()
    imported(wrong, tmp_path / "out", drop=("site",), values={"2": "unknown"})
    assert states(tmp_path / "out")["2.png"] == [0, -1, -1]


def test_rows_are_numbered_through_all_blocks(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from goldseam.dataset.formats import csv_blocks

    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 64)
    rows = [f"{i},{i % 2},{'x' if i == 150 else ''}" for i in range(1, 201)]
    file = write("\n".join(["image,a,b", *rows]), "labels.csv")
    with pytest.raises(InvalidDataset, match=r"column 'b', row 150: 'x'"):
        imported(file, tmp_path / "out")
    imported(file, tmp_path / "out", values={"x": "present"})
    found = states(tmp_path / "out")
    assert [found[str(i)] for i in (1, 2, 150)] == [[1, -1], [0, -1], [0, 1]]


LONG = """image,category,value,annotator,source,site
a,boat,1,Ann,human,n
a,boat,1,Bo,human,n
a,pier,0,Bo,model,n
b,boat,,Ann,robot,s
b,pier,1,Ann,human,s
c,pier,,Cy,human,s
"""


def test_long(write: Write, tmp_path: Path) -> None:
    out = tmp_path / "out"
    info = imported(write(LONG, "entries.csv"), out, meta=("site",))
    assert info.tasks["tags"].categories == ("boat", "pier")
    assert states(out) == {"a": [1, 0], "b": [-1, 1], "c": [-1, -1]}
    assert cells(out, "meta_annotator") == ["Ann+Bo", "Ann", "Cy"]
    # whoever left an entry blank made no label
    assert cells(out, "tags_source") == ["human+model", "human", None]
    assert cells(out, "meta_site") == ["n", "s", "s"]
    assert check_dataset(out) == []


@pytest.mark.parametrize(
    ("votes", "conflicts", "state"),
    [
        ("10", "unknown", -1),
        ("10", "majority", -1),
        ("110", "majority", 1),
        ("100", "majority", 0),
        ("110", "unknown", -1),
        ("1-1", "error", 1),
        ("1 1 ", "error", 1),
    ],
)
def test_annotators_who_disagree(
    write: Write, tmp_path: Path, votes: str, conflicts: str, state: int
) -> None:
    values = ["-1", "1"] if votes == "1-1" else [vote.strip() for vote in votes]
    text = "image,category,value\n" + "".join(f"a,boat,{value}\n" for value in values)
    imported(write(text, "votes.csv"), tmp_path / "out", conflicts=conflicts)
    assert states(tmp_path / "out") == {"a": [state]}


def test_a_dispute_is_an_error_unless_settled(write: Write, tmp_path: Path) -> None:
    text = "image,category,value\na,boat,1\na,pier,0\na,pier,1\n"
    with pytest.raises(InvalidDataset, match="image 'a', category 'pier' is both") as caught:
        imported(write(text, "votes.csv"), tmp_path / "out")
    assert "--conflicts" in caught.value.remedy


def test_metadata_that_contradicts_itself(write: Write, tmp_path: Path) -> None:
    text = "image,category,value,site\na,boat,1,n\na,pier,0,s\n"
    with pytest.raises(InvalidDataset, match=r"column 'site', row 2: 's', but an earlier row"):
        imported(write(text, "votes.csv"), tmp_path / "out", meta=("site",))


def test_splits_and_groups_by_column(write: Write, tmp_path: Path) -> None:
    text = "path,split,group,boat\na,train,g,1\nb,Val,h,0\nc,TEST,i,\nd,training,g,0\n"
    info = imported(write(text, "labels.csv"), tmp_path / "out")
    assert [info.rows(split) for split in info.splits] == [2, 1, 1]
    assert cells(tmp_path / "out", "image_id") == ["a", "d"]
    crossing = write(text.replace("Val,h", "val,g"), "crossing.csv")
    with pytest.raises(InvalidDataset, match="group 'g' is in the splits 'train' and 'validation'"):
        imported(crossing, tmp_path / "x")
    with pytest.raises(InvalidDataset, match=r"row 2: 'vat' is no split"):
        imported(write(text.replace("Val", "vat"), "vat.csv"), tmp_path / "x")
    with pytest.raises(InvalidConfig, match="--fractions would both say"):
        imported(write(text, "labels.csv"), tmp_path / "x", fractions=(0.5, 0.25, 0.25))
    assert not (tmp_path / "x").exists()


def test_a_file_for_each_split(write: Write, tmp_path: Path) -> None:
    train = write("image,boat,pier\na,1,0\n", "train.csv")
    test = write("image,pier,boat\nb,1,\n", "test.csv")
    imported({"train": train, "test": test}, tmp_path / "out")
    assert states(tmp_path / "out") == {"a": [1, 0], "b": [-1, 1]}
    other = write("image,pier,ship\nb,1,\n", "other.csv")
    with pytest.raises(InvalidDataset, match="category 'boat' is not in both"):
        imported({"train": train, "test": other}, tmp_path / "x")
    with pytest.raises(InvalidDataset, match="two images are named 'a'"):
        imported({"train": train, "test": train}, tmp_path / "x")


def test_pictures_by_path_or_by_id(write: Write, photos: Path, tmp_path: Path) -> None:
    imported(write(WIDE, "boats.csv"), tmp_path / "paths", photos, drop=("site",))
    ids = write(WIDE.replace(".png", ""), "ids.csv")
    imported(ids, tmp_path / "ids", photos, drop=("site",), copy_pictures=False)
    assert open_dataset(tmp_path / "paths").without_picture() == 0
    assert cells(tmp_path / "ids", "width") == cells(tmp_path / "paths", "width") == [20] * 4
    assert states(tmp_path / "ids")["0"] == states(tmp_path / "paths")["0.png"]
    for out in ("ids", "paths"):
        assert check_dataset(tmp_path / out) == []
    with pytest.raises(MissingInput, match="is no folder"):
        imported(ids, tmp_path / "x", tmp_path / "nowhere", drop=("site",))


def test_sizes_by_column(write: Write, tmp_path: Path) -> None:
    imported(write("image,width,height,boat\na,4,3,1\nb,,,0\n", "l.csv"), tmp_path / "out")
    assert cells(tmp_path / "out", "width") == [4, None]
    assert check_dataset(tmp_path / "out") == []
    for wrong in ("0", "-2", "4.5", "wide"):
        file = write(f"image,width,height,boat\na,{wrong},3,1\n", "wrong.csv")
        with pytest.raises(InvalidDataset, match="column 'width'"):
            imported(file, tmp_path / "x")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "is empty"),
        ("image,boat\n", {}, "has no row"),
        ("image\na\n", {}, "no column is left"),
        ("name,boat\na,1\n", {}, "no column names the image"),
        ("image,boat\na,1\n", {"image_column": "imag"}, "no column 'imag' .--image-column"),
        ("image,boat\na,1\n", {"meta": ("site",)}, "no column 'site' .--meta"),
        ("image,boat\na,1\n", {"categories": ("boot",)}, "no column 'boot' .--categories"),
        ("image,boat\na,1\n", {"form": "long"}, "no column 'category' .--form long"),
        ("image,boat,boat\na,1,1\n", {}, "two columns are named 'boat'"),
        ("image,boat\na,1\na,0\n", {}, r"image 'a' stands in the rows 1 and 2"),
        ("image,boat\n ,1\n", {}, "name no image"),
        ("image,boat\na,1,0\n", {}, "no CSV"),
        ("image;boat\na;1\n", {}, "no column names the image"),
        ("image,boat\na,1\n", {"task": "image"}, "is no name of a task"),
        ("image,boat\na,1\n", {"encoding": "klingon"}, "no CSV"),
        ("image,category,value\na,boat,1\n", {"categories": ("pier",)}, "none of --categories"),
        ("image,group,boat\na,,1\n", {}, "group is ''"),
    ],
)
def test_bad_input_is_one_error(
    write: Write, tmp_path: Path, text: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(GoldseamError, match=message) as caught:
        imported(write(text, "labels.csv"), tmp_path / "out", **options)
    assert caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes("image,boat\nä,1\n".encode("latin-1"))
    with pytest.raises(InvalidDataset, match="no CSV"):
        imported(tmp_path / "labels.csv", tmp_path / "out")
    imported(tmp_path / "labels.csv", tmp_path / "out", encoding="latin1")
    assert states(tmp_path / "out") == {"ä": [1]}
    (tmp_path / "marked.csv").write_bytes(b"\xef\xbb\xbfimage,boat\na,1\n")
    imported(tmp_path / "marked.csv", tmp_path / "marked")
    assert states(tmp_path / "marked") == {"a": [1]}


def test_what_stands_for_unknown_changes_nothing(write: Write, tmp_path: Path) -> None:
    digests = set()
    for number, unknown in enumerate(("", "nan", "NA", "?", " none ", "-1")):
        text = WIDE.replace(",-1,", f",{unknown},").replace(",nan,", f",{unknown},")
        # the name of the file is part of the digest
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "boats.csv").write_text(text)
        digests.add(imported(folder / "boats.csv", folder / "out", meta=("site",)).digest)
    assert len(digests) == 1


def test_open_source_reads_tables_of_tabs(write: Write, tmp_path: Path) -> None:
    dataset = open_source(write("image\tboat\na\t1\n", "labels.tsv"), into=tmp_path / "out")
    assert read_label_side(dataset).states["tags"].tolist() == [[1]]


def test_many_rows_make_few_row_groups(write: Write, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    state_NC = random.integers(-1, 2, (20_000, 3))
    words = np.array(["0", "1", ""])
    rows = [f"{i}," + ",".join(words[states]) for i, states in enumerate(state_NC)]
    imported(write("\n".join(["image,a,b,c", *rows]), "labels.csv"), tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert len(dataset.info.shards) == 1
    np.testing.assert_array_equal(read_label_side(dataset).states["tags"], state_NC)
