"""Where pictures stand that an archive spreads over several folders."""

from pathlib import Path

import pyarrow as pa

from goldseam.dataset.formats.csv_blocks import TEXT


def picture_places(images: Path, names: pa.Array) -> pa.Array:
    """Path of each picture below `images`; its bare name where it is not found in any folder.

    Args:
        images: a folder of pictures, or one of folders that hold them.
        names: N names of files.
    """
    if not images.is_dir() or not any(path.is_dir() for path in images.iterdir()):
        return names
    wanted = set(names.to_pylist())
    place_of: dict[str, str] = {}
    for path in sorted(images.rglob("*")):
        if path.name in wanted:
            place_of.setdefault(path.name, path.relative_to(images).as_posix())
    return pa.array([place_of.get(name, name) for name in names.to_pylist()], TEXT)
