"""What the scoring server answers, without the server."""

import base64
import io
import json

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server import predictions_to_json
from PIL import Image

from goldseam.dataset.codecs import decode_label
from goldseam.export.pyfunc import ServedModel, decode_array, output_columns
from goldseam.export.servable import SERVING_FILES, write_serving_files
from goldseam.prediction.config import TilingConfig
from goldseam.prediction.predictor import Predictor, assemble, model_stride
from tests.unit.prediction.samples import TASKS, make_checkpoint, make_model, make_picture


def png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG")
    return stream.getvalue()


def predictions_to_text(answer):
    stream = io.StringIO()
    predictions_to_json(answer, stream)
    return stream.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = make_checkpoint(tmp_path_factory.mktemp("served") / "model", "feature")
    write_serving_files(made, made)
    return made


@pytest.fixture(scope="module")
def served(folder):
    return ServedModel(folder, "cpu")


def expected(image, tile=512, overlap=64):
    model = make_model("feature")
    predictor = Predictor(
        model=model,
        stride=model_stride(model),
        device=torch.device("cpu"),
        tiling=TilingConfig(tile=tile, overlap=overlap),
    )
    return assemble(predictor.strips(image))


def test_answer_is_what_predict_says(served):
    image = make_picture(33, 47)
    answer = served.predict(pd.DataFrame({"image": [png(image)]}))
    assert list(answer) == [*TASKS, "tags_present"]
    assert list(TASKS)[-1] == "tags"
    for task, array in expected(image).items():
        cell = answer[task][0]
        found = np.array(cell) if task == "tags" else decode_array(cell)
        np.testing.assert_allclose(found, array, atol=1e-6, err_msg=task)


def test_several_pictures_as_text_and_in_tiles(served):
    images = [make_picture(20, 20), make_picture(90, 40, seed=1)]
    cells = [base64.b64encode(png(image)).decode() for image in images]
    answer = served.predict(pd.DataFrame({"image": cells}), {"tile": 48, "overlap": 16})
    for row, image in enumerate(images):
        right = expected(image, 48, 16)
        np.testing.assert_allclose(decode_array(answer["relief"][row]), right["relief"], atol=1e-5)


def test_maps_are_labels(served):
    image = make_picture(24, 24)
    answer = served.predict(pd.DataFrame({"image": [png(image)]}), {"form": "map"})
    content = base64.b64decode(answer["cover"][0])
    label = decode_label(TASKS["cover"], {"bytes": content, "path": None})
    np.testing.assert_array_equal(label, expected(image)["cover"].argmax(axis=0))


@pytest.mark.parametrize(
    ("table", "params", "said"),
    [
        ({"image": ["***"]}, {}, "row 0, column 'image'"),
        ({"image": ["bild-ä"]}, {}, "row 0, column 'image'"),
        ({"image": [b"no picture"]}, {}, "cannot be decoded"),
        ({"image": [3.5]}, {}, "type float"),
        ({"picture": [b""]}, {}, "no column 'image'"),
        ({"image": []}, {"form": "jpeg"}, "form is 'jpeg'"),
        ({"image": []}, {"tile": 32, "overlap": 30}, "more than half"),
    ],
)
def test_bad_requests_are_the_senders_fault(served, table, params, said):
    with pytest.raises(MlflowException, match="(?s)" + said) as caught:
        served.predict(pd.DataFrame(table), params)
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


def test_mlflow_loads_it_with_pickle_forbidden(folder, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    loaded = mlflow.pyfunc.load_model(str(folder))
    image = make_picture(16, 20)
    answer = loaded.predict(pd.DataFrame({"image": [png(image)]}))
    np.testing.assert_allclose(decode_array(answer["edge"][0]), expected(image)["edge"], atol=1e-6)
    schema = loaded.metadata.get_input_schema()
    assert schema.input_names() == ["image"]
    columns = [*TASKS, "tags_present"]
    assert loaded.metadata.get_output_schema().input_names() == columns
    assert list(answer) == columns


def test_tags_are_decided_by_the_models_thresholds(tmp_path):
    image = make_picture(16, 20)
    cut = float(expected(image)["tags"][0])
    for shift, said in ((-1e-4, True), (1e-4, False)):
        thresholds = {"disk": cut + shift, "bar": None}
        made = make_checkpoint(tmp_path / str(said), "feature", thresholds)
        write_serving_files(made, made)
        answer = mlflow.pyfunc.load_model(str(made)).predict(pd.DataFrame({"image": [png(image)]}))
        assert answer["tags_present"][0] == [said, None]
        # as the scoring server writes it
        assert json.loads(predictions_to_text(answer))["predictions"][0]["tags_present"] == [
            said,
            None,
        ]


def test_a_task_keeps_its_name():
    tasks = {"tags": TASKS["tags"], "tags_present": TASKS["tags"], "cover": TASKS["cover"]}
    columns = output_columns(tasks)
    assert columns["tags_present"] == ("tags_present", False)
    assert columns["tags_present_"] == ("tags", True)
    assert len(columns) == 5


def test_serving_files_hold_no_pickle_and_no_path_of_this_machine(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.json", "model.safetensors", *SERVING_FILES}
    for name in SERVING_FILES:
        text = (folder / name).read_text()
        assert str(folder) not in text
        assert "pickle" not in text
        assert ".pkl" not in text
