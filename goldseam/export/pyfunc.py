"""A checkpoint behind MLflow's scoring server: pictures in, encoded predictions out.

MLflow imports this module by its name, which stands in every registered model, and calls
`_load_pyfunc` on the folder with the checkpoint. Nothing is pickled.
"""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goldseam.dataset.codecs import Array, BadCell
from goldseam.dataset.schema import Kind, Task
from goldseam.errors import GoldseamError, InvalidConfig

if TYPE_CHECKING:
    import pandas as pd

IMAGE_COLUMN = "image"
# after the name of a tags task
DECIDED = "_present"
# a request is smaller than what a person at the command line may ask for
MAX_MEGAPIXELS = 100
FORMS = ("array", "map")
# parameter of a request → (MLflow's type, default)
PARAMETERS: dict[str, tuple[str, Any]] = {
    "form": ("string", "array"),
    "tile": ("integer", 512),
    "overlap": ("integer", 64),
    "initial": ("boolean", False),
}


class ServedModel:
    """What MLflow calls for each request.

    Args:
        model: checkpoint folder; other files beside it do not matter.
        device: where the model runs.
    """

    def __init__(self, model: Path, device: str = "auto") -> None:
        from goldseam.models.checkpoint import load_checkpoint
        from goldseam.prediction.predictor import model_stride
        from goldseam.trainer.devices import choose_device

        self._device = choose_device(device)
        self._network = load_checkpoint(model, self._device)
        self._stride = model_stride(self._network)
        self._thresholds = self._network.preprocessing.thresholds_of(self._network.tasks)

    def predict(
        self, model_input: "pd.DataFrame", params: Mapping[str, Any] | None = None
    ) -> "pd.DataFrame":
        """Predict the pictures of a request.

        Args:
            model_input: column `image`: encoded PNG, JPEG or TIFF, as bytes or as base64 text.
            params: `form`: `array` gives float32 `.npy` files, `map` what `goldseam predict` writes
                to `maps`; `tile` and `overlap` in px; `initial`: before the denoiser.

        Returns:
            A row a picture, a column a task: dense tasks as base64 of a file, tags as a list of
            probabilities in the order of the categories. After the column of a tags task stands
            `<task>_present`: a list in the same order of True, False, and None where the model has
            no threshold and nothing is decided.

        Raises:
            MlflowException: a picture or parameter is faulty; the server answers with code 400.
        """
        import pandas as pd
        from mlflow.exceptions import MlflowException

        chosen = {name: default for name, (_, default) in PARAMETERS.items()} | dict(params or {})
        try:
            rows = self._rows(model_input, chosen)
        except GoldseamError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        return pd.DataFrame(rows, columns=list(output_columns(self._network.tasks)))

    def _rows(self, model_input: "pd.DataFrame", params: Mapping[str, Any]) -> list[dict[str, Any]]:
        from goldseam.prediction.predictor import Predictor, assemble

        if params["form"] not in FORMS:
            raise InvalidConfig(
                f"form is '{params['form']}'.", remedy=f"Choose {' or '.join(FORMS)}."
            )
        predictor = Predictor(
            model=self._network,
            stride=self._stride,
            device=self._device,
            tiling=_tiling(params),
            initial=bool(params["initial"]),
        )
        if IMAGE_COLUMN not in model_input:
            raise InvalidConfig(
                f"the request has no column '{IMAGE_COLUMN}'.",
                remedy="Send the encoded picture as base64 in that column.",
            )
        cells = model_input[IMAGE_COLUMN].tolist()
        # all are decoded first: a faulty picture is an answer before a prediction is made
        pictures = [(row, decode_cell(cell, row)) for row, cell in enumerate(cells)]
        return [
            self._row(assemble(strips), params["form"]) for _, _, strips in predictor.over(pictures)
        ]

    def _row(self, arrays: Mapping[str, Array], form: str) -> dict[str, Any]:
        from goldseam.prediction.writing import called_present

        row: dict[str, Any] = {}
        for column, (task, decides) in output_columns(self._network.tasks).items():
            if decides:
                row[column] = list(called_present(arrays[task], self._thresholds[task]).values())
            else:
                row[column] = _encoded(self._network.tasks[task], arrays[task], form)
        return row


def output_columns(tasks: Mapping[str, Task]) -> dict[str, tuple[str, bool]]:
    """Column of an answer → (its task, whether it holds decisions instead of predictions)."""
    columns: dict[str, tuple[str, bool]] = {}
    for name, task in tasks.items():
        columns[name] = name, False
        if task.kind is Kind.TAGS:
            decided = f"{name}{DECIDED}"
            # a task may have that name itself
            columns[decided if decided not in tasks else f"{decided}_"] = name, True
    return columns


def decode_cell(cell: object, row: int) -> Array:
    """The pixels `uint8 HW3` of one picture of a request.

    Raises:
        InvalidConfig: it is no base64 text and no bytes, or no picture; names the row.
    """
    from goldseam.prediction.reading import decode_pixels

    try:
        content = base64.b64decode(cell, validate=True) if isinstance(cell, str) else cell
        if not isinstance(content, bytes):
            raise BadCell(f"a value of type {type(cell).__name__}", "bytes or base64 text")
        return decode_pixels(content, max_megapixels=MAX_MEGAPIXELS)
    except ValueError as error:  # no base64 text, or a BadCell
        raise InvalidConfig(
            f"row {row}, column '{IMAGE_COLUMN}': {error}.",
            remedy="Send a whole PNG, JPEG or TIFF, encoded as base64 without line breaks.",
        ) from error


def decode_array(text: str) -> Array:
    """The array of a dense task in an answer of form `array`."""
    array: Array = np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False)
    return array


def _encoded(task: Task, array: Array, form: str) -> Any:
    from goldseam.prediction.maps import encode_map

    if task.kind is Kind.TAGS:
        return [float(probability) for probability in array]
    if form == "map":
        return base64.b64encode(encode_map(task, array)).decode()
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return base64.b64encode(stream.getvalue()).decode()


def _tiling(params: Mapping[str, Any]) -> Any:
    import pydantic

    from goldseam.prediction.config import TilingConfig

    try:
        return TilingConfig(tile=int(params["tile"]), overlap=int(params["overlap"]))
    except pydantic.ValidationError as error:
        raise InvalidConfig(
            f"tile {params['tile']} and overlap {params['overlap']}: {error.errors()[0]['msg']}.",
            remedy="Leave both out, or give an overlap of at most half a tile.",
        ) from error


def _load_pyfunc(path: str) -> ServedModel:
    """What MLflow calls with the folder of the checkpoint."""
    return ServedModel(Path(path))
