"""Films, read and written frame by frame: H.264 in .mp4, with another film's sound where one is asked for."""

import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np

from datamodules.preparation.pictures import upright
from facegan.config import UserError

KEPT_AS_THEY_ARE = ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac")
"""Codecs of sound that an .mp4 can hold; another one becomes AAC."""


CSV_FPS = Fraction(25)
"""Of a film that no other one gives its rate."""


class Footage:
    """A film or picture that is read; use it in a ``with`` statement.

    Args:
        path: what FFmpeg reads.
        option: that named it, for messages.

    Attributes:
        count: its frames, by its header or, where that does not say, counted.
        rate: frames a second.
        sound: its audio stream, if there is one.
        broken: how many of the frames read so far cannot be decoded.

    Raises:
        UserError: it cannot be read, or has no pictures.
    """

    def __init__(self, path: str, option: str = "--driving") -> None:
        kinds = "give one that FFmpeg reads, such as .mp4 or .jpg"
        try:
            self._container: Any = av.open(path)
        except (av.FFmpegError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise UserError(f"{option} {path}: no film that can be read ({reason}); {kinds}") from None
        text = self._container.format.name == "tty"  # FFmpeg draws what it takes for a terminal's output
        if text or not self._container.streams.video:
            self._container.close()
            raise UserError(f"{option} {path}: it has no pictures{' but text' if text else ''}; {kinds}")
        video = self._container.streams.video[0]
        self.count, self.rate = video.frames, video.average_rate or CSV_FPS
        if not self.count:
            self.count, self.rate = _counted(path, self.rate)
        self.sound: Any = next(iter(self._container.streams.audio), None)
        self._path, self.broken = path, 0

    def frames(
        self, most: int | None = None, hear: Callable[[Any], None] | None = None
    ) -> Iterator[np.ndarray | None]:
        """Its pictures (H, W, 3) uint8 RGB, in their order, None for one that cannot be decoded; once.

        Args:
            most: pictures that are wanted, and sound as long as they; of a long film no more is read. None: all.
            hear: gets the packets of the sound on the way.
        """
        left = sys.maxsize if most is None else most
        until = None if most is None or most >= self.count else most / self.rate
        streams = [self._container.streams.video[0], *([self.sound] if hear and self.sound else [])]
        packets = self._container.demux(streams)
        while (packet := _next(packets)) is not None:
            late = until is not None and packet.pts is not None and packet.pts * packet.time_base >= until
            if packet.stream.type == "audio":
                if hear and not late:
                    hear(packet)
            elif left > 0:
                for picture in self._decoded(packet)[:left]:
                    left -= 1
                    yield picture
            if late and left <= 0:
                return

    def notes(self) -> list[str]:
        """What is to be said of its frames once they have been read."""
        told = f"{self._path}: {self.broken:,} frames cannot be decoded; the one before stands in for each"
        return [told] if self.broken else []

    def _decoded(self, packet: Any) -> list[np.ndarray | None]:
        try:
            return [upright(frame) for frame in packet.decode()]
        except av.FFmpegError:
            self.broken += 1
            return [None]

    def __enter__(self) -> "Footage":
        return self

    def __exit__(self, *error: object) -> None:
        self._container.close()


def _next(packets: Iterator[Any]) -> Any:
    """The next packet; None at the end, and where the file is cut off."""
    try:
        return next(packets, None)
    except av.FFmpegError:
        return None


def _counted(path: str, rate: Fraction) -> tuple[int, Fraction]:
    """Frames, and how many a second by the times of the first and the last: .mkv and .webm have no count."""
    count, times, base = 0, [0, 0], Fraction(1)
    with av.open(path) as container:
        packets = container.demux(video=0)
        while (packet := _next(packets)) is not None:
            if packet.size and packet.pts is not None:
                at, base = packet.pts, packet.time_base
                times = [min(times[0], at), max(times[1], at)] if count else [at, at]
                count += 1
    if times[0] < times[1]:
        rate = ((count - 1) / ((times[1] - times[0]) * base)).limit_denominator(1001)
    return count, rate


class Film:
    """Writes a film; use it in a ``with`` statement, which finishes the file, after an error too.

    It is written beside, as ``NAME.part.mp4``, and stays there after an error if there is an earlier film at ``path``.

    Args:
        path: an .mp4.
        size: (height, width) of the pictures; odd sides lose a row or a column, for yuv420p wants even ones.
        rate: frames a second.
        sound: the audio stream of an open film, whose packets are given to ``hear``.
    """

    def __init__(self, path: Path, size: tuple[int, int], rate: Fraction | int, sound: Any = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._part, self._written = path, path.with_suffix(f".part{path.suffix}"), 0
        self._container: Any = av.open(str(self._part), "w")
        self._size = (size[0] // 2 * 2, size[1] // 2 * 2)
        self._video = self._container.add_stream("libx264", rate=rate)
        self._video.height, self._video.width = self._size
        self._video.pix_fmt = "yuv420p"
        self._video.options = {"crf": "18"}
        self._sound: Any = None
        self._copies = sound is not None and sound.codec_context.name in KEPT_AS_THEY_ARE
        if self._copies:
            self._sound = self._container.add_stream_from_template(sound)
        elif sound is not None:
            self._sound = self._container.add_stream("aac", rate=sound.codec_context.sample_rate)

    def write(self, picture: np.ndarray) -> None:
        """Add a picture (H, W, 3) uint8 RGB."""
        height, width = self._size
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:height, :width]), format="rgb24")
        self._container.mux(self._video.encode(frame))
        self._written += 1

    def hear(self, packet: Any) -> None:
        """Add a packet of the other film's sound."""
        if self._copies:
            if packet.dts is not None:  # the last one, which only ends the stream, has none
                packet.stream = self._sound
                self._container.mux(packet)
            return
        try:
            heard = packet.decode()
        except av.FFmpegError:
            return  # a moment of silence
        for frame in heard:
            self._container.mux(self._sound.encode(frame))

    def __enter__(self) -> "Film":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._written:
            self._container.mux(self._video.encode(None))
            if self._sound is not None and not self._copies:
                self._container.mux(self._sound.encode(None))
        self._container.close()
        if not self._written:
            self._part.unlink(missing_ok=True)
        elif error is None or not self._path.exists():
            self._part.replace(self._path)
