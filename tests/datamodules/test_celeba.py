import numpy as np
import pytest

from datamodules.celeba import CelebA, CelebAConfig, asymmetry
from facegan.config import UserError

FRONTAL = "69 111 108 111 88 135 73 152 105 152"
TURNED = "69 111 108 111 105 135 80 152 108 152"


def lists(folder, ending=".txt", numbers=range(1, 11), identity=True) -> None:
    """The three lists as the authors write them, or with commas as Kaggle does; picture 10 looks aside."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{n:06d}.jpg" for n in numbers]
    people = [f"{name}  {2 + k // 2} " for k, name in enumerate(names)]
    parts = [f"{name} {0 if k < 6 else 1 if k < 8 else 2}" for k, name in enumerate(names)]
    points = [f"{name}  {FRONTAL if k < 9 else TURNED}  " for k, name in enumerate(names)]
    columns = " ".join(
        f"{point}_{axis}"
        for point in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
        for axis in "xy"
    )
    header = [str(len(names)), columns]
    if ending == ".csv":
        points, parts = ([",".join(row.split()) for row in rows] for rows in (points, parts))
        header = ["image_id," + ",".join(columns.split())]
        parts = ["image_id,partition", *parts]
    (folder / f"list_landmarks_align_celeba{ending}").write_text("\n".join([*header, *points]) + "\n")
    (folder / f"list_eval_partition{ending}").write_text("\n".join(parts) + "\n")
    # The box of 101283.jpg is empty in the real list, which is of other pictures: it must do no harm.
    (folder / f"list_bbox_celeba{ending}").write_text(
        "1\nimage_id x_1 y_1 width height\n000001.jpg 0 0 0 0\n"
    )
    if identity:
        (folder / "identity_CelebA.txt").write_text("\n".join(people) + "\n")


def pictures(folder, numbers=range(1, 11), ending=".jpg") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for n in numbers:
        (folder / f"{n:06d}{ending}").touch()


def module(root, **options) -> CelebA:
    return CelebA(CelebAConfig(root=str(root), image_size=32, prepare_workers=1, **options))


def official(root) -> None:
    pictures(root / "CelebA" / "Img" / "img_align_celeba")
    pictures(root / "CelebA" / "Img" / "img_celeba")  # in the wild: not those that the lists are of
    lists(root / "CelebA" / "Anno")
    (root / "CelebA" / "Eval").mkdir()
    (root / "CelebA" / "Anno" / "list_eval_partition.txt").rename(
        root / "CelebA" / "Eval" / "list_eval_partition.txt"
    )


def flat(root) -> None:
    pictures(root / "img_align_celeba")
    lists(root)


def png(root) -> None:
    pictures(root / "img_align_celeba_png", ending=".png")
    lists(root)


@pytest.mark.parametrize("layout", [official, flat, png])
def test_layouts_of_the_authors(tmp_path, layout):
    layout(tmp_path)
    data = module(tmp_path)
    found = data.find()
    assert len(found.records) == 10 and not found.left_out and not found.notes
    assert found.records.people() == ["00002", "00003", "00004", "00005", "00006"]
    split = data.split(found.records)
    assert [len(part) for part in (split.train, split.val, split.test)] == [6, 2, 2]
    assert "img_align_celeba" in found.records.path(0)


def test_kaggle_has_commas_a_doubled_folder_and_nobody(tmp_path):
    pictures(tmp_path / "img_align_celeba" / "img_align_celeba")
    lists(tmp_path, ".csv", identity=False)
    found = module(tmp_path, frontal=0.1).find()
    assert len(found.records.people()) == 9
    assert found.notes[0].startswith("no identity_CelebA.txt")
    assert len(module(tmp_path).split(found.records).test) == 1


def test_frontal_by_symmetry(tmp_path):
    flat(tmp_path)
    found = module(tmp_path, frontal=0.1).find()
    assert len(found.records) == 9 and found.notes == [
        "1 pictures are passed over: more than data.frontal=0.1 from frontal"
    ]
    eyes = [69, 111, 108, 111]
    assert asymmetry(np.array([*eyes, 88.5, 135, 78.5, 152, 98.5, 152])) == 0
    assert asymmetry(np.array([*eyes, 96.3, 135, 78.5, 152, 98.5, 152])) == pytest.approx(7.8 / 39)
    # a head on its side is as frontal as one upright
    turned = np.array([[69, 111], [108, 111], [96.3, 135], [78.5, 152], [98.5, 152]]) @ [
        [0.6, 0.8],
        [-0.8, 0.6],
    ]
    assert asymmetry(turned.ravel()) == pytest.approx(7.8 / 39)
    assert asymmetry(np.array([0] * 10)) == np.inf


def test_without_the_partition_the_numbers_tell(tmp_path):
    pictures(tmp_path / "img_align_celeba", [1, 162_770, 162_771, 182_637, 182_638, 202_599])
    data = module(tmp_path)
    found = data.find()
    split = data.split(found.records)
    assert [part.tolist() for part in (split.train, split.val, split.test)] == [[0, 1], [2, 3], [4, 5]]
    assert any(note.startswith("no list_eval_partition.txt") for note in found.notes)


def test_a_half_copied_set(tmp_path):
    pictures(tmp_path / "img_align_celeba", [1, 2, 3, 11])
    lists(tmp_path)
    text = (tmp_path / "list_landmarks_align_celeba.txt").read_text().splitlines()
    text[3] = "000002.jpg 69 111 x"
    (tmp_path / "list_landmarks_align_celeba.txt").write_text("\n".join(text))
    found = module(tmp_path, frontal=0.1).find()
    assert [reason for _, reason in found.left_out] == [
        "not in list_landmarks_align_celeba.txt", "not in identity_CelebA.txt",
    ]  # fmt: skip
    assert found.notes == ["7 pictures are listed in identity_CelebA.txt, but not there"]
    assert len(found.records) == 2


def test_bad_input_is_told_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"img_align_celeba/000001\.jpg.*there is no such folder"):
        module(tmp_path / "nowhere").find()
    pictures(tmp_path / "img_align_celeba")
    with pytest.raises(UserError, match=r"data\.frontal=0\.1 needs list_landmarks_align_celeba\.txt"):
        module(tmp_path, frontal=0.1).find()
    with pytest.raises(UserError, match=r"data\.frontal=0: must be above 0"):
        module(tmp_path, frontal=0)


def test_behind_a_link_and_from_within(tmp_path, monkeypatch):
    pictures(tmp_path / "scratch")
    (tmp_path / "celeba").mkdir()
    (tmp_path / "celeba" / "img_align_celeba").symlink_to(tmp_path / "scratch")
    (tmp_path / "celeba" / "again").symlink_to(tmp_path / "celeba")  # a ring
    assert len(module(tmp_path / "celeba").find().records) == 10
    (tmp_path / "img_align_celeba").mkdir()
    pictures(tmp_path / "img_align_celeba" / "inner")
    monkeypatch.chdir(tmp_path / "img_align_celeba")
    assert len(module(".").find().records) == 10


def test_still_packed(tmp_path):
    (tmp_path / "img_align_celeba.zip").touch()
    with pytest.raises(UserError, match=r"it holds img_align_celeba\.zip, still packed"):
        module(tmp_path).find()
