from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from facegan.config import UserError
from facegan.films import Film, Footage


@pytest.mark.parametrize(("codec", "ending", "kept"), [("aac", "mp4", "aac"), ("pcm_s16le", "avi", "aac")])
def test_the_other_film_s_sound_is_kept(with_sound, tmp_path, codec, ending, kept):
    driver = with_sound(tmp_path / f"driver.{ending}", codec)
    out = tmp_path / "out.mp4"
    with av.open(str(driver)) as source, Film(out, (48, 65), 25, source.streams.audio[0]) as film:
        for packet in source.demux():
            if packet.stream.type == "audio":
                film.hear(packet)
            else:
                for frame in packet.decode():
                    film.write(np.zeros((48, 65, 3), np.uint8) + frame.to_ndarray(format="rgb24")[:, :1])
    with av.open(str(out)) as result:
        assert result.streams.audio[0].codec_context.name == kept
        assert (result.streams.video[0].height, result.streams.video[0].width) == (48, 64)
        heard = sum(f.samples for f in result.decode(audio=0)) / 16000
        result.seek(0)
        seen = [f.to_ndarray(format="rgb24").mean() for f in result.decode(video=0)]
    assert len(seen) == 25 and heard == pytest.approx(1, abs=0.15)
    assert np.corrcoef(seen, np.arange(25))[0, 1] > 0.99, "the pictures in their order"


def test_a_film_that_fails_is_finished_as_far_as_it_is(tmp_path):
    path = tmp_path / "o.mp4"
    with pytest.raises(RuntimeError, match="stop"), Film(path, (32, 32), 25) as film:
        film.write(np.zeros((32, 32, 3), np.uint8))
        raise RuntimeError("stop")
    with Footage(str(path)) as footage:
        assert len(list(footage.frames())) == 1
    earlier = path.read_bytes()
    with pytest.raises(RuntimeError, match="stop"), Film(path, (32, 32), 25):
        raise RuntimeError("stop")
    assert path.read_bytes() == earlier and list(tmp_path.iterdir()) == [path], (
        "without a picture it is no film"
    )


def film_of(path: Path, stamps: list[int], base: Fraction, rate: int) -> Path:
    """Pictures that grow lighter, each at its time."""
    with av.open(str(path), "w") as made:
        video = made.add_stream("libx264", rate=rate, options={"bf": "0", "g": "1"})
        video.width = video.height = 32
        video.pix_fmt, video.codec_context.time_base = "yuv420p", base
        for k, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 8 * k, np.uint8), format="rgb24")
            frame.pts, frame.time_base = stamp, base
            made.mux(video.encode(frame))
        made.mux(video.encode(None))
    return path


def test_frames_are_counted_where_the_header_does_not_say(tmp_path):
    path = film_of(tmp_path / "o.mkv", list(range(20)), Fraction(1, 25), 25)
    with av.open(str(path)) as plain:
        assert plain.streams.video[0].frames == 0
    with Footage(str(path)) as footage:
        assert (footage.count, footage.rate) == (20, 25) and len(list(footage.frames())) == 20


def test_the_rate_is_that_of_the_times_not_of_the_header(tmp_path):
    """A browser's recording counts in milliseconds, and says so where its rate should be."""
    path = film_of(tmp_path / "o.mkv", list(range(0, 1200, 40)), Fraction(1, 1000), 1000)
    with Footage(str(path)) as footage:
        assert footage.count == 30 and footage.rate == 25


def place_of(path: Path, frame: int) -> tuple[int, int]:
    """Where in the file the frame is: its first byte, and how many there are."""
    with av.open(str(path)) as plain:
        packet = [packet for packet in plain.demux(video=0) if packet.size][frame]
        return packet.pos, packet.size


def test_what_is_cut_off_ends_there(tmp_path):
    path = film_of(tmp_path / "o.mkv", list(range(20)), Fraction(1, 25), 25)
    path.write_bytes(path.read_bytes()[: place_of(path, 9)[0]])
    with Footage(str(path)) as footage:
        assert len(list(footage.frames())) == footage.count and 7 <= footage.count <= 9


@pytest.mark.parametrize("at", [0, 7])
def test_a_frame_that_cannot_be_decoded_is_none_and_counted(tmp_path, at):
    path = film_of(tmp_path / "o.mp4", list(range(20)), Fraction(1, 25), 25)
    start, size = place_of(path, at)
    content = bytearray(path.read_bytes())
    content[start : start + size] = b"\xff" * size
    path.write_bytes(content)
    with Footage(str(path)) as footage:
        pictures = list(footage.frames())
    assert [k for k, picture in enumerate(pictures) if picture is None] == [at] and len(pictures) == 20
    assert footage.broken == 1 and "1 frames cannot be decoded" in footage.notes()[0]
    assert abs(pictures[12].mean() - 96) < 8, "the others stay in their places"


@pytest.mark.parametrize(
    ("name", "words"),
    [("a.txt", "no pictures but text"), ("none.mp4", "No such file")],
)
def test_what_is_no_film_is_said(tmp_path, name, words):
    if name != "none.mp4":
        (tmp_path / name).write_text("some words\n" * 100)
    with pytest.raises(UserError, match=words):
        Footage(str(tmp_path / name))
