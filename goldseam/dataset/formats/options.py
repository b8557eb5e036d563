"""Options of the importers: what a file of labels cannot say about itself."""

from typing import Annotated, Literal

import pydantic

from goldseam.artifacts import StageConfig
from goldseam.dataset.schema import Split

State = Literal["present", "absent", "unknown", "unsure"]
Meaning = Literal["present", "absent", "unknown", "uncertain"]
Fraction = Annotated[float, pydantic.Field(ge=0, le=1)]


class DescribedImport(StageConfig):
    """What every importer asks.

    Attributes:
        name: of the dataset; empty takes the name of the file or published set.
        version: of the dataset; empty takes what the file says, else "1".
        license: of the dataset; empty takes what the file says.
        seed: of the dealing into splits.
        group_pattern: regular expression that is searched in each image's id; its first group, or
            all of it where it has none, names the group. Empty makes each image its own group.
    """

    name: str = ""
    version: str = ""
    license: str = ""
    seed: int = 0
    group_pattern: str = ""


class ImportConfig(DescribedImport):
    """What every importer of a file of labels asks.

    Attributes:
        source: who made the labels: `human`, `map`, `model`, `generated` or a word of your own.
        task: name of the task, which is also the name of its column.
        split: of all images, where neither `fractions` nor the source says another.
        fractions: shares of train, validation and test by which the groups of one file are dealt
            out; empty puts all images into `split`.
        copy_pictures: whether pictures are stored in the dataset; otherwise only their path is.
        skip_missing: whether images whose picture is not there are counted and left out instead of
            refused.
    """

    source: str = "unstated"
    task: str = "labels"
    split: Split = "train"
    fractions: tuple[Fraction, ...] = ()
    copy_pictures: bool = True
    skip_missing: bool = False

    @pydantic.field_validator("fractions")
    @classmethod
    def _whole(cls, fractions: tuple[float, ...]) -> tuple[float, ...]:
        if fractions and (len(fractions) != 3 or abs(sum(fractions) - 1) > 1e-6):
            raise ValueError("three shares that add up to 1: train, validation, test")
        return fractions

    @pydantic.field_validator("source")
    @classmethod
    def _named(cls, source: str) -> str:
        if not source.strip():
            raise ValueError("a source has a name")
        return source


class CocoFileImport(ImportConfig):
    """What every importer of COCO json asks.

    Attributes:
        image_id: what identifies an image; the forms with `split/` tell apart files of several
            splits that count from 1 each.
        unlabeled_is_unknown: whether an image without annotations is unlabeled; else somebody
            looked and found nothing.
        skip_faulty: whether faulty annotations are counted and left out instead of refused. What
            a faulty box may have shown is unknown from then on, never absent.
        group_field: field of an image record that names its group, such as `video_id`.
        meta: fields of an image record that become `meta_*` columns, such as `date_captured`.
    """

    image_id: Literal["file_name", "id", "split/file_name", "split/id"] = "file_name"
    unlabeled_is_unknown: bool = False
    skip_faulty: bool = False
    group_field: str = ""
    meta: tuple[str, ...] = ()


class CocoImport(CocoFileImport):
    """Options of `import_coco`.

    Attributes:
        task: name of the boxes' task; masks are `TASK_mask`, tags of a federated file
            `TASK_present`.
        masks: whether segmentations become a semantic mask.
    """

    task: str = "objects"
    masks: bool = False


class CocoTagsImport(CocoFileImport):
    """Options of `import_coco_tags`.

    Attributes:
        task: name of the task, which is also the name of its column.
        exhaustive: categories that are absent from an image on which somebody looked and which no
            annotation shows; empty takes all, which is what COCO promises.
        crowds: what a category is on an image that shows it in a crowd (`iscrowd`) only.
    """

    task: str = "tags"
    exhaustive: tuple[str, ...] = ()
    crowds: Literal["present", "unknown"] = "present"


class CsvImport(ImportConfig):
    """Options of `import_csv`.

    Attributes:
        form: `wide` has a row an image and a column a category; `long` a row an entry, with the
            columns `category` and `value`; `auto` is long where both of these columns are there.
        delimiter: one character.
        encoding: of the file.
        image_column: which column names the image; empty takes `image`, `image_id`, `path`,
            `file_name` or `filename`, whichever is there.
        categories: columns (wide) or names (long) in the order of their ids; empty takes all the
            columns that mean nothing else, or all names in alphabetical order.
        drop: columns that are left out.
        meta: columns that become `meta_*`.
        group_column: empty takes `group` where it is there.
        split_column: empty takes `split` where it is there.
        source_column: who made the labels of a row; empty takes `source` where it is there.
        annotator_column: kept as `meta_annotator`; empty takes `annotator` where it is there.
        values: texts and what they mean, beside and before those that are known
            (`tag_values.MEANINGS`).
        uncertain: what an uncertain entry (-1, `u`) is taken for.
        uncertain_of: category → the same, where it is not `uncertain`.
        conflicts: what becomes of a category that is both present and absent on one image in the
            long form; `majority` leaves a tie unknown.
    """

    task: str = "tags"
    form: Literal["auto", "wide", "long"] = "auto"
    delimiter: Annotated[str, pydantic.Field(min_length=1, max_length=1)] = ","
    encoding: str = "utf8"
    image_column: str = ""
    categories: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    meta: tuple[str, ...] = ()
    group_column: str = ""
    split_column: str = ""
    source_column: str = ""
    annotator_column: str = ""
    values: dict[str, Meaning] = {}
    uncertain: State = "unknown"
    uncertain_of: dict[str, State] = {}
    conflicts: Literal["error", "unknown", "majority"] = "error"


class PatientImport(ImportConfig):
    """What every importer asks whose files name patients: a patient is a group."""

    @pydantic.field_validator("group_pattern")
    @classmethod
    def _named_by_the_file(cls, pattern: str) -> str:
        if pattern:
            raise ValueError("the file names the patient, who is the group; leave it empty")
        return pattern


class ChexpertImport(PatientImport):
    """Options of `import_chexpert`.

    Attributes:
        name: of the dataset.
        task: name of the task, which is also the name of its column.
        source: who made the labels of the part `train`: the authors' program, from reports. Those
            of `valid` and `test` were read by radiologists: `human`.
        categories: findings in the order of their ids; empty takes all 14.
        uncertain: what an uncertain entry (-1.0) is taken for; `absent` and `present` are the
            published policies U-Zeros and U-Ones. `unsure` keeps it for the training to decide, see
            `loss.tags.uncertain`; to all else it is unknown.
        uncertain_of: finding → the same, where it is not `uncertain`.
    """

    name: str = "chexpert"
    task: str = "findings"
    source: str = "text-mined"
    categories: tuple[str, ...] = ()
    uncertain: State = "unknown"
    uncertain_of: dict[str, State] = {}


class ChestXray14Import(PatientImport):
    """Options of `import_chest_xray14`.

    Attributes:
        name: of the dataset.
        task: name of the task, which is also the name of its column.
        source: who made the labels: the authors' program, from reports.
        categories: findings in the order of their ids; empty takes all 14.
        unlisted: what a finding is that the row of an image does not list. `absent`: the report
            did not mention it, which is how the set is mostly used; `unknown`: nobody said so, and
            `No Finding` says nothing either; `absent_without_findings`: absent only where the row
            says `No Finding`.
        validation: share of the images of `train_val_list.txt` that becomes the split
            `validation`, dealt out by patient.
    """

    name: str = "chest_xray14"
    task: str = "findings"
    source: str = "text-mined"
    categories: tuple[str, ...] = ()
    unlisted: Literal["absent", "unknown", "absent_without_findings"] = "absent"
    validation: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.1


class OpenImagesImport(ImportConfig):
    """Options of `import_open_images`.

    Attributes:
        name: of the dataset.
        task: name of the task, which is also the name of its column.
        source: who made the labels, where a file has no column `Source`, and the boxes.
        conflicts: what becomes of a label that was verified as present and as absent on one image;
            `majority` leaves a tie unknown.
        boxes_task: name of the boxes' task.
        skip_faulty: whether faulty boxes are counted and left out instead of refused; no category
            is absent by not being boxed.
    """

    name: str = "open_images"
    task: str = "tags"
    source: str = "human"
    conflicts: Literal["error", "unknown", "majority"] = "unknown"
    boxes_task: str = "objects"
    skip_faulty: bool = False


class SceneImport(DescribedImport):
    """What the importers of published multi-task sets ask.

    Attributes:
        tasks: those that are imported; empty takes all.
        validation: share of the published training part that becomes the split `validation`; the
            published validation part becomes `test`.
        skip_faulty: whether faulty files are counted and left out instead of refused; what they
            would have said is unknown.
    """

    tasks: tuple[str, ...] = ()
    validation: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.1
    skip_faulty: bool = False


class NyuImport(SceneImport):
    """Options of `import_nyuv2` and `import_nyud`.

    Attributes:
        axes: which stored component of a normal points right, up and towards the viewer, such as
            `x,-y,-z`; `auto` measures it against depth.
        field_of_view: angle that the image's width spans, degrees; 0 takes the Kinect's.
    """

    axes: str = "auto"
    field_of_view: Annotated[float, pydantic.Field(ge=0, lt=180)] = 0.0


class CityscapesImport(SceneImport):
    """Options of `import_cityscapes`.

    Attributes:
        classes: which of the published maps is read, `label_7` or `label_19`.
    """

    classes: Literal["7", "19"] = "7"


class PascalImport(SceneImport):
    """Options of `import_pascal_context`.

    Attributes:
        normal_classes: ids of the 459-class map on which the distilled normals are kept; the
            network that made them knew indoor scenes only. Empty keeps them everywhere.
    """

    normal_classes: tuple[int, ...] = ()
