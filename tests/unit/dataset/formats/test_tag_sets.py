"""CheXpert, ChestX-ray14 and Open Images keep what nobody knows unknown."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goldseam.audit.label_side import read_label_side
from goldseam.dataset.checking import check_dataset
from goldseam.dataset.codecs import BadCell, decode_label, encode_label, encode_png
from goldseam.dataset.formats import (
    ChestXray14Import,
    ChexpertImport,
    OpenImagesImport,
    csv_blocks,
    import_chest_xray14,
    import_chexpert,
    import_open_images,
)
from goldseam.dataset.formats.tag_sets.chest_xray14 import FINDINGS
from goldseam.dataset.reading import open_dataset
from goldseam.errors import GoldseamError, InvalidConfig, InvalidDataset, MissingInput
from tests.unit.dataset.formats import tag_files

Write = Callable[..., Path]
FRONTAL = "train/patient00002/study2/view1_frontal.jpg"


def cells(folder: Path, column: str, split: str = "train") -> list[Any]:
    return open_dataset(folder).table(split, [column]).column(column).to_pylist()


def states(folder: Path, task: str) -> dict[str, list[int]]:
    side = read_label_side(open_dataset(folder))
    return dict(zip(side.image_ids.to_pylist(), side.states[task].tolist(), strict=True))


def counts(made: Any) -> dict[str, tuple[int, int, int, int]]:
    return {
        one.category: (one.present, one.absent, one.unknown, one.uncertain) for one in made.tags
    }


@pytest.fixture
def chexpert(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "train.csv").write_text(tag_files.CHEXPERT_TRAIN)
    (folder / "valid.csv").write_text(tag_files.CHEXPERT_VALID)
    return folder


def test_chexpert(chexpert: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = import_chexpert(chexpert, out)
    assert made.info.name == "chexpert"
    assert made.info.splits == ("train", "validation")
    found = states(out, "findings")
    #                       none enl car opa les ede con pne ate thx eff oth fra dev
    assert found[FRONTAL] == [-1, -1, -1, 1, -1, -1, -1, -1, -1, -1, -1, -1, 1, -1]
    assert found["train/patient00001/study1/view1_frontal.jpg"][:1] == [1]
    assert found["train/patient00001/study1/view1_frontal.jpg"][9] == 0
    assert cells(out, "findings")[3] is None
    assert cells(out, "findings_source") == ["text-mined"] * 3 + [None]
    assert cells(out, "findings_source", "validation") == ["human"]
    assert cells(out, "group") == [f"patient0000{n}" for n in (1, 2, 2, 3)]
    assert cells(out, "meta_study")[1] == "patient00002/study2"
    assert cells(out, "meta_view") == ["Frontal", "Frontal", "Lateral", "Frontal"]
    assert cells(out, "meta_projection") == ["AP", "PA", None, "AP"]
    assert cells(out, "meta_sex")[3] is None
    assert cells(out, "meta_age") == [68, 87, 87, 0]
    assert counts(made)["Cardiomegaly"] == (1, 0, 4, 2)
    assert counts(made)["Lung Opacity"] == (3, 0, 2, 0)
    assert check_dataset(out) == []


@pytest.mark.parametrize(
    ("options", "cardiomegaly", "edema"),
    [
        ({"uncertain": "unknown"}, -1, -1),
        ({"uncertain": "absent"}, 0, 0),
        ({"uncertain": "present"}, 1, 1),
        ({"uncertain": "absent", "uncertain_of": {"Edema": "present"}}, 0, 1),
    ],
)
def test_chexpert_uncertain(
    chexpert: Path, tmp_path: Path, options: dict[str, Any], cardiomegaly: int, edema: int
) -> None:
    config = ChexpertImport(categories=("Edema", "Cardiomegaly"), **options)
    made = import_chexpert(chexpert / "train.csv", tmp_path / "out", config=config)
    assert states(tmp_path / "out", "findings")[FRONTAL] == [edema, cardiomegaly]
    # however they were taken, the summary says how many the file called uncertain
    assert counts(made)["Edema"][3] == 2
    assert sum(counts(made)["Edema"][:3]) == 4


def test_chexpert_keeps_who_was_unsure_for_those_who_ask(chexpert: Path, tmp_path: Path) -> None:
    config = ChexpertImport(categories=("Edema", "Cardiomegaly"), uncertain="unsure")
    made = import_chexpert(chexpert / "train.csv", tmp_path / "out", config=config)
    assert counts(made)["Edema"][3] == 2
    dataset = open_dataset(tmp_path / "out")
    task = dataset.info.tasks["findings"]
    assert task.unsure
    # nobody who does not ask can take it for known
    assert states(tmp_path / "out", "findings")[FRONTAL] == [-1, -1]
    position = dataset.table("train", ["image_id"]).column("image_id").to_pylist().index(FRONTAL)
    cell = cells(tmp_path / "out", "findings")[position]
    assert cell == {"present": [], "absent": [], "unsure": [0, 1]}
    assert decode_label(task, cell, unsure=True).tolist() == [-2, -2]
    assert encode_label(task, np.array([-2, 1])) == {"present": [1], "absent": [], "unsure": [0]}
    cell["absent"] = [1]
    with pytest.raises(BadCell, match="both absent and unsure"):
        decode_label(task, cell)
    # an import that settles it has the two lists that it always had
    config = ChexpertImport(categories=("Edema", "Cardiomegaly"))
    import_chexpert(chexpert / "train.csv", tmp_path / "settled", config=config)
    assert cells(tmp_path / "settled", "findings")[position] is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",1.0,,,,,,,,,0.0", ",1.0,,,,,,,,,2", r"column 'Pneumothorax', row 1: '2'"),
        ("train/patient00003", "train/p3", r"column 'Path', row 4: 'CheXpert-v1.0-small/train/p3"),
        ("Lung Lesion", "Lung Leson", r"no column 'Lung Lesion'"),
        ("view2_lateral", "view1_frontal", r"stands in the rows 2 and 3"),
    ],
)
def test_chexpert_names_what_is_wrong(
    chexpert: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    file = chexpert / "train.csv"
    file.write_text(tag_files.CHEXPERT_TRAIN.replace(old, new))
    with pytest.raises(InvalidDataset, match=message):
        import_chexpert(chexpert, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_chexpert_a_patient_stays_in_one_split(chexpert: Path, tmp_path: Path) -> None:
    text = tag_files.CHEXPERT_VALID.replace("patient64541", "patient00001")
    (chexpert / "valid.csv").write_text(text)
    with pytest.raises(InvalidDataset, match="group 'patient00001' is in the splits"):
        import_chexpert(chexpert, tmp_path / "out")
    with pytest.raises(InvalidConfig, match="no finding 'Edem'"):
        import_chexpert(chexpert, tmp_path / "x", config=ChexpertImport(categories=("Edem",)))
    config = ChexpertImport(uncertain_of={"Edem": "present"})
    with pytest.raises(InvalidConfig, match="'Edem'"):
        import_chexpert(chexpert, tmp_path / "x", config=config)
    with pytest.raises(MissingInput, match=r"holds none of train\.csv"):
        import_chexpert(tmp_path, tmp_path / "x")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("release", ["", "CheXpert-v1.0-small"])
def test_chexpert_pictures_with_or_without_the_folder_of_the_release(
    write: Write, tmp_path: Path, release: str
) -> None:
    text = "\n".join(tag_files.CHEXPERT_TRAIN.splitlines()[:2])
    folder = tmp_path / "images" / release / "train/patient00001/study1"
    folder.mkdir(parents=True)
    (folder / "view1_frontal.jpg").write_bytes(encode_png(np.zeros((3, 4), np.uint8)))
    import_chexpert(write(text, "train.csv"), tmp_path / "out", images=tmp_path / "images")
    assert cells(tmp_path / "out", "width") == [4]
    assert cells(tmp_path / "out", "image_id") == ["train/patient00001/study1/view1_frontal.jpg"]


@pytest.mark.parametrize("kind", [ChexpertImport, ChestXray14Import])
def test_a_patient_is_the_group_whatever_is_asked(kind: Any) -> None:
    with pytest.raises(ValueError, match="the file names the patient"):
        kind(group_pattern="^(.*)$")


def nih(folder: Path, text: str = tag_files.NIH, **lists: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "Data_Entry_2017.csv").write_text(text)
    for name, content in lists.items():
        (folder / f"{name}_list.txt").write_text(content)
    return folder


@pytest.mark.parametrize("text", [tag_files.NIH, tag_files.NIH_V2020, tag_files.NIH_QUOTED])
def test_chest_xray14(tmp_path: Path, text: str) -> None:
    out = tmp_path / "out"
    made = import_chest_xray14(nih(tmp_path / "nih", text), out)
    assert made.info.tasks["findings"].categories == FINDINGS
    shown = [{FINDINGS[at] for at in np.flatnonzero(np.array(row) == 1)} for row in
             states(out, "findings").values()]  # fmt: skip
    assert shown == [
        {"Cardiomegaly"},
        {"Cardiomegaly", "Emphysema"},
        set(),
        {"Pleural_Thickening", "Hernia"},
        set(),
    ]
    # of the last image nobody says anything, and `No Finding` is something
    assert cells(out, "findings_source") == ["text-mined"] * 4 + [None]
    assert counts(made)["Cardiomegaly"] == (2, 2, 1, 0)
    assert cells(out, "group") == ["1", "1", "2", "3", "4"]
    assert cells(out, "meta_age") == [58, 58, 81, 1, 0]
    assert cells(out, "meta_original_height") == [2749, 2729, 2048, 2991, 2991]
    assert cells(out, "meta_pixel_spacing_y") == [0.143, 0.143, 0.171, 0.143, 0.143]
    assert cells(out, "width") == [None] * 5
    assert check_dataset(out) == []


@pytest.mark.parametrize(
    ("unlisted", "expected"),
    [
        ("absent", [[1, 0], [1, 0], [0, 0], [0, 1], [-1, -1]]),
        ("unknown", [[1, -1], [1, -1], [-1, -1], [-1, 1], [-1, -1]]),
        ("absent_without_findings", [[1, -1], [1, -1], [0, 0], [-1, 1], [-1, -1]]),
    ],
)
def test_chest_xray14_what_is_not_listed(
    tmp_path: Path, unlisted: Any, expected: list[list[int]]
) -> None:
    config = ChestXray14Import(categories=("Cardiomegaly", "Hernia"), unlisted=unlisted)
    import_chest_xray14(nih(tmp_path / "nih"), tmp_path / "out", config=config)
    assert list(states(tmp_path / "out", "findings").values()) == expected


def test_chest_xray14_published_splits(tmp_path: Path) -> None:
    training = "00000001_000.png\n00000001_001.png\n00000002_000.png\n00000009_000.png\n"
    test = "00000003_000.png\n00000004_000.png"
    folder = nih(tmp_path / "nih", train_val=training, test=test)
    config = ChestXray14Import(validation=0)
    made = import_chest_xray14(folder, tmp_path / "out", config=config)
    assert cells(tmp_path / "out", "group", "test") == ["3", "4"]
    assert cells(tmp_path / "out", "group") == ["1", "1", "2"]
    assert made.notes == ("images of the published lists that the table does not have: 1",)
    halved = import_chest_xray14(
        folder, tmp_path / "halved", config=ChestXray14Import(validation=0.5)
    ).info
    assert halved.rows("test") == 2
    assert halved.rows("validation") in (1, 2)
    # whoever deals out by himself does without the lists
    config = ChestXray14Import(fractions=(1, 0, 0))
    assert import_chest_xray14(folder, tmp_path / "dealt", config=config).info.rows("train") == 5
    nih(folder, test=test + "\n00000002_000.png")
    with pytest.raises(InvalidDataset, match=r"row 3: image '00000002_000.png' is in both"):
        import_chest_xray14(folder, tmp_path / "x")
    nih(folder, test="00000003_000.png")
    with pytest.raises(InvalidDataset, match=r"row 5: image '00000004_000.png' is in neither"):
        import_chest_xray14(folder, tmp_path / "x")
    (folder / "test_list.txt").unlink()
    with pytest.raises(MissingInput, match=r"test_list\.txt: is not there, but the other"):
        import_chest_xray14(folder, tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("|Emphysema", "|Emphisema", r"'Finding Labels', row 2: 'Emphisema' is no finding"),
        ("|Emphysema", "|No Finding", r"row 2: .* lists No Finding beside a finding"),
        ("|Emphysema", "|", r"row 2: '' is no finding"),
        ("013M", "13W", r"column 'Patient Age', row 4: '13W'"),
        (",0,4,", ",0,,", r"column 'Patient ID', row 5: blank"),
        ("00000001_001", "00000001_000", r"stands in the rows 1 and 2"),
        ("Finding Labels", "Labels", r"no column 'Finding Labels'"),
        ("0.171,0.171,", "0.171,0.171", "no CSV"),
    ],
)
def test_chest_xray14_names_what_is_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = nih(tmp_path / "nih", tag_files.NIH.replace(old, new))
    with pytest.raises(InvalidDataset, match=message):
        import_chest_xray14(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_chest_xray14_pictures_in_the_folders_of_the_archive(tmp_path: Path) -> None:
    lines = tag_files.NIH.splitlines()
    table = tmp_path / "entries.csv"
    table.write_text("\n".join([lines[0], lines[1], lines[3]]))
    for number, name in ((1, "00000001_000.png"), (2, "00000002_000.png")):
        folder = tmp_path / "archive" / f"images_00{number}" / "images"
        folder.mkdir(parents=True)
        (folder / name).write_bytes(encode_png(np.zeros((number, 4), np.uint8)))
    import_chest_xray14(table, tmp_path / "out", images=tmp_path / "archive")
    assert cells(tmp_path / "out", "height") == [1, 2]
    (folder / "00000002_000.png").unlink()
    with pytest.raises(MissingInput, match=r"00000002_000\.png"):
        import_chest_xray14(table, tmp_path / "x", images=tmp_path / "archive")


@pytest.fixture
def open_images(tmp_path: Path) -> Path:
    folder = tmp_path / "openimages"
    folder.mkdir()
    (folder / "train-annotations-human-imagelabels.csv").write_text(tag_files.OPEN_IMAGES)
    (folder / "class-descriptions.csv").write_text(tag_files.DESCRIPTIONS)
    return folder


def test_open_images(open_images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = import_open_images(open_images, out)
    names = ("Dog, breed", "Person", "Dog", "Bow (/m/06mf6)", "Bow (/m/0170s4)")
    assert made.info.tasks["tags"].categories == names
    assert states(out, "tags") == {
        "000002b66c9c498e": [-1, 1, 0, -1, -1],
        "000002b97e5471a0": [-1, -1, 1, -1, -1],
        "000002c707c9895e": [-1] * 5,
    }
    assert cells(out, "tags_source") == [
        "crowdsource-verification+verification", "verification", None
    ]  # fmt: skip
    assert made.notes == ("rows of a machine, which nobody verified: 2",)
    assert counts(made)["Dog"] == (1, 1, 1, 0)
    assert check_dataset(out) == []


def test_images_whose_picture_is_not_there_are_left_out_on_request(
    open_images: Path, tmp_path: Path
) -> None:
    photos, options = tmp_path / "photos", OpenImagesImport(skip_missing=True)
    photos.mkdir()
    with pytest.raises(InvalidDataset, match="none of the 3 pictures"):
        import_open_images(open_images, tmp_path / "out", images=photos, config=options)
    (photos / "000002b97e5471a0.jpg").write_bytes(encode_png(np.zeros((3, 4), np.uint8)))
    with pytest.raises(MissingInput, match=r"000002b66c9c498e.*\n.*--skip-missing"):
        import_open_images(open_images, tmp_path / "out", images=photos)
    made = import_open_images(open_images, tmp_path / "out", images=photos, config=options)
    assert states(tmp_path / "out", "tags") == {"000002b97e5471a0": [-1, -1, 1, -1, -1]}
    assert made.skipped == {"an image whose picture is not there": 2}
    assert counts(made)["Dog"] == (1, 0, 0, 0)
    assert check_dataset(tmp_path / "out") == []


def test_open_images_blocks_and_splits_change_nothing(
    open_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = import_open_images(open_images, tmp_path / "whole").info
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 96)
    assert import_open_images(open_images, tmp_path / "blocks").info.digest == whole.digest
    header, first, second, *rest = tag_files.OPEN_IMAGES.splitlines()
    (open_images / "train-annotations-human-imagelabels.csv").write_text("\n".join([header, *rest]))
    validation = open_images / "validation-annotations-human-imagelabels.csv"
    validation.write_text(f"{header}\n{second}\n{first}\n")
    import_open_images(open_images, tmp_path / "split")
    assert states(tmp_path / "split", "tags") == states(tmp_path / "whole", "tags")
    assert cells(tmp_path / "split", "image_id", "validation") == ["000002b66c9c498e"]
    validation.write_text("\n".join([header, second, *rest]))
    with pytest.raises(InvalidDataset, match="two images are named '000002b97e5471a0'"):
        import_open_images(open_images, tmp_path / "x")


def test_open_images_what_a_machine_says_changes_nothing(open_images: Path, tmp_path: Path) -> None:
    file = open_images / "train-annotations-human-imagelabels.csv"
    digests = set()
    for score in ("0.9", "0.1", "1", "0", "high"):
        file.write_text(tag_files.OPEN_IMAGES.replace("0.9", score))
        digests.add(import_open_images(open_images, tmp_path / score).info.digest)
    assert len(digests) == 1


def test_open_images_wanted_classes(open_images: Path, write: Write, tmp_path: Path) -> None:
    wanted = write("/m/0bt9lr\n/m/01g317\n", "classes-trainable.txt")
    made = import_open_images(open_images, tmp_path / "out", classes=wanted)
    assert made.info.tasks["tags"].categories == ("Dog", "Person")
    assert made.skipped == {"a category that is not wanted": 1}
    assert states(tmp_path / "out", "tags")["000002b66c9c498e"] == [0, 1]
    file = open_images / "train-annotations-human-imagelabels.csv"
    # without descriptions, a category is called by its code
    info = import_open_images(file, tmp_path / "codes").info
    assert info.tasks["tags"].categories == ("/m/01g317", "/m/0bt9lr", "/m/0kpmf")
    assert states(tmp_path / "codes", "tags")["000002b66c9c498e"] == [1, 0, -1]
    info = import_open_images(file, tmp_path / "wanted", classes=wanted).info
    assert info.tasks["tags"].categories == ("/m/0bt9lr", "/m/01g317")
    with pytest.raises(InvalidDataset, match="line 2: '/m/nothing' is not described"):
        import_open_images(
            open_images, tmp_path / "x", classes=write("/m/0bt9lr\n/m/nothing\n", "w.txt")
        )


@pytest.mark.parametrize(
    ("rows", "conflicts", "state"),
    [
        ("10", "unknown", -1),
        ("110", "unknown", -1),
        ("110", "majority", 1),
        ("10", "majority", -1),
        ("11", "error", 1),
    ],
)
def test_open_images_disputed(
    write: Write, tmp_path: Path, rows: str, conflicts: Any, state: int
) -> None:
    text = "ImageID,Source,LabelName,Confidence\nb,verification,/m/1,1\n" + "".join(
        f"a,verification,/m/1,{row}.0\n" for row in rows
    )
    config = OpenImagesImport(conflicts=conflicts)
    import_open_images(write(text, "labels.csv"), tmp_path / "out", config=config)
    assert states(tmp_path / "out", "tags") == {"b": [1], "a": [state]}
    assert cells(tmp_path / "out", "tags_source")[1:] == ["verification" if state >= 0 else None]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("/m/01g317,1\n", "/m/01g317,0.5\n", r"column 'Confidence', row 1: '0.5'"),
        ("/m/01g317,1\n", "/m/none,1\n", r"column 'LabelName', row 1: '/m/none'"),
        ("000002c707c9895e", "", r"column 'ImageID', row 5: blank"),
        ("Confidence", "Score", r"no column 'Confidence'"),
        ("000002b97e5471a0,verification,/m/0bt9lr,1", "000002b66c9c498e,verification,/m/0bt9lr,1",
         r"image '000002b66c9c498e', category 'Dog' is both present and absent"),
    ],
)  # fmt: skip
def test_open_images_names_what_is_wrong(
    open_images: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    file = open_images / "train-annotations-human-imagelabels.csv"
    file.write_text(tag_files.OPEN_IMAGES.replace(old, new))
    with pytest.raises(GoldseamError, match=message):
        import_open_images(
            open_images, tmp_path / "out", config=OpenImagesImport(conflicts="error")
        )
    assert not (tmp_path / "out").exists()


def test_open_images_boxes(write: Write, photos: Path, tmp_path: Path) -> None:
    rows = "".join(
        f"{n},verification,/m/0bt9lr,1\n{n},verification,/m/01g317,1\n" for n in range(3)
    )
    labels = write("ImageID,Source,LabelName,Confidence\n" + rows, "labels.csv")
    boxes = write(tag_files.BOXES, "boxes.csv")
    described = write(tag_files.DESCRIPTIONS, "class-descriptions.csv")
    made = import_open_images(
        labels, tmp_path / "out", images=photos, descriptions=described, boxes=boxes
    )
    task = made.info.tasks["objects"]
    assert (task.categories, task.exhaustive) == (("Person", "Dog"), False)
    first, second, third = cells(tmp_path / "out", "objects")
    corners = [{key: round(box[key], 4) for key in box} for box in second]
    assert corners == [
        {"category": 1, "xmin": 5, "ymin": 1, "xmax": 10, "ymax": 9, "ignore": False},
        {"category": 0, "xmin": 0, "ymin": 5, "xmax": 5, "ymax": 10, "ignore": False},
    ]
    assert [box["ignore"] for box in first] == [True]
    assert third is None
    assert cells(tmp_path / "out", "objects_source") == ["human", "human", None]
    assert check_dataset(tmp_path / "out") == []
    with pytest.raises(InvalidConfig, match="need the pictures"):
        import_open_images(labels, tmp_path / "x", boxes=boxes)
    for old, new, message in (
        ("0.25,0.5,0.1", "0.25,1.5,0.1", r"row 1: a box outside its image .XMin 0.25"),
        ("0.25,0.5,0.1", "0.5,0.5,0.1", "row 1: a box without area"),
        ("\n0,xclick", "\n9,xclick", "row 2: a box of an image without labels"),
    ):
        faulty = write(tag_files.BOXES.replace(old, new), "faulty.csv")
        with pytest.raises(InvalidDataset, match=message):
            import_open_images(labels, tmp_path / "x", images=photos, boxes=faulty)
        made = import_open_images(
            labels,
            tmp_path / "mended",
            images=photos,
            boxes=faulty,
            config=OpenImagesImport(skip_faulty=True),
            replace=True,
        )
        assert sum(made.skipped.values()) == 1
    assert not (tmp_path / "x").exists()
