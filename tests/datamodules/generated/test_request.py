import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from datamodules.generated import request
from datamodules.generated.request import MARK, GenerateConfig, ensure_generated, generate
from datamodules.voxceleb import VoxCeleb, VoxCelebConfig
from facegan.config import UserError


def test_a_set_that_was_written_before_there_was_an_option_is_still_the_same(tmp_path):
    config = GenerateConfig(root=str(tmp_path), people=1, pictures=1, size=64, workers=1)
    generate(config, progress=False)
    mark = json.loads((tmp_path / MARK).read_text())
    del mark["asked"]["defects"]
    (tmp_path / MARK).write_text(json.dumps(mark))
    before = (tmp_path / "p000000" / "000001.jpg").stat().st_mtime_ns
    ensure_generated(config, progress=False)
    assert (tmp_path / "p000000" / "000001.jpg").stat().st_mtime_ns == before


def test_defects_only_where_there_are_some(tmp_path):
    with pytest.raises(UserError, match="the layout folder has no defects"):
        GenerateConfig(layout="folder", root=str(tmp_path), defects=True)
    generate(GenerateConfig("bu4dfe", str(tmp_path), people=1, defects=True, workers=1), progress=False)
    assert (tmp_path / "BU_WrlViewer_V2").is_dir()


def test_a_set_that_was_stopped_is_gone_on_with_and_never_taken_for_whole(tmp_path, monkeypatch):
    from datamodules.generated import mmi

    config = GenerateConfig("mmi", str(tmp_path), people=1, workers=1)

    def stopped(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mmi, "save_clip", stopped)
        with pytest.raises(KeyboardInterrupt):
            generate(config, progress=False)
    assert json.loads((tmp_path / MARK).read_text())["complete"] is False
    with pytest.raises(UserError, match="holds another set"):
        generate(GenerateConfig("mmi", str(tmp_path), people=2, workers=1), progress=False)
    ensure_generated(config, progress=False)
    assert json.loads((tmp_path / MARK).read_text())["complete"] is True
    assert len(list(tmp_path.rglob("*.avi"))) == 6


def test_more_of_a_layout_s_options(tmp_path):
    asked = GenerateConfig(
        "voxceleb", str(tmp_path), people=1, variant={"kind": "1fps", "widths": [64, 64]}, workers=1
    )
    generate(asked, progress=False)
    assert VoxCeleb(VoxCelebConfig(root=str(tmp_path))).find().codes["folders and clips"].keys() == {"1fps"}
    for wrong, said in (
        ({"kind": 3}, "kind=3: write it as 'dense'"),
        ({"colour": "red"}, "has no option colour"),
    ):
        with pytest.raises(UserError, match=said):
            generate(GenerateConfig("voxceleb", str(tmp_path / "x"), variant=wrong), progress=False)


def test_of_two_jobs_that_want_the_same_faces_one_writes_them(tmp_path, monkeypatch):
    config, calls = GenerateConfig(root=str(tmp_path / "faces"), people=1, pictures=1, size=64, workers=1), []

    def slowly(*arguments):
        calls.append(arguments)
        time.sleep(0.3)
        return generate(*arguments)

    monkeypatch.setattr(request, "generate", slowly)
    with ThreadPoolExecutor(2) as jobs:
        list(jobs.map(lambda _: ensure_generated(config, progress=False), range(2)))
    assert len(calls) == 1
