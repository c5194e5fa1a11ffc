"""Held-out frames, with the pictures and judges of EGGAN's protocol: what carries its AUs as pixels."""

import json
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from PIL import Image

from facegan.config import UserError
from facegan.protocols import frames
from facegan.protocols.common import Protocol
from facegan.report import frames_table
from tests.protocols.test_eggan import Split, judges, perfect

QUICK = Protocol(batch_size=16, steps=3, progress=False)


def towards(images, target):
    return perfect(images, target["au"])


def film(test_frames=30, still=False):
    train, test = Split(2, 20, 0), Split(1, test_frames, 1)
    if still:
        test.au[:] = 1
    return SimpleNamespace(
        train=train, test=test, generated=None, describe=lambda: "folder: photographs", align="similarity"
    )


def test_pairs_are_half_the_film_apart_and_every_frame_is_asked_for_once():
    test = Split(2, 20, 1)
    test.au[3] = np.nan
    sources, targets = frames.choose_pairs(test)
    assert sorted(targets.tolist()) == [row for row in range(40) if row != 3]
    assert sorted(sources.tolist()) == sorted(targets.tolist())
    assert (test.identity[sources] == test.identity[targets]).all()
    assert (np.abs(sources - targets) >= 9).all()


def test_later_frames_are_told_from_people_held_out():
    assert frames.later_frames(film())
    assert not frames.later_frames(SimpleNamespace(train=Split(6, 2, 0), test=Split(2, 2, 1, first=500)))


def test_a_perfect_edit_scores_perfectly_and_copies_do_not(tmp_path):
    result = frames.evaluate(towards, film(), judges(), tmp_path, method="ours", protocol=QUICK)
    ours, source, target = (result["scores"][name] for name in ("ours", "copy the source", "copy the target"))
    for row in (ours, target):
        assert row["l1"] == pytest.approx(0, abs=1e-6)
        assert row["au"]["mse_mean"] == pytest.approx(0, abs=1e-8)
        assert row["au"]["pcc_mean"] == pytest.approx(1) and row["geometry"]["pcc_mean"] == pytest.approx(1)
    assert source["l1"] > 0.01 and source["au"]["mse_mean"] > 1 and abs(source["au"]["pcc_mean"]) < 0.5
    assert result["reconstruction_l1"] == pytest.approx(0, abs=1e-6)
    assert Image.open(tmp_path / "grid.png").width > 400


def test_of_a_method_that_turns_heads_the_angles_are_measured_less_what_the_judge_is_off_by(tmp_path):
    data, readers = film(), judges()
    n, rng = len(data.test.au), np.random.default_rng(0)
    yaw = torch.from_numpy(rng.normal(0, 0.3, n)).float()
    data.test.records = SimpleNamespace(pose=np.stack([0 * yaw, yaw, 0 * yaw], 1))
    plain = data.test.batch
    place = (slice(None), 1, 0, 0)  # the pixel that carries the yaw

    def batch(rows):
        found = plain(rows)
        found["image"] = found["image"].clone()
        found["image"][place], found["pose"] = yaw[rows], torch.from_numpy(data.test.records.pose[rows])
        return found

    def half_turned(images, target):
        result = towards(images, target).clone()
        result[place] = target["pose"][:, 1] / 2
        return result

    def pose(images, points):
        return torch.stack([torch.full((len(images),), 0.2), images[place] + 0.1, images[place] * 0], 1)

    data.test.batch, pose.description, readers.pose = batch, "reader of poses", pose
    result = frames.evaluate(half_turned, data, readers, tmp_path, method="ours", protocol=QUICK, turns=True)
    angles = {name: row["angles"] for name, row in result["scores"].items()}
    half = np.degrees((yaw / 2).abs().mean().item())
    assert angles["ours"] == pytest.approx({"pitch": 0, "yaw": half, "roll": 0}, abs=1e-4)
    assert angles["copy the target"]["yaw"] < 1e-4 and angles["copy the source"]["yaw"] > half
    text = frames_table(json.loads((tmp_path / "evaluation.json").read_text()))
    assert "yaw, °" in text and "reader of poses" in text and f"{half:.1f}" in text
    with av.open(str(tmp_path / "film.mp4")) as shown:
        assert sum(1 for _ in shown.decode(video=0)) == n
    data.test.records.pose[5:] = np.nan
    assert len(frames.choose_pairs(data.test, turns=True)[0]) == 5, "frames without pose drive no head"


def test_only_aus_that_move_are_scored(tmp_path):
    data = film()
    data.test.au[:, 4] = 2.0
    result = frames.evaluate(towards, data, judges(), tmp_path, protocol=QUICK)
    assert len(result["aus"]) == 16 and "AU06" not in result["aus"]
    with pytest.raises(UserError, match="nothing to score"):
        frames.evaluate(towards, film(still=True), judges(), tmp_path, protocol=QUICK)


def test_the_report_has_the_table_with_its_origin(tmp_path):
    folder = tmp_path / "eggan_video" / "run" / "evaluation"
    frames.evaluate(towards, film(), judges(), folder, command="facegan evaluate eggan_video", protocol=QUICK)
    assert json.loads((folder / "evaluation.json").read_text())["protocol"] == "frames"
    text = frames_table(json.loads((folder / "evaluation.json").read_text()))
    for words in (
        "# Held-out frames",
        "copy the source",
        "reader of AUs",
        "facegan evaluate eggan_video",
        "AU25",
    ):
        assert words in text, words
    assert "generated" not in text


def test_too_few_frames_are_said_in_words():
    with pytest.raises(UserError, match="longer video"):
        frames.choose_pairs(Split(3, 1, 0))
