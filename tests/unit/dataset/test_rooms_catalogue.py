"""rooms: furniture catalogues are read as they mean it; the shipped models are what they say."""

import io
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from goldseam.dataset.examples.rooms import catalogue, models
from goldseam.dataset.examples.rooms.categories import FURNITURE, category_of
from goldseam.dataset.examples.rooms.models import SHIPPED, read_library, write_library
from goldseam.dataset.examples.rooms.simplification import simplify
from goldseam.errors import MissingInput

CREDITS = SHIPPED.with_name("CREDITS.md")
# a wedge: x 0 to 2, y 0 to 1, z 0 to 4; a square and a triangle, corner numbers from the end too
WEDGE = """# a comment
mtllib wedge.mtl
v 0 0 0
v 2 0 0
v 2 0 4
v 0 0 4
v 0 1 0
vt 0 0
vt 1 0
vt 1 1
usemtl red
f 1 2 3 4
usemtl board
f 1/1 2/2 -1/3
usemtl air
f 2 3 5
"""
MATERIALS = """newmtl red
Kd 1.0 0.0 0.0
newmtl board
Kd 0.5 0.5 0.5
map_Kd board.png
newmtl air
d 0.02
"""
ENTRY = """
id#{n}=test#{n}
name#{n}={name}
category#{n}=Living room
model#{n}=/test/{n}/wedge.obj
width#{n}=100
depth#{n}=50
height#{n}=80
creator#{n}=Somebody
"""


def write_catalogue(folder, names, terms="Creative Commons Attribution 3.0 license", extra=""):
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (10, 200, 30)).save(stream, format="PNG")
    text = f"id=test\nlicense={terms}\n"
    with zipfile.ZipFile(folder / "Test.sh3f", "w") as archive:
        for number, name in enumerate(names, start=1):
            text += ENTRY.format(n=number, name=name)
            # an id is the name of the OBJ file, so each has its own
            text = text.replace(f"{number}/wedge.obj", f"{number}/wedge{number}.obj")
            archive.writestr(f"test/{number}/wedge{number}.obj", WEDGE)
            archive.writestr(f"test/{number}/wedge.mtl", MATERIALS)
            archive.writestr(f"test/{number}/board.png", stream.getvalue())
        archive.writestr(catalogue.PROPERTIES, (text + extra).encode("latin-1"))
    return folder


class TestCategories:
    @pytest.mark.parametrize(
        ("name", "shelf", "category"),
        [
            pytest.param("Desk", "Office", "table", id="desk"),
            pytest.param("Desk lamp", "Lights", "lamp", id="a desk lamp is no desk"),
            pytest.param("Bedside table", "Bedroom", "storage", id="a bedside table is no bed"),
            pytest.param("Table tennis bat", "Miscellaneous", None, id="a bat is no table"),
            pytest.param("TV remote control", "Living room", None, id="a remote is no TV"),
            pytest.param("TV stand", "Living room", "storage", id="a stand is no TV"),
            pytest.param("Wall flat TV", "Living room", "appliance", id="TV"),
            pytest.param("Armchair", "Living room", "sofa", id="armchair"),
            pytest.param("Chair with cushion", "Living room", "chair", id="chair"),
            pytest.param("Opened convertible sofa BZ", "Bedroom", "bed", id="opened sofa"),
            pytest.param("Window shutter", "Doors and windows", None, id="shutter"),
            pytest.param("Garage door", "Doors and windows", None, id="garage"),
            pytest.param("Palm tree", "Exterior", None, id="outdoors"),
            pytest.param("Ficus", "Exterior", None, id="a tree of a park"),
            pytest.param("Ficus", "Living room", "plant", id="a plant of a room"),
            pytest.param("Sitting male", "Characters", None, id="people"),
        ],
    )
    def test_names_are_matched_as_a_whole(self, name, shelf, category):
        assert category_of(name, shelf) == category


class TestCatalogue:
    def test_a_model_stands_upright_at_its_real_size(self, tmp_path):
        library = catalogue.read_catalogues(write_catalogue(tmp_path, ["Table"]))
        (model,) = library.models
        assert model.card.category == "table"
        assert model.card.creator == "Somebody"
        assert model.card.license == "CC-BY-3.0"
        low, high = model.position_V3.min(axis=0), model.position_V3.max(axis=0)
        np.testing.assert_allclose(low, [-0.5, 0, -0.25], atol=1e-6)
        np.testing.assert_allclose(high, [0.5, 0.8, 0.25], atol=1e-6)

    def test_squares_are_cut_clear_glass_dropped_and_colors_kept(self, tmp_path):
        library = catalogue.read_catalogues(write_catalogue(tmp_path, ["Table"]))
        (model,) = library.models
        assert len(model.face_F3) == 3  # two of the square, one of the board, none of air
        colors = model.color_M3[model.material_F]
        assert (colors == [1, 0, 0]).all(axis=1).sum() == 2
        texture = model.texture_M[model.material_F]
        assert sorted(texture.tolist()) == [-1, -1, 0]
        assert (library.texture_T[0] == [10, 200, 30]).all()
        uv = model.uv_V2[model.face_F3[texture == 0]][0]
        assert {tuple(corner) for corner in uv.tolist()} == {(0, 0), (1, 0), (1, 1)}

    def test_model_rotation_is_honored(self, tmp_path):
        plain = catalogue.read_catalogues(write_catalogue(tmp_path, ["Table"])).models[0]
        turn = "modelRotation#1=0 0 1 0 1 0 -1 0 0\n"  # x goes to -z
        turned = catalogue.read_catalogues(write_catalogue(tmp_path, ["Table"], extra=turn)).models[
            0
        ]
        top = plain.position_V3[plain.position_V3[:, 1] > 0.7][0]
        turned_top = turned.position_V3[turned.position_V3[:, 1] > 0.7][0]
        assert (np.sign(top[[0, 2]]) == [-1, -1]).all()
        assert (np.sign(turned_top[[0, 2]]) == [-1, 1]).all()

    def test_small_pieces_stand_on_others_and_high_ones_hang(self, tmp_path):
        names = ["Table", "Little lamp", "Ceiling lamp", "Wall flat TV"]
        extra = "elevation#3=240\nheight#3=10\nelevation#4=100\nheight#2=40\n"
        found = catalogue.entries(write_catalogue(tmp_path, names, extra=extra))
        mounts = {entry.card.name: entry.card.mount for entry in found}
        assert mounts == {
            "Table": "floor",
            "Little lamp": "top",
            "Ceiling lamp": "ceiling",
            "Wall flat TV": "wall",
        }

    def test_only_free_licenses(self, tmp_path):
        write_catalogue(tmp_path, ["Table"], terms="All rights reserved")
        assert catalogue.entries(tmp_path) == []
        write_catalogue(tmp_path, ["Table"], terms="Public domain")
        assert catalogue.entries(tmp_path)[0].card.license == "CC0-1.0"

    def test_folder_without_catalogues(self, tmp_path):
        with pytest.raises(MissingInput, match=r"no \.sh3f file(.|\n)*sweethome3d-furniture"):
            catalogue.read_catalogues(tmp_path)

    def test_broken_catalogue_is_named(self, tmp_path):
        (tmp_path / "Broken.sh3f").write_bytes(b"not a zip")
        with pytest.raises(MissingInput, match=r"Broken\.sh3f"):
            catalogue.read_catalogues(tmp_path)

    def test_missing_model_is_named(self, tmp_path):
        write_catalogue(tmp_path, ["Table"], extra="model#1=/test/none.obj\n")
        with pytest.raises(MissingInput, match=r"none\.obj"):
            catalogue.read_catalogues(tmp_path)

    def test_script_writes_models_and_credits_that_name_each(self, tmp_path):
        write_catalogue(tmp_path, ["Table", "Chair", "Spoon"])
        out, listed = tmp_path / "models.npz", tmp_path / "CREDITS.md"
        catalogue.main([str(tmp_path), "--out", str(out), "--credits", str(listed)])
        first = out.read_bytes()
        names = [model.card.name for model in read_library(out).models]
        assert sorted(names) == ["Chair", "Table"]
        text = listed.read_text()
        assert "| Test/wedge1 | Table | table | Somebody | CC-BY-3.0 |" in text
        assert "Spoon" not in text
        catalogue.main([str(tmp_path), "--out", str(out), "--credits", str(listed)])
        assert out.read_bytes() == first


class TestSimplification:
    def sheet(self, side):
        """A sheet of side by side squares, cut in two, half of it standing upright."""
        place = np.linspace(0, 1, side + 1)
        x, z = (grid.ravel() for grid in np.meshgrid(place, place))
        flat = np.stack([x, 0 * x, z], axis=1)
        upright = np.stack([x, z, 0 * x], axis=1)
        k = (np.arange(side)[:, None] * (side + 1) + np.arange(side)).ravel()
        faces = np.concatenate(
            [
                np.stack([k, k + 1, k + side + 1], 1),
                np.stack([k + 1, k + side + 2, k + side + 1], 1),
            ]
        )
        position = np.concatenate([flat, upright])
        return position, np.concatenate([faces, faces + len(flat)])

    def test_planes_stay_planes(self):
        position, faces = self.sheet(60)
        material = np.repeat([0, 1], len(faces) // 2)
        simple, _, face, which = simplify(
            position, np.zeros((len(position), 2)), faces, material, 900
        )
        assert 200 < len(face) <= 900
        corners = simple[face]
        assert (np.ptp(corners[which == 0][:, :, 1], axis=1) < 0.05).all()
        area = np.linalg.norm(
            np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
        )
        assert area.sum() / 2 == pytest.approx(2.0, rel=0.08)

    def test_small_meshes_lose_only_copies_and_empty_triangles(self):
        position, faces = self.sheet(3)
        empty = np.array([[0, 0, 1]])
        turned = faces[:1, [1, 0, 2]]
        all_faces = np.concatenate([faces, empty, turned])
        result = simplify(
            position,
            np.zeros((len(position), 2)),
            all_faces,
            np.zeros(len(all_faces), np.int64),
            500,
        )
        assert len(result[2]) == len(faces)


@pytest.fixture(scope="module")
def library():
    return read_library()


class TestShippedModels:
    def test_are_small_and_without_pickle(self):
        assert SHIPPED.stat().st_size < 5_000_000
        with np.load(SHIPPED, allow_pickle=False) as stored:
            assert all(stored[name].dtype.kind in "uif" for name in stored.files)

    def test_each_is_credited_with_a_free_license(self, library):
        row = re.compile(r"^\| (\S+) \| (.+?) \| (\w+) \| (.+?) \| (\S+) \|$", re.MULTILINE)
        rows = row.findall(CREDITS.read_text())
        listed = {row[0]: row[1:] for row in rows if row[0] not in ("model", "---")}
        cards = {model.card.model_id: model.card for model in library.models}
        assert listed.keys() == cards.keys()
        for model_id, card in cards.items():
            assert listed[model_id] == (card.name, card.category, card.creator, card.license)
            assert card.license in ("CC0-1.0", "CC-BY-3.0", "CC-BY-3.0-US")
            assert card.creator != "unknown"

    def test_every_category_has_enough_of_each_split(self, library):
        for category in FURNITURE:
            count = {
                split: sum(m.card.category == category for m in library.split(split))
                for split in ("train", "validation", "test")
            }
            assert count["train"] >= 9
            assert count["validation"] >= 2
            assert count["test"] >= 4

    def test_splits_share_no_model(self, library):
        ids = [
            {model.card.model_id for model in library.split(split)}
            for split in ("train", "validation", "test")
        ]
        assert len(set.union(*ids)) == sum(map(len, ids)) == len(library.models)

    def test_have_their_size_and_few_faces(self, library):
        for model in library.models:
            extent = np.ptp(model.position_V3[np.unique(model.face_F3)], axis=0)
            np.testing.assert_allclose(extent, model.card.size, atol=1e-3)
            assert 1 <= len(model.face_F3) <= 3000
            assert model.position_V3[:, 1].min() > -1e-3
            assert model.texture_M.max() < len(library.texture_T)
            assert np.isfinite(model.normal_F33).all()

    def test_writing_and_reading_changes_nothing(self, library, tmp_path):
        again = tmp_path / "again.npz"
        again.write_bytes(write_library(library))
        back = models.read_library(again)
        assert [m.card for m in back.models] == [m.card for m in library.models]
        for one, other in zip(library.models, back.models, strict=True):
            assert (one.face_F3 == other.face_F3).all()
            np.testing.assert_allclose(one.position_V3, other.position_V3, atol=1e-4)
            np.testing.assert_allclose(one.uv_V2, other.uv_V2, rtol=1e-3, atol=1e-3)
        assert (back.texture_T == library.texture_T).all()

    def test_another_file_is_refused(self, tmp_path):
        broken = tmp_path / "models.npz"
        broken.write_bytes(b"nothing")
        with pytest.raises(MissingInput, match="no furniture models"):
            read_library(broken)
        with pytest.raises(MissingInput):
            read_library(tmp_path / "missing.npz")
