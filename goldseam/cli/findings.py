"""`goldseam findings`: what an audit found, for the tools in which labels are mended."""

from pathlib import Path
from typing import Annotated

import typer


def findings(
    audit_folder: Annotated[Path, typer.Argument(metavar="DIR", help="Output of an audit.")],
    out: Annotated[Path, typer.Option(help="File to write; it is replaced.")],
    format_: Annotated[str, typer.Option("--format", help="csv, coco or label-studio.")] = "csv",
    dataset: Annotated[
        Path | None, typer.Option(help="The audited dataset; csv needs none.")
    ] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only of this task; repeatable.")] = None,
    issue: Annotated[list[str] | None, typer.Option(help="Only this issue; repeatable.")] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="So many, the most suspicious first.")
    ] = None,
    image_prefix: Annotated[
        str, typer.Option(help="Put before the name of each image, such as http://host/photos/.")
    ] = "",
    embed: Annotated[
        bool, typer.Option("--embed", help="Put the pictures into the file (label-studio).")
    ] = False,
) -> None:
    """Write the findings of an audit for people and programs that mend labels."""
    from goldseam.audit.export import export_findings
    from goldseam.dataset.reading import open_dataset

    written = export_findings(
        format_,
        audit_folder,
        out,
        None if dataset is None else open_dataset(dataset, verify=False),
        issues=issue or (),
        tasks=task or (),
        limit=top,
        image_prefix=image_prefix,
        embed=embed,
    )
    typer.echo(f"wrote {written}")
    if format_ == "label-studio":
        typer.echo(f"labeling configuration {written.with_suffix('.xml')}")
