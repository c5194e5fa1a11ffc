"""The converter of the ict head, on a tiny folder of the public repository's form."""

import numpy as np
import pytest

from datamodules.generated import assets
from datamodules.generated.ict import ICT_FILE, ict_head
from facegan.config import UserError

# Two quads, a triangle, and a layer that is left out; vertex 7 belongs to that layer alone.
FACES = """usemtl M_Face
f 1/1/1 2/2/2 3/3/3 4/4/4
f 3 4 5
usemtl M_Teeth
f 4 5 6 7
usemtl M_EyeLashes
f 6 7 8
"""
BASE = np.arange(24, dtype=float).reshape(8, 3) / 7


def write_obj(path, vertices):
    lines = [
        "# a comment",
        "mtllib x.mtl",
        *("v " + " ".join(f"{c:.6f}" for c in v) for v in vertices),
        "vt 0 0",
    ]
    path.write_text("\n".join(lines) + "\n" + FACES)


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "ICT-FaceKit" / "FaceXModel"
    folder.mkdir(parents=True)
    write_obj(folder / "generic_neutral_mesh.obj", BASE)
    for k in range(3):
        moved = BASE.copy()
        moved[k] += [0.5, -0.25, 0.1 * k]
        write_obj(folder / f"identity{k:03d}.obj", moved)
    for name in ("browDown_L", "jawOpen"):
        moved = BASE.copy()
        moved[2, 1] -= 1
        write_obj(folder / f"{name}.obj", moved)
    lashes = BASE.copy()
    lashes[7] += 1
    write_obj(folder / "pupilDilate_L.obj", lashes)
    return folder.parent


def test_conversion(checkout, tmp_path):
    with np.load(assets.convert_ict(checkout, tmp_path / "out" / "model.npz")) as model:
        np.testing.assert_allclose(model["vertices"], BASE[:7], atol=1e-6)
        assert model["triangles"].tolist() == [[0, 1, 2], [0, 2, 3], [2, 3, 4], [3, 4, 5], [3, 5, 6]]
        assert [str(model["material_names"][m]) for m in model["triangle_material"]] == ["M_Face"] * 3 + [
            "M_Teeth"
        ] * 2
        assert list(model["expression_names"]) == ["browDown_L", "jawOpen"]  # the shape of the lashes is gone
        moved = model["identity_modes"][2] * model["identity_scale"][2]
        np.testing.assert_allclose(moved[2], [0.5, -0.25, 0.2], atol=1e-4)
        np.testing.assert_allclose(np.delete(moved, 2, 0), 0, atol=1e-4)
        assert model["landmarks68"].shape == (68,)
    assert not list((tmp_path / "out").glob("*.part*"))


def test_another_model_is_refused(checkout, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEGAN_ASSETS", str(tmp_path / "assets"))
    with pytest.raises(UserError, match="checksums"):
        assets.fetch_ict(checkout)
    assert not (tmp_path / "assets" / ICT_FILE).exists()


def test_real_arrays_pass_the_check(load):
    load("ict")
    with np.load(assets.assets_home() / ICT_FILE) as model:
        arrays = dict(model)
    assets.check_model(arrays)
    arrays["identity_scale"] = arrays["identity_scale"] * 1.01
    with pytest.raises(UserError, match="checksums"):
        assets.check_model(arrays)


def test_no_network_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEGAN_ASSETS", str(tmp_path))
    monkeypatch.setattr(assets, "ARCHIVE", "http://127.0.0.1:9/archive.zip")
    with pytest.raises(UserError, match="--source"):
        assets.fetch_ict()


def test_empty_folder_says_what_was_looked_for(tmp_path):
    with pytest.raises(UserError, match="generic_neutral_mesh"):
        assets.convert_ict(tmp_path, tmp_path / "x.npz")


def test_missing_head_names_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEGAN_ASSETS", str(tmp_path))
    with pytest.raises(UserError, match="facegan assets ict"):
        ict_head()
