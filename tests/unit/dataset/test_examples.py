"""Examples built by name, with options as a recipe has them: plain values."""

import numpy as np
import pytest

from goldseam.dataset.examples import build_example
from goldseam.dataset.partial.tag_protocols import SizeDependent
from goldseam.dataset.reading import open_dataset
from goldseam.errors import InvalidConfig

SCHEME = {
    "name": "size_dependent",
    "small": 0.0,
    "middle": 0.5,
    "large": 1,
    "negatives": 0.5,
    "boundaries": [0.02, 0.05],
}


def test_a_scheme_of_a_recipe_builds_what_the_scheme_itself_builds(tmp_path):
    for name, scheme in (("plain", SCHEME), ("typed", SizeDependent.model_validate(SCHEME))):
        build_example("closet", tmp_path / name, tiny=True, tasks=["tags"], tag_scheme=scheme)
    plain, typed = (open_dataset(tmp_path / name) for name in ("plain", "typed"))
    assert plain.info.digest == typed.info.digest
    states = [record.labels["tags"] for record in plain.records("train")]
    known = np.concatenate([state for state in states if state is not None])
    assert {-1, 0, 1} <= set(known.tolist()), "some tags are unknown"


@pytest.mark.parametrize(
    ("option", "place"),
    [
        ({"tag_scheme": {**SCHEME, "small": 2}}, "tag_scheme.size_dependent.small"),
        ({"tag_scheme": {"name": "uniforn", "rate": 1}}, "uniforn"),
        ({"tag_scheme": "uniform"}, "tag_scheme"),
        ({"train": "many"}, "Mend train: "),
        ({"tasks": "tags"}, "Mend tasks: "),
    ],
)
def test_a_value_that_an_option_cannot_have_is_named(tmp_path, option, place):
    with pytest.raises(InvalidConfig, match="the example 'closet' cannot be built") as caught:
        build_example("closet", tmp_path / "d", **option)
    assert place in caught.value.remedy
    assert not list(tmp_path.iterdir())
