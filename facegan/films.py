"""Films: H.264 in .mp4, written frame by frame, with another film's sound where one is asked for."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np

KEPT_AS_THEY_ARE = ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac")
"""Codecs of sound that an .mp4 can hold; another one becomes AAC."""


class Film:
    """Writes a film; use it in a ``with`` statement, which finishes the file.

    Args:
        path: an .mp4.
        size: (height, width) of the pictures; odd sides lose a row or a column, for yuv420p wants even ones.
        rate: frames a second.
        sound: the audio stream of an open film, whose packets are given to ``hear``.
    """

    def __init__(self, path: Path, size: tuple[int, int], rate: Fraction | int, sound: Any = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._container: Any = av.open(str(path), "w")
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

    def hear(self, packet: Any) -> None:
        """Add a packet of the other film's sound."""
        if self._copies:
            if packet.dts is not None:  # the last one, which only ends the stream, has none
                packet.stream = self._sound
                self._container.mux(packet)
            return
        for frame in packet.decode():
            self._container.mux(self._sound.encode(frame))

    def __enter__(self) -> "Film":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._container.mux(self._video.encode(None))
            if self._sound is not None and not self._copies:
                self._container.mux(self._sound.encode(None))
        self._container.close()
