"""Raw pictures and videos as RGB uint8 arrays, whatever their file holds."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageOps

PICTURE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
VIDEOS = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"})

VIEWS = ("", "clockwise", "counterclockwise", "left", "right")
"""How to look at a raw picture: as it is, turned by a quarter, or one half of it."""


class UnreadablePicture(Exception):
    """A picture or frame that cannot be used; its text is the reason for leaving it out."""


def is_picture(path: Path) -> bool:
    """Whether the name's ending is that of a picture, in any case."""
    return path.suffix.lower() in PICTURE_ENDINGS


def is_video(path: Path) -> bool:
    """Whether the name's ending is that of a video, in any case."""
    return path.suffix.lower() in VIDEOS


def read_picture(path: str | Path) -> np.ndarray:
    """RGB (H, W, 3) uint8, upright by its EXIF; from grey, 16-bit, palette, CMYK or transparent.

    Raises:
        UnreadablePicture: missing, truncated or not a picture.
    """
    try:
        with Image.open(path) as file:
            file.load()
            image = ImageOps.exif_transpose(file)
    except FileNotFoundError:
        raise UnreadablePicture("file is missing") from None
    except IsADirectoryError:
        raise UnreadablePicture("a folder, not a picture") from None
    # Pillow's decoders raise what they like on damaged files: SyntaxError, struct.error, ValueError …
    except Exception as error:
        if is_empty(path):
            raise UnreadablePicture("file is empty") from None
        named = str(error).replace(f" {str(path)!r}", "").replace(str(path), "")
        reason = " ".join(named.split()) or type(error).__name__
        raise UnreadablePicture(f"unreadable picture ({reason[:80]})") from None
    if image.mode.startswith("I") or image.mode == "F":
        # 16-bit grey: Pillow's own conversion would cut at 255 instead of scaling.
        values = np.asarray(image, np.float64)
        scale = 255 / (65535 if values.max() > 255 else 255)
        return np.repeat(np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return np.array(image.convert("RGB"))


def is_empty(path: str | Path) -> bool:
    """Whether a file is there and has no bytes."""
    try:
        return Path(path).stat().st_size == 0
    except OSError:
        return False


def _unreadable_video(path: str | Path, error: Exception) -> UnreadablePicture:
    if is_empty(path):
        return UnreadablePicture("file is empty")
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return UnreadablePicture(f"unreadable video, perhaps cut short ({reason})")


def look(image: np.ndarray, view: str) -> np.ndarray:
    """The part of a raw picture (H, W, 3) that one of ``VIEWS`` shows, upright."""
    middle = image.shape[1] // 2
    shown = {
        "": image, "clockwise": np.rot90(image, -1), "counterclockwise": np.rot90(image),
        "left": image[:, :middle], "right": image[:, middle:],
    }[view]  # fmt: skip
    return np.ascontiguousarray(shown)


def count_frames(path: str | Path, exact: bool = True) -> int:
    """Number of pictures in a video, counted from its packets without decoding.

    Args:
        exact: count; else believe the file's own number, where it states one.

    Raises:
        UnreadablePicture: not a video that can be opened.
    """
    return frame_size_and_count(path, exact)[1]


def stated_frames(path: str | Path) -> int:
    """Number of pictures that a video's header states; 0 where it states none.

    Raises:
        UnreadablePicture: not a video that can be opened.
    """
    try:
        with av.open(str(path)) as container:
            return container.streams.video[0].frames
    except (av.FFmpegError, OSError, IndexError) as error:
        raise _unreadable_video(path, error) from None


def frame_size_and_count(path: str | Path, exact: bool = True) -> tuple[tuple[int, int], int]:
    """(height, width) of a video's pictures, and how many there are; see ``count_frames``."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            size = (stream.codec_context.height, stream.codec_context.width)
            if stream.frames and not exact:
                return size, stream.frames
            return size, sum(1 for packet in container.demux(video=0) if packet.size)
    except (av.FFmpegError, OSError, IndexError) as error:
        raise _unreadable_video(path, error) from None


def upright(frame: av.VideoFrame) -> np.ndarray:
    """A decoded frame (H, W, 3) uint8 RGB, turned as its film says."""
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90))


def read_frames(path: str | Path, frames: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (frame, RGB picture) for the wanted frames (ascending, from 0), one at a time.

    Frames before the first wanted one are decoded but not converted; the video is never held whole. Ends
    early where the video does.

    Raises:
        UnreadablePicture: not a video, or damaged from here on.
    """
    wanted = iter(frames.tolist())
    target = next(wanted, None)
    try:
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            for number, frame in enumerate(container.decode(video=0)):
                if target is None:
                    return
                if number == target:
                    yield number, upright(frame)
                    target = next(wanted, None)
    except (av.FFmpegError, OSError, IndexError) as error:
        raise _unreadable_video(path, error) from None
