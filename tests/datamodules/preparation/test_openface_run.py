"""OpenFace's wrapper, with a stand-in for its programs: a script that notes its command line and writes a CSV."""

import json
import os
import sys

import numpy as np
import pytest
from faces_on_disk import csv_rows, draw, landmarks, save, write_csv, write_video

from datamodules.folder import Folder, FolderConfig
from datamodules.oulu_casia import OuluCASIA, OuluCASIAConfig
from datamodules.preparation.openface_run import STILLS, jobs, run
from datamodules.preparation.pictures import read_picture
from datamodules.records import Records
from facegan.config import UserError

STAND_IN = """#!{python}
import json, pathlib, shutil, sys
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
out = pathlib.Path(given["-out_dir"])
source = pathlib.Path(given.get("-fdir") or given["-f"])
with open({log!r}, "a") as log:
    log.write(json.dumps([pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]) + chr(10))
pictures = sorted(source.iterdir()) if source.is_dir() else []
if pictures and pictures[0].suffix == ".png":
    shutil.copy(pictures[0], {first!r})
names = [given["-of"]] if "-of" in given else [p.stem for p in pictures if p.suffix in (".jpeg", ".png")]
for name in names:
    if "faceless" not in name:
        shutil.copy({csv!r}, out / (name + ".csv"))
if "broken" in source.name:
    sys.exit("cannot go on with " + source.name)
"""


@pytest.fixture
def openface(tmp_path, monkeypatch):
    """The stand-in on the PATH; gives the command lines that it has seen."""
    folder = tmp_path / "bin"
    folder.mkdir()
    au = np.zeros((20, 17))
    au[:, 0] = np.arange(20) / 4
    table = write_csv(tmp_path / "table.csv", csv_rows([landmarks()] * 20, au))
    log, first = tmp_path / "log", tmp_path / "first.png"
    text = STAND_IN.format(python=sys.executable, log=str(log), first=str(first), csv=str(table))
    for name in ("FaceLandmarkImg", "FeatureExtraction"):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return lambda: [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture
def oulu(tmp_path):
    root = tmp_path / "raw"
    for emotion in ("Anger", "Fear"):
        for k in range(9):
            save(root / "VL" / "Strong" / "P001" / emotion / f"{k:03d}.jpeg", draw(landmarks()))
    return root


def module(root, **options) -> OuluCASIA:
    return OuluCASIA(OuluCASIAConfig(root=str(root), image_size=32, prepare_workers=1, **options))


def test_sequences_are_tracked_and_read_back_from_a_tree_of_their_own(oulu, openface, tmp_path):
    out = tmp_path / "aus"
    work = jobs(module(oulu).find().records, out)
    assert run(work, progress=False) == []
    assert sorted(command[0] for command in openface()) == ["FeatureExtraction"] * 2
    assert {command[command.index("-fdir") + 1][-4:] for command in openface()} == {"nger", "Fear"}
    records = module(oulu, au_root=str(out)).find().records
    assert records.au[:, 0].tolist() == [0, 1.5, 1.75, 2] * 2
    assert not module(oulu).find().records.has_au.any()
    # another tree of AUs is another store
    assert module(oulu).store_path() != module(oulu, au_root=str(out)).store_path()
    run(work, progress=False)
    assert len(openface()) == 2  # what is done is not done again


def test_beside_the_pictures_they_are_found_without_being_told(oulu, openface):
    run(jobs(module(oulu).find().records), progress=False)
    assert module(oulu).find().records.has_au.all()


def test_single_pictures_have_a_program_of_their_own(tmp_path, openface):
    for k in range(3):
        save(tmp_path / "faces" / "ann" / f"{k}.png", draw(landmarks()))
    records = Folder(FolderConfig(root=str(tmp_path / "faces"))).find().records
    (work,) = jobs(records, stills=True)
    assert work.program == STILLS and not work.is_done
    run([work], progress=False)
    assert work.is_done and len(list((tmp_path / "faces" / "ann" / "processed").glob("*.csv"))) == 3


def test_a_clip_on_its_side_is_turned_first(tmp_path, openface):
    face = draw(landmarks(160), (128, 160))
    write_video(tmp_path / "a.avi", [np.rot90(face)] * 4)
    records = Records.build(
        {"root": [str(tmp_path)] * 4, "path": ["a.avi"] * 4, "frame": range(4), "identity": ["x"] * 4,
         "view": ["clockwise"] * 4}
    )  # fmt: skip
    (work,) = jobs(records)
    assert run([work], progress=False) == [] and work.is_done
    seen = read_picture(tmp_path / "first.png")
    assert seen.shape == face.shape and np.abs(seen.astype(float) - face).mean() < 6
    assert work.done == tmp_path / "processed" / "a.csv" and not list(tmp_path.rglob("*.part"))


def test_a_picture_without_a_face_does_not_keep_its_folder_from_being_done(tmp_path, openface):
    for name in ("one", "faceless"):
        save(tmp_path / "faces" / "ann" / f"{name}.png", draw(landmarks()))
    records = Folder(FolderConfig(root=str(tmp_path / "faces"))).find().records
    (work,) = jobs(records, stills=True)
    assert run([work], progress=False) == [] and work.is_done
    run([work], progress=False)
    assert len(openface()) == 1
    save(tmp_path / "faces" / "ann" / "later.png", draw(landmarks()))
    assert not work.is_done


def test_pictures_in_the_root_itself(tmp_path, openface):
    for k in range(2):
        save(tmp_path / "faces" / f"{k}.png", draw(landmarks()))
    data = Folder(FolderConfig(root=str(tmp_path / "faces")))
    assert run(jobs(data.find().records), progress=False) == []
    assert data.find().records.has_au.all()


def test_a_sequence_annotated_picture_by_picture_is_read_too(oulu, openface):
    run(jobs(module(oulu).find().records, stills=True), progress=False)
    assert {command[0] for command in openface()} == {STILLS}
    records = module(oulu).find().records
    assert records.has_au.all() and (records.au[:, 0] == 0).all()  # each picture's own first row


def test_a_failure_is_reported_and_the_others_go_on(oulu, openface):
    (oulu / "VL" / "Strong" / "P001" / "Fear").rename(oulu / "VL" / "Strong" / "P001" / "broken")
    records = module(oulu).find().records
    rows = Records.concatenate([records, records])
    paths = [p.replace("Anger", "broken") for p in records.table.column("path").to_pylist()]
    broken = Records.build(
        {
            "root": [str(oulu)] * len(paths),
            "path": paths,
            "frame": range(len(paths)),
            "identity": ["x"] * len(paths),
        }
    )
    work = jobs(Records.concatenate([rows, broken]))
    failed = run(work, progress=False)
    assert [reason for _, reason in failed] == ["FeatureExtraction ended with 1: cannot go on with broken"]
    # what it had written is no result
    assert not list(oulu.rglob("broken.csv")) and not list(oulu.rglob("*.part"))
    assert list(oulu.rglob("Anger.csv"))
    assert [job.source.name for job in work if not job.is_done] == ["broken"]


def test_without_openface_the_commands_are_named(oulu, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(
        UserError, match=r"looked for FeatureExtraction on the PATH[\s\S]*FeatureExtraction -fdir .*Anger"
    ):
        run(jobs(module(oulu).find().records), progress=False)


def test_many_commands_go_into_a_script_and_sideways_clips_are_turned_in_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    for k in range(3):
        (tmp_path / f"a{k}.avi").touch()
    records = Records.build(
        {"root": [str(tmp_path)] * 3, "path": [f"a{k}.avi" for k in range(3)], "identity": ["x"] * 3,
         "view": ["clockwise", "", "counterclockwise"]}
    )  # fmt: skip
    with pytest.raises(UserError, match=r"ffmpeg[\s\S]*all 3 are in .*openface\.sh"):
        run(jobs(records), progress=False, script=tmp_path / "openface.sh")
    lines = (tmp_path / "openface.sh").read_text().splitlines()
    assert f"ffmpeg -i {tmp_path}/a0.avi -vf transpose=1 {tmp_path}/processed/a0.mp4" in lines
    assert any(line.startswith(f"FeatureExtraction -f {tmp_path}/processed/a0.mp4 -of a0 ") for line in lines)
    assert any(line.startswith(f"FeatureExtraction -f {tmp_path}/a1.avi -of a1 ") for line in lines)
    assert sum(line.startswith("ffmpeg") for line in lines) == 2
