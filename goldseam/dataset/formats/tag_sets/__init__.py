"""Published sets of partially labeled tags: CheXpert, NIH ChestX-ray14, Open Images.

Each module says what present, absent and unknown are in its files.
"""

from goldseam.dataset.formats.tag_sets.chest_xray14 import import_chest_xray14
from goldseam.dataset.formats.tag_sets.chexpert import import_chexpert
from goldseam.dataset.formats.tag_sets.open_images import import_open_images

__all__ = ["import_chest_xray14", "import_chexpert", "import_open_images"]
