"""A small COCO file that a test may break, and pictures beside it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goldseam.dataset.codecs import encode_png

WIDTH, HEIGHT = 20, 10


def coco_body() -> dict[str, Any]:
    """Four images; the boats of the first are boxed, the last two have no annotation."""
    return {
        "info": {"description": "boats on a lake", "version": "2.1", "url": "https://boats.test"},
        "licenses": [{"id": 1, "name": "CC-BY-4.0"}],
        "images": [
            {"id": i + 10, "file_name": f"{i}.png", "width": 20, "height": 10, "lake": lake}
            for i, lake in enumerate(("l0", "l0", "l1", "l1"))
        ],
        "categories": [{"id": 7, "name": "boat"}, {"id": 3, "name": "buoy"}],
        "annotations": [
            {"id": 1, "image_id": 10, "category_id": 7, "bbox": [1, 2, 3, 4]},
            {"id": 2, "image_id": 10, "category_id": 3, "bbox": [15, -2, 30, 6], "iscrowd": 1},
            {"id": 3, "image_id": 11, "category_id": 3, "bbox": [15.5, 2, 3, 4.25]},
        ],
    }  # fmt: skip


@pytest.fixture
def body() -> dict[str, Any]:
    return coco_body()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a value as json, or text as it is."""

    def to_file(content: Any, name: str = "labels.json") -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return to_file


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(4):
        pixels = random.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        (folder / f"{number}.png").write_bytes(encode_png(pixels))
    return folder
