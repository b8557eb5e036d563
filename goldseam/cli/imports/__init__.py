"""`goldseam dataset import FORMAT`: labels in another format become a dataset."""

import typer

from goldseam.cli.imports.coco import coco
from goldseam.cli.imports.scenes import cityscapes, nyud, nyuv2, pascal_context
from goldseam.cli.imports.tag_sets import chest_xray14, chexpert, coco_tags, open_images
from goldseam.cli.imports.tags_csv import csv_labels

FILES, TAG_SETS, FOLDERS = "Files of labels", "Published sets of tags", "Published multi-task sets"
app = typer.Typer(help="Make a dataset from labels in another format.", no_args_is_help=True)
app.command(rich_help_panel=FILES)(coco)
app.command("csv", rich_help_panel=FILES)(csv_labels)
app.command("coco-tags", rich_help_panel=FILES)(coco_tags)
app.command("chexpert", rich_help_panel=TAG_SETS)(chexpert)
app.command("chest-xray14", rich_help_panel=TAG_SETS)(chest_xray14)
app.command("open-images", rich_help_panel=TAG_SETS)(open_images)
app.command("nyuv2", rich_help_panel=FOLDERS)(nyuv2)
app.command(rich_help_panel=FOLDERS)(cityscapes)
app.command("nyud", rich_help_panel=FOLDERS)(nyud)
app.command("pascal-context", rich_help_panel=FOLDERS)(pascal_context)
