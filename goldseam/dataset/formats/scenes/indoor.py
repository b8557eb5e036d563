"""What both published forms of NYU Depth v2 share: the Kinect's depth, and normals made from it."""

from collections.abc import Iterator

from goldseam.dataset.codecs import Array
from goldseam.dataset.formats.options import NyuImport
from goldseam.dataset.formats.scenes.camera import AXES, AxisOrder, measure_axes
from goldseam.dataset.formats.scenes.layout import Layout, Unknown
from goldseam.dataset.schema import Derivation, Kind, Task
from goldseam.errors import GoldseamError

SEGMENTATION, DEPTH, NORMALS, BOUNDARY = "segmentation", "depth", "normals", "boundary"
# steps of a quarter of a millimeter up to 16.4 m; the sensor's own steps are ten times that
DEPTH_STEP = 1 / 4000
LARGEST_DEPTH = 65534 * DEPTH_STEP
IMAGES_MEASURED = 16
NOT_MEASURED = "as published; not measured"


def depth_task() -> Task:
    """Depth in m; the code 1 is 0 m, so that the smallest depth is not taken for none."""
    return Task(
        kind=Kind.REGRESSION,
        unit="m",
        scale=DEPTH_STEP,
        offset=-DEPTH_STEP,
        description="along the viewing axis, of a Kinect",
    )


class KinectNormals:
    """Turns stored normals into camera axes, once it is known which component points where.

    Attributes:
        angle: that the image's width spans, degrees.
        order: of the stored components; None until it is stated or measured.
        note: one sentence on how the order is known.
    """

    def __init__(self, config: NyuImport, angle: float) -> None:
        self.angle = config.field_of_view or angle
        self.order = None if config.axes == "auto" else AxisOrder.parse(config.axes)
        self.note = f"normals: the axes are {self.order}, as stated" if self.order else ""

    def task(self) -> Task:
        """The task of the normals as they will be written."""
        return Task(kind=Kind.NORMALS, axes=AXES if self.order else NOT_MEASURED)

    def turned(self, stored_3HW: Array | Unknown) -> Array | Unknown:
        """Stored normals in camera axes, where these are known."""
        if isinstance(stored_3HW, Unknown) or self.order is None:
            return stored_3HW
        return self.order.apply(stored_3HW)

    def derivations(self) -> tuple[Derivation, ...]:
        """That depth gives normals; only where both stand in the same axes."""
        if self.order is None:
            return ()
        return (
            Derivation(
                source=DEPTH,
                target=NORMALS,
                rule="normals_from_depth",
                field_of_view=round(self.angle, 3),
            ),
        )

    def measure(self, layout: Layout) -> None:
        """Measure the order on images of `val`, where every protocol leaves all labels known.

        Which component points where is a fact about the files; no model is chosen by it.
        """
        if self.order is not None:
            return
        found = measure_axes(_pairs(layout), self.angle)
        if found is None:
            self.note = (
                "normals: the axes could not be measured against depth, so depth labels give no "
                "normals; state them with --axes"
            )
            return
        self.order, cosine = found
        self.note = (
            f"normals: measured against depth on images of val, the stored components are "
            f"{self.order} (right, up, towards the viewer); mean cosine {cosine:.2f}"
        )


def _pairs(layout: Layout) -> Iterator[tuple[Array, Array]]:
    scenes = layout.scenes("val")
    step = max(1, len(scenes) // IMAGES_MEASURED)
    for scene in scenes[::step][:IMAGES_MEASURED]:
        try:
            size = layout.image(scene)[1]
            depth_HW, stored_3HW = (layout.label(scene, task, size) for task in (DEPTH, NORMALS))
        except GoldseamError:
            # a faulty file is told, or counted, when the import comes to it
            continue
        if not (isinstance(depth_HW, Unknown) or isinstance(stored_3HW, Unknown)):
            yield depth_HW, stored_3HW
