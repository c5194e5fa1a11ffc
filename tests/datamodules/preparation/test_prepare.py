import csv
import json
import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from faces_on_disk import aus, csv_rows, draw, landmarks, save, write_csv, write_people
from PIL import Image

from datamodules.folder import find_folder
from datamodules.preparation import chunks as chunks_module
from datamodules.preparation import prepare as prepare_module
from datamodules.preparation.prepare import prepare
from datamodules.records import Records
from datamodules.store import Store
from facegan.config import PrepareConfig, UserError

CONFIG = PrepareConfig(image_size=32, landmarks="openface")


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunks_module, "CHUNK", 4)
    monkeypatch.setattr(prepare_module, "SHARD", 10)


def run(root, out, **options):
    return prepare(find_folder(root, 0.7), CONFIG, out, workers=1, progress=False, **options)


def contents(store: Store) -> dict[str, np.ndarray]:
    rows = np.arange(len(store))
    return {
        "images": store.images(rows).numpy(), "landmarks": store.landmarks[rows], "au": store.records.au,
        "pose": store.records.pose, "paths": np.array([store.records.path(row) for row in rows]),
    }  # fmt: skip


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    for key, values in a.items():
        np.testing.assert_array_equal(values, b[key], err_msg=key)


def test_crops_labels_and_paths_stay_together(tmp_path, small_chunks):
    root = write_people(tmp_path / "raw", people=3, pictures=5)
    store = run(root, tmp_path / "store").store
    assert len(store) == 15 and len(store.meta["shards"]) == 2
    for row in range(15):
        person, picture = divmod(row, 5)
        assert store.records.path(row).endswith(f"p{person:06d}/{picture + 1:06d}.png")
        np.testing.assert_allclose(store.records.au[row], aus(100 * person + picture), atol=1e-5)
        eyes = store.landmarks[row][36:42].mean(0), store.landmarks[row][42:48].mean(0)
        assert eyes[0][1] == pytest.approx(eyes[1][1], abs=1e-3)
        # The pose's roll is the CSV's 0.05 less what the crop turned: pictures lean by 0.05 (k - 2).
        assert store.records.pose[row, 2] == pytest.approx(0.05 - 0.05 * (picture - 2), abs=1e-5)
    tones = store.images(np.arange(15)).numpy()[:, 20, 8].astype(int)  # a cheek, each person's own
    assert (np.abs(tones[:5] - tones[:1]) < 16).all() and (tones[5, 0] - tones[0, 0]) > 8


def test_workers_do_the_same_as_one_process(tmp_path, small_chunks):
    root = write_people(tmp_path / "raw", people=3, pictures=5)
    one = run(root, tmp_path / "one").store
    two = prepare(find_folder(root, 0.7), CONFIG, tmp_path / "two", workers=2, progress=False).store
    same(contents(one), contents(two))


def test_a_killed_job_goes_on_and_repeats_nothing(tmp_path, small_chunks, monkeypatch):
    root = write_people(tmp_path / "raw", people=4, pictures=5)
    whole = run(root, tmp_path / "whole").store
    reads: list[str] = []
    read = chunks_module.read_picture

    def dies_at_the_tenth(path):
        if len(reads) == 10:
            raise KeyboardInterrupt
        reads.append(str(path))
        return read(path)

    monkeypatch.setattr(chunks_module, "read_picture", dies_at_the_tenth)
    with pytest.raises(KeyboardInterrupt):
        run(root, tmp_path / "store")
    assert not (tmp_path / "store").exists()
    finished = reads[:8]  # two chunks of four
    reads.clear()
    monkeypatch.setattr(chunks_module, "read_picture", lambda path: reads.append(str(path)) or read(path))
    store = run(root, tmp_path / "store").store
    assert len(reads) == 12 and not set(reads) & set(finished)
    same(contents(whole), contents(store))
    assert sorted(p.name for p in (tmp_path / "store").iterdir()) == [
        "faces-00000.npy", "faces-00001.npy", "faces-00002.npy", "landmarks.npy", "left_out.csv",
        "records.arrow", "report.json", "store.json",
    ]  # fmt: skip


def test_a_job_killed_while_it_puts_the_store_together_goes_on(tmp_path, small_chunks, monkeypatch):
    root = write_people(tmp_path / "raw", people=4, pictures=5)
    whole = run(root, tmp_path / "whole").store
    with monkeypatch.context() as patch:
        patch.setattr(Records, "write", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(root, tmp_path / "store")
    assert not (tmp_path / "store").exists()
    monkeypatch.setattr(chunks_module, "read_picture", lambda path: pytest.fail("a chunk was repeated"))
    same(contents(whole), contents(run(root, tmp_path / "store").store))


def test_shares_of_cluster_jobs_in_any_order_make_one_store(tmp_path, small_chunks):
    root = write_people(tmp_path / "raw", people=4, pictures=5)
    whole = run(root, tmp_path / "whole").store
    first = run(root, tmp_path / "store", shard=(3, 3))
    assert (
        first.store is None and first.kept == 4 and first.chunks_left == 4 and "other jobs" in first.summary()
    )
    assert run(root, tmp_path / "store", shard=(1, 3)).store is None
    same(contents(whole), contents(run(root, tmp_path / "store", shard=(2, 3)).store))
    again = run(root, tmp_path / "store", shard=(1, 3))  # a job that starts late finds all done
    assert again.kept == 20
    with pytest.raises(UserError, match="1 to n"):
        run(root, tmp_path / "store", shard=(4, 3))


def test_ranks_that_ask_for_the_same_at_once_do_it_once(tmp_path, small_chunks, monkeypatch):
    root = write_people(tmp_path / "raw", people=3, pictures=5)
    reads: list[str] = []
    read = chunks_module.read_picture
    monkeypatch.setattr(chunks_module, "read_picture", lambda path: reads.append(path) or read(path))
    with ThreadPoolExecutor(3) as pool:
        done = [future.result() for future in [pool.submit(run, root, tmp_path / "store") for _ in range(3)]]
    assert len(reads) == 15
    for prepared in done:
        same(contents(prepared.store), contents(done[0].store))


def test_a_finished_store_is_taken_as_it_is_and_replaced_when_the_data_changes(tmp_path):
    root = write_people(tmp_path / "raw", people=2, pictures=3)
    run(root, tmp_path / "store")
    written = (tmp_path / "store" / "store.json").stat().st_mtime_ns
    run(root, tmp_path / "store")
    assert (tmp_path / "store" / "store.json").stat().st_mtime_ns == written
    write_people(root, people=3, pictures=3)
    assert len(run(root, tmp_path / "store").store) == 9
    assert not [p for p in tmp_path.iterdir() if "old" in p.name or "partial" in p.name]


def test_bad_pictures_are_left_out_with_a_reason_and_stop_nothing(tmp_path):
    root = tmp_path / "raw" / "anna"
    points = [landmarks(120) for _ in range(9)]
    face = Image.fromarray(draw(points[0]))
    root.mkdir(parents=True)
    face.save(root / "a_good.jpg")
    face.convert("L").save(root / "b_grey.jpg")
    face.convert("CMYK").save(root / "c_cmyk.jpg")
    face.convert("RGBA").save(root / "d_rgba.png")
    Image.fromarray(np.asarray(face.convert("L")).astype(np.uint16) * 257).save(root / "e_16bit.png")
    whole = (root / "a_good.jpg").read_bytes()
    (root / "f_cut.jpg").write_bytes(whole[: len(whole) // 2])
    save(root / "g_tiny.png", np.zeros((1, 1, 3), np.uint8))
    (root / "h_text.jpg").write_text("no picture")
    face.save(root / "i_no_row.jpg")
    points[6] = np.zeros((68, 2))
    write_csv(root / "anna.csv", csv_rows(np.stack(points[:8]), np.zeros((8, 17))))
    prepared = run(tmp_path / "raw", tmp_path / "store")
    assert prepared.kept == 5 and sum(prepared.left_out.values()) == 4
    with open(tmp_path / "store" / "left_out.csv") as file:
        left = {row["path"].rsplit("/", 1)[1]: row["reason"] for row in csv.DictReader(file)}
    assert set(left) == {"f_cut.jpg", "g_tiny.png", "h_text.jpg", "i_no_row.jpg"}
    assert "truncated" in left["f_cut.jpg"] and "CSV" in left["i_no_row.jpg"]
    images = prepared.store.images(np.arange(5)).numpy().astype(int)
    for image in images:  # all of them show the same face, in colour or grey
        assert np.abs(image.mean(-1) - images[0].mean(-1)).mean() < 14


def test_no_face_at_all_is_an_error_that_says_why(tmp_path):
    save(tmp_path / "raw" / "anna" / "a.png", np.zeros((50, 50, 3), np.uint8))
    with pytest.raises(UserError, match=r"CSV.*data\.landmarks"):
        run(tmp_path / "raw", tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_killed_worker_is_a_clear_error(tmp_path, small_chunks, monkeypatch):
    root = write_people(tmp_path / "raw", people=3, pictures=5)
    monkeypatch.setattr(chunks_module, "read_picture", lambda path: os._exit(9))
    with pytest.raises(UserError, match="killed"):
        prepare(find_folder(root, 0.7), CONFIG, tmp_path / "store", workers=2, progress=False)


def test_a_damaged_or_missing_store_is_a_clear_error(tmp_path):
    with pytest.raises(UserError, match="facegan prepare"):
        Store(tmp_path / "none")
    run(write_people(tmp_path / "raw", people=2, pictures=3), tmp_path / "store")
    (tmp_path / "store" / "store.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        Store(tmp_path / "store")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A disk that is full, as far as a process can be made to see one: no file grows beyond ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [5_000, 20_000])
def test_a_full_disk_is_told_and_what_was_done_is_kept(tmp_path, small_chunks, size):
    # the smaller limit stops a chunk (four faces of 3 kB), the larger one a shard
    root = write_people(tmp_path / "raw", people=3, pictures=5)
    whole = contents(run(root, tmp_path / "whole").store)
    with (
        files_of_at_most(size),
        pytest.raises(UserError, match=r"cannot write .*kept.*run the same command again"),
    ):
        run(root, tmp_path / "store")
    assert not (tmp_path / "store").exists()
    assert not [
        path for path in tmp_path.rglob(".*") if path.suffix == ".npy"
    ]  # no half-written file is left
    same(contents(run(root, tmp_path / "store").store), whole)


def test_a_disk_that_cannot_be_written_to(tmp_path, small_chunks, monkeypatch):
    root = write_people(tmp_path / "raw", people=1, pictures=3)

    def refuse(*args, **kwargs):
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr(chunks_module.np, "savez", refuse)
    with pytest.raises(UserError, match=r"cannot write .*: Read-only file system, so .*FACEGAN_DATA"):
        run(root, tmp_path / "store")


def test_cluster_jobs_may_work_on_copies_of_the_data(tmp_path, small_chunks):
    roots = [write_people(tmp_path / name / "raw", people=3, pictures=5) for name in ("a", "b")]
    first = run(roots[0], tmp_path / "store", shard=(1, 2))
    assert first.shards_left == ("2/2",) and "--shard 2/2" in first.summary()
    whole = run(roots[1], tmp_path / "store", shard=(2, 2))
    assert whole.store is not None and len(whole.store) == 15


def test_what_a_job_killed_at_its_very_end_left_is_tidied(tmp_path, small_chunks):
    root = write_people(tmp_path / "raw", people=2, pictures=5)
    run(root, tmp_path / "store")
    left = [tmp_path / "store" / name for name in ("000000.npz", "plan.json")]
    for path in left:
        path.touch()
    run(root, tmp_path / "store")
    assert not any(path.exists() for path in left)


def test_the_report_counts_what_was_left_out_and_why(tmp_path):
    root = write_people(tmp_path / "raw", people=2, pictures=5)
    (root / "p000000" / "000001.png").write_bytes(b"")
    run(root, tmp_path / "store")
    report = json.loads((tmp_path / "store" / "report.json").read_text())
    assert (report["prepared"], report["left out"]) == (9, 1) and sum(report["reasons"].values()) == 1
