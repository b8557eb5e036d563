"""Findings in the formats of annotation tools, so that annotators can act on them.

`docs/formats.md` says what stands in each.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from goldseam.audit.export.coco import coco_json
from goldseam.audit.export.csv_table import csv_table
from goldseam.audit.export.label_studio import label_studio_tasks
from goldseam.audit.export.pictures import ImageReferences
from goldseam.audit.export.selection import Selection, select_findings
from goldseam.dataset.reading import Dataset
from goldseam.errors import InvalidConfig, closest
from goldseam.storage.atomic import write_bytes

__all__ = ["EXPORTERS", "ImageReferences", "Selection", "export_findings"]

# what an exporter makes: for each ending of a file name, its content
Exporter = Callable[[Selection, ImageReferences], dict[str, bytes]]
EXPORTERS: dict[str, Exporter] = {
    "coco": coco_json,
    "csv": csv_table,
    "label-studio": label_studio_tasks,
}


def export_findings(
    format_: str,
    audit_folder: Path,
    out: Path,
    dataset: Dataset | None = None,
    *,
    issues: Sequence[str] = (),
    tasks: Sequence[str] = (),
    limit: int | None = None,
    image_prefix: str = "",
    embed: bool = False,
) -> Path:
    """Write the findings of an audit for people and programs that mend labels.

    Args:
        format_: `coco`, `csv` or `label-studio`.
        audit_folder: output of `goldseam audit`.
        out: the file to write, which is replaced; Label Studio's labeling configuration is written
            beside it, with the ending `.xml`.
        dataset: the audited dataset; it tells the sizes of images, without which a region has no
            place in COCO and Label Studio. CSV needs none.
        issues: which issues; all by default.
        tasks: which tasks; all by default.
        limit: how many findings, the most suspicious first; all by default.
        image_prefix: put before each image's reference, such as the address that serves it.
        embed: whether pictures stand inside the file (Label Studio), as data URIs.

    Returns:
        `out`.

    Raises:
        MissingInput: the folder holds no findings.
        InvalidConfig: no such format, issue or task; or the dataset is needed and not given.
        InvalidDataset: the dataset lacks an image, or its picture where it is to be embedded.
        StorageFull: the disk filled up; nothing half-written stays.
    """
    if format_ not in EXPORTERS:
        raise InvalidConfig(
            f"findings cannot be written as '{format_}'.",
            remedy=f"Closest: {closest(format_, EXPORTERS)}; there are {', '.join(EXPORTERS)}.",
        )
    chosen = select_findings(audit_folder, issues=issues, tasks=tasks, limit=limit)
    references = ImageReferences(dataset, prefix=image_prefix, embed=embed)
    files = EXPORTERS[format_](chosen, references)
    # the file that was asked for comes last: when it is there, all of it is there
    for ending, content in files.items():
        write_bytes(out.with_suffix(ending) if ending else out, content)
    return out
