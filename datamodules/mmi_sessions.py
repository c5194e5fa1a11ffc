"""What the folders of MMI's sessions say: the recording, and its three kinds of XML (see ``datamodules.mmi``)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

from datamodules.discovery import walk
from datamodules.records import expression_index
from facegan.faces import UNKNOWN_EXPRESSION

CODES = ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
"""Emotions by code, from 1."""
SIDES = ("frontal", "profile", "dual")
"""What ``view`` in session.xml says, from 0."""
_NO_END = 2**31
_BLINKS = ("45", "46")  # AUs that come and go beside an expression
_MEDIA = re.compile(r"^(?P<person>S\d{3})-\d{3}\.(?:avi|mpe?g|mp4|jpe?g|png)$", re.IGNORECASE)

_ABOUT = re.compile(r"^(?P<stem>s\d{3}-\d{3})\.xml$")  # in small letters


@dataclass(frozen=True)
class Session:
    """What a session's folder says: the recording, its side, emotion (-1 none) and apex (first, end; from 0)."""

    media: Path
    person: str
    side: str
    code: str  # of the emotion, as the file has it; "none"
    expression: int
    apex: tuple[int, int] | None
    coded: bool


def read_sessions(root: Path, left_out: list[tuple[str, str]]) -> Iterator[Session]:
    """Every recording with its three kinds of XML, in the order of the sessions' numbers; each once."""
    places = [(place, files) for place, _, files in walk(root) if place.name.isdigit()]
    seen: set[tuple[int, str]] = set()
    for place, files in sorted(places, key=lambda item: int(item[0].name)):
        named = {file.lower(): place / file for file in files}
        recorded = {Path(match.string).stem.lower() for match in filter(None, map(_MEDIA.match, files))}
        for name, path in named.items():
            if (xml := _ABOUT.match(name)) and xml["stem"] not in recorded:
                left_out.append((str(path), "XML without its clip or picture"))
        for match in filter(None, map(_MEDIA.match, files)):
            media = place / match.string
            stem = media.stem.lower()
            if (int(place.name), match.string.lower()) in seen:
                left_out.append((str(media), "in two downloads"))
                continue
            seen.add((int(place.name), match.string.lower()))
            try:
                about = _xml(named.get(f"{stem}.xml"))
                session = _xml(named.get("session.xml"))
                coding = _xml(named.get(f"{stem}-oao_aucs.xml"))
            except ElementTree.ParseError as error:
                left_out.append((str(media), f"damaged XML ({error})"))
                continue
            code = _emotion(about)
            yield Session(
                media, match["person"].upper(), _side(session), code, _expression(code), _apex(coding),
                coding is not None,
            )  # fmt: skip


def _xml(path: Path | None) -> ElementTree.Element | None:
    return ElementTree.parse(path).getroot() if path is not None else None


def _side(session: ElementTree.Element | None) -> str:
    """The side filmed; frontal where nothing is said of it."""
    track = session.find(".//{*}track[@view]") if session is not None else None
    code = track.get("view", "0") if track is not None else "0"
    return SIDES[int(code)] if code in ("0", "1", "2") else SIDES[0]


def _emotion(about: ElementTree.Element | None) -> str:
    """The emotion's code, by the tag's name, not by its place."""
    for tag in about.iterfind(".//{*}Metatag") if about is not None else ():
        if tag.get("Name") == "Emotion":
            return tag.get("Value", "").strip()
    return "none"


def _expression(code: str) -> int:
    """Index of the emotion; -1 for codes that are none of the six."""
    known = code.isdigit() and 1 <= int(code) <= len(CODES)
    return expression_index(CODES[int(code) - 1]) if known else UNKNOWN_EXPRESSION


def _apex(coding: ElementTree.Element | None) -> tuple[int, int] | None:
    """Frames (first, end), from 0, of the first stretch in which the most coded AUs are at their apex; no blinks.

    An AU's apex runs from its first marker of type 2 to the next marker, to the end of the clip where there is none.
    """
    spans = []
    for unit in coding.iterfind(".//{*}ActionUnit") if coding is not None else ():
        if unit.get("Number", "").strip("LRlr ") in _BLINKS:
            continue
        markers = [
            (int(marker.get("Frame", "")) - 1, marker.get("Type", "").strip())
            for marker in unit.iterfind(".//{*}Marker")
            if marker.get("Frame", "").strip().isdigit()
        ]
        start = min((frame for frame, kind in markers if kind == "2"), default=None)
        if start is not None:
            spans.append((start, min((frame for frame, _ in markers if frame > start), default=_NO_END)))
    if not spans:
        return None
    edges = sorted({edge for span in spans for edge in span})
    stretches = [
        (sum(a <= start and end <= b for a, b in spans), start, end) for start, end in pairwise(edges)
    ]
    most = max(count for count, *_ in stretches)
    return next((start, end) for count, start, end in stretches if count == most)
