"""The published multi-task sets that papers report on: NYUv2, Cityscapes, NYUD, PASCAL-Context.

`docs/formats.md` says what their files mean and what is unknown in them.
"""

from goldseam.dataset.formats.scenes.importing import (
    import_cityscapes,
    import_nyud,
    import_nyuv2,
    import_pascal_context,
)

__all__ = ["import_cityscapes", "import_nyud", "import_nyuv2", "import_pascal_context"]
