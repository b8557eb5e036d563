"""`goldseam dataset import FORMAT`: labels in another format become a dataset."""

import typer

from goldseam.cli.imports.coco import coco
from goldseam.cli.imports.scenes import cityscapes, nyud, nyuv2, pascal_context
from goldseam.cli.imports.tags_csv import csv_labels

FILES, FOLDERS = "Files of labels", "Published multi-task sets"
app = typer.Typer(help="Make a dataset from labels in another format.", no_args_is_help=True)
app.command(rich_help_panel=FILES)(coco)
app.command("csv", rich_help_panel=FILES)(csv_labels)
app.command("nyuv2", rich_help_panel=FOLDERS)(nyuv2)
app.command(rich_help_panel=FOLDERS)(cityscapes)
app.command("nyud", rich_help_panel=FOLDERS)(nyud)
app.command("pascal-context", rich_help_panel=FOLDERS)(pascal_context)
