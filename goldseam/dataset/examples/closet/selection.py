"""Makes the file of photos that comes with goldseam, and says whose they are.

Run as `python -m goldseam.dataset.examples.closet.selection` on the folders of Fashion-MNIST and of
scikit-image's sample pictures; the result is `photos.npz` and `CREDITS.md` beside this module.
"""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from goldseam.dataset.examples.closet.idx import read_part
from goldseam.dataset.examples.closet.photos import (
    ITEMS_EACH,
    Array,
    Background,
    BackgroundCard,
    Library,
    assemble,
    into_closets,
    write_library,
)
from goldseam.dataset.schema import Split
from goldseam.errors import MissingInput
from goldseam.storage.atomic import write_bytes

BACKGROUND_PX = 160
JPEG_QUALITY = 90
# more closets for the test than for validation: intervals resample closets
CLOSETS: dict[Split, int] = {"train": 30, "validation": 5, "test": 12}

# pictures of scikit-image that are dedicated to the public domain, as its documentation states;
# none shows anything to wear, which would be an item without a label
BACKGROUNDS: dict[str, BackgroundCard] = {
    "brick.png": BackgroundCard(
        "brick", False, "CC0Textures (Bricks25)", "CC0-1.0", "https://cc0textures.com"
    ),
    "chelsea.png": BackgroundCard(
        "cat", False, "Stefan van der Walt", "CC0-1.0", "https://scikit-image.org"
    ),
    "hubble_deep_field.jpg": BackgroundCard(
        "galaxies",
        False,
        "NASA, Hubble eXtreme Deep Field",
        "public domain",
        "http://hubblesite.org",
    ),
    "retina.jpg": BackgroundCard(
        "retina",
        False,
        "Mikael Häggström",
        "CC0-1.0",
        "https://commons.wikimedia.org/wiki/File:Fundus_photograph_of_normal_left_eye.jpg",
    ),
    "rocket.jpg": BackgroundCard(
        "rocket",
        False,
        "SpaceX",
        "public domain",
        "https://www.flickr.com/photos/spacexphotos/16511594820",
    ),
    "clock_motion.png": BackgroundCard(
        "clock", True, "Stefan van der Walt", "public domain", "https://scikit-image.org"
    ),
    "coffee.png": BackgroundCard(
        "coffee",
        True,
        "Rachel Michetti, courtesy of Pikolo Espresso Bar",
        "CC0-1.0",
        "https://scikit-image.org",
    ),
    "grass.png": BackgroundCard(
        "grass",
        False,
        "linolafett",
        "CC0-1.0",
        "https://www.deviantart.com/linolafett/art/Grass-01-434853879",
    ),
    "gravel.png": BackgroundCard(
        "gravel", True, "CC0Textures (Gravel04)", "CC0-1.0", "https://cc0textures.com"
    ),
}

MIT = """\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial
portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def read_background(folder: Path, file: str) -> Background:
    """The middle square of a picture, reduced to `BACKGROUND_PX`.

    Raises:
        MissingInput: the picture cannot be read.
    """
    try:
        with Image.open(folder / file) as picture:
            whole = picture.convert("RGB")
    except OSError as error:
        raise MissingInput(folder / file, f"cannot be read ({error})") from error
    side = min(whole.size)
    left, top = ((length - side) // 2 for length in whole.size)
    small = whole.crop((left, top, left + side, top + side)).resize(
        (BACKGROUND_PX, BACKGROUND_PX), Image.Resampling.BOX
    )
    stream = io.BytesIO()
    small.save(stream, format="JPEG", quality=JPEG_QUALITY)
    return Background(BACKGROUNDS[file], stream.getvalue())


def select(items: Path, pictures: Path) -> Library:
    """The first photos of each category, in the order of the files, and all backgrounds.

    Raises:
        MissingInput: a file is missing, damaged, or has too few photos.
    """
    whole = into_closets(*read_part(items, "train"))
    test = into_closets(*read_part(items, "t10k"))[: CLOSETS["test"]]
    middle, end = CLOSETS["train"], CLOSETS["train"] + CLOSETS["validation"]
    if len(whole) < end or len(test) < CLOSETS["test"]:
        needed = ", ".join(f"{count * ITEMS_EACH} for {split}" for split, count in CLOSETS.items())
        raise MissingInput(items, f"has too few photos of a category: needed are {needed}")
    photos: dict[Split, Array] = {
        "train": whole[:middle],
        "validation": whole[middle:end],
        "test": test,
    }
    return assemble(photos, [read_background(pictures, file) for file in BACKGROUNDS])


def credits_page() -> str:
    """Whose the photos are, as Markdown."""
    counts = ", ".join(f"{count * ITEMS_EACH} for {split}" for split, count in CLOSETS.items())
    lines = [
        "# Photos of the example dataset closet",
        "",
        (
            f"**Items**: of each of 10 categories, {counts}, from Fashion-MNIST "
            "(https://github.com/zalandoresearch/fashion-mnist). Changes: chosen, cut out, scaled "
            "and tinted when scenes are composed. Copyright 2017 Zalando SE, "
            "https://tech.zalando.com. MIT License:"
        ),
        "",
        *(f"> {line}".rstrip() for line in MIT.splitlines()),
        "",
        (
            "**Backgrounds**: sample pictures of scikit-image (https://scikit-image.org), "
            f"dedicated to the public domain. Changes: cropped to a square of {BACKGROUND_PX} px."
        ),
        "",
        "| background | split | creator | license | source |",
        "| --- | --- | --- | --- | --- |",
    ]
    for card in BACKGROUNDS.values():
        split = "test" if card.held_out else "train, validation"
        lines.append(f"| {card.name} | {split} | {card.creator} | {card.license} | {card.source} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the shipped photos and their credits."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("items", type=Path, help="folder of Fashion-MNIST's idx files")
    parser.add_argument("pictures", type=Path, help="folder of scikit-image's sample pictures")
    parser.add_argument("--out", type=Path, required=True, help=".npz file to write")
    parser.add_argument("--credits", type=Path, required=True, help="Markdown file to write")
    given = parser.parse_args(arguments)
    write_bytes(given.out, write_library(select(given.items, given.pictures)))
    write_bytes(given.credits, credits_page().encode())


if __name__ == "__main__":
    main()
