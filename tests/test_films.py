import av
import numpy as np
import pytest

from facegan.films import Film


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


def test_a_film_that_fails_is_closed(tmp_path):
    with pytest.raises(RuntimeError, match="stop"), Film(tmp_path / "o.mp4", (32, 32), 25) as film:
        film.write(np.zeros((32, 32, 3), np.uint8))
        raise RuntimeError("stop")
    (tmp_path / "o.mp4").write_bytes(b"")  # nobody holds it
