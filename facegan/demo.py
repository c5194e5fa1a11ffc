"""``facegan demo RUN``: a page in the browser to try a trained run, made of what its method can do.

A method that edits (EGGAN) or reenacts (ICface) gets a slider for each AU, and for each angle of the head where it
turns heads, and draws while they move. A method that transfers (TER-GAN, AIP-GAN) gets two pictures in, one out.
"""

import html
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import torch
from omegaconf import OmegaConf
from PIL import UnidentifiedImageError
from torch import Tensor

from facegan import editing, reenacting
from facegan.config import UserError, check
from facegan.driving import to_either_side
from facegan.editing import Face, FaceEditor
from facegan.faces import AU_ACTIONS, AU_MAX, AU_NAMES, EXPRESSIONS, POSE, prototype
from facegan.methods import METHODS
from facegan.pixels import to_uint8
from facegan.releases import LIMITS
from facegan.runs import WEIGHTS, Run, find_run

ADDRESS = "127.0.0.1"
ABILITIES = ("edit", "reenact", "transfer")
SIDE = 360  # of a picture on the page, pixels
REGIONS = {
    "Brows and eyes": ("AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU45"),
    "Nose and upper lip": ("AU09", "AU10", "AU12", "AU14", "AU15"),
    "Mouth and chin": ("AU17", "AU20", "AU23", "AU25", "AU26"),
}
"""How the AUs lie on the page."""

RESULT: dict[str, Any] = {
    "label": "Result", "format": "png", "interactive": False, "elem_id": "result", "height": SIDE,
    "buttons": ["download", "fullscreen"],
}  # fmt: skip
STYLE = "#source img, #target img, #result img {width: 100%; height: 100%; object-fit: contain}"
CONSENT = "Pictures stay on this machine. Ask people before you edit their faces; say of a result that it is edited."


@dataclass(frozen=True)
class Subject:
    """Whom the sliders move: the cut face, where its picture lies, and its neutral face if the method makes one."""

    face: Face
    path: str
    neutral: Tensor | None = None


def _picture(label: str, name: str) -> gr.Image:
    """A picture to be given as a file; what is none is said so to the user."""
    picture = gr.Image(
        label=label, type="filepath", sources=["upload", "webcam", "clipboard"], elem_id=name, height=SIDE
    )  # fmt: skip
    read = picture.preprocess

    def checked(payload: Any) -> Any:
        try:
            return read(payload)
        except (UnidentifiedImageError, OSError):
            raise _message(
                f"{payload.orig_name} is no picture that can be read; give a JPEG or PNG"
            ) from None

    picture.preprocess = checked  # type: ignore[method-assign]  # a subclass would make gradio write files here
    return picture


def _slider(least: float, most: float, step: float, label: str, name: str) -> gr.Slider:
    """A slider at 0, whose number may be deleted or typed; what it cannot be is said so to the user."""
    slider = gr.Slider(least, most, 0, step=step, label=label, elem_id=name)
    read = slider.preprocess

    def checked(payload: float | None) -> float:
        try:
            return 0.0 if payload is None else read(payload)
        except gr.Error:
            raise _message(f"{label}: {payload:g} does not lie between {least:g} and {most:g}") from None

    slider.preprocess = checked  # type: ignore[method-assign]  # as above
    return slider


def _message(text: str) -> gr.Error:
    return gr.Error(html.escape(text), title="This did not work", print_exception=False)


def _telling(work: Callable[..., Any]) -> Callable[..., Any]:
    """``work`` whose UserErrors are shown on the page."""

    def told(*args: Any) -> Any:
        try:
            return work(*args)
        except UserError as error:
            words = re.sub(r"^--\w+ ", "", str(error))  # an option of the command line
            for file in filter(lambda arg: isinstance(arg, str), args):
                words = words.replace(file, Path(file).name)  # where gradio has put it
            raise _message(words) from None

    return told


def serve(run: str, checkpoint: str = "last", port: int | None = None, open_browser: bool = False) -> None:
    """Show the page of a run at ``http://127.0.0.1:PORT`` until it is stopped.

    Args:
        port: None: the first free one from 7860 on.

    Raises:
        UserError: no such run, or one of a judge; or the port is taken.
    """
    if port is not None:
        check("--port", port, at_least=1, at_most=65535)
    try:
        show(page(run, checkpoint), port, inbrowser=open_browser)
    except OSError as error:
        raise UserError(f"the page cannot be shown ({error}); choose another port with --port") from None


def show(blocks: gr.Blocks, port: int | None = None, **options: Any) -> str:
    """Serve a page to this machine alone; its address. Nothing is fetched for it from elsewhere."""
    fonts = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    _, address, _ = blocks.launch(
        server_name=ADDRESS, server_port=port, share=False, footer_links=[], css=STYLE, theme=fonts, **options
    )
    return str(address)


def page(run: str, checkpoint: str = "last") -> gr.Blocks:
    """The page of a run, not yet shown.

    Raises:
        UserError: no such run, or its method makes no pictures.
    """
    found = find_run(run)
    ability = next((a for a in ABILITIES if hasattr(_method(found), a)), "edit")
    editor = editing.load(found, checkpoint, can=ability)
    with gr.Blocks(title="facegan", analytics_enabled=False) as blocks:
        gr.Markdown(_heading(found, checkpoint))
        if ability == "transfer":
            _transfer_page(editor)
        else:
            _slider_page(
                editor,
                ability == "reenact",
                partial(reenacting.reenact_file, str(found.folder), checkpoint=checkpoint),
            )
        gr.Markdown(CONSENT)
    return blocks


def _heading(run: Run, checkpoint: str) -> str:
    """Name of the run; of a packed one also what its card says that it cannot do."""
    if run.last.name != WEIGHTS:
        return f"# {run.folder.parent.name}\nrun {run.folder.name}, checkpoint {checkpoint}"
    card = run.folder / "README.md"
    lines = card.read_text().splitlines() if card.is_file() else []
    return "\n\n".join([f"# {run.folder.name}", *(line for line in lines if line.startswith(LIMITS))])


def _method(run: Run) -> type:
    return METHODS[OmegaConf.load(run.config).method.name][1]


# Sliders: EGGAN, ICface


def take(editor: FaceEditor, path: str | None) -> tuple[Subject | None, list[float]]:
    """Cut the face of a picture file; its pose (if the method turns heads) and AUs, in the method's own opinion.

    Raises:
        UserError: there is no face.
    """
    turns = hasattr(editor.module, "animate")
    if path is None:
        return None, [0.0] * (len(AU_NAMES) + turns * len(POSE))
    face = editor.cut(path)
    if not turns:
        return Subject(face, path), _rounded(editor.estimate_aus(face.image[None])[0])
    pose, au = editor.estimate(face.image[None])
    far = torch.tensor(to_either_side(editor.reach))
    seen = torch.cat([pose[0].clamp(-far, far), au[0]])
    return Subject(face, path, editor.neutralise(face.image[None])), _rounded(seen)


def draw(editor: FaceEditor, subject: Subject | None, whole: bool, values: list[float]) -> np.ndarray | None:
    """The subject with those values of the sliders (H, W, 3) uint8, alone or in its whole picture."""
    if subject is None:
        return None
    moved = torch.tensor(values)[None]
    if subject.neutral is None:
        (edited,) = editor.edit(subject.face.image[None], moved)
    else:
        (edited,) = editor.animate(subject.neutral, moved[:, : len(POSE)], moved[:, len(POSE) :])
    return subject.face.paste(edited) if whole else to_uint8(edited[None])[0]


def _rounded(values: Tensor) -> list[float]:
    return [round(value, 2) for value in values.tolist()]


def _slider_page(editor: FaceEditor, turns: bool, reenact: Callable[..., str]) -> None:
    subject = gr.State(None)
    with gr.Row():
        with gr.Column():
            source = _picture("A face", "source")
            whole = gr.Checkbox(label="in the whole picture")
        result = gr.Image(**RESULT)
    with gr.Row():
        presets = [gr.Button(name, size="sm", min_width=80, elem_id=name) for name in EXPRESSIONS]
    by_name = {}
    if turns:
        with gr.Row():
            for name, far in zip(POSE, to_either_side(editor.reach), strict=True):
                by_name[name] = _slider(-far, far, 0.01, f"{name}, radians", name)
    with gr.Row():
        for region, names in REGIONS.items():
            with gr.Column():
                gr.Markdown(f"**{region}**")
                for name in names:
                    label = f"{name} {AU_ACTIONS[AU_NAMES.index(name)]}"
                    by_name[name] = _slider(0, AU_MAX, 0.05, label, name)
    sliders = [by_name[name] for name in ((*POSE, *AU_NAMES) if turns else AU_NAMES)]

    @_telling
    def taken(path: str | None, in_whole: bool) -> list[Any]:
        found, values = take(editor, path)
        return [found, draw(editor, found, in_whole, values), *values]

    @_telling
    def moved(found: Subject | None, in_whole: bool, *values: float) -> np.ndarray | None:
        return draw(editor, found, in_whole, list(values))

    def preset(name: str, found: Subject | None, in_whole: bool, *values: float) -> list[Any]:
        chosen = [*values[: len(values) - len(AU_NAMES)], *prototype(name).tolist()]
        return [moved(found, in_whole, *chosen), *chosen]

    source.change(taken, [source, whole], [subject, result, *sliders], show_progress="minimal")
    whole.input(moved, [subject, whole, *sliders], result, show_progress="hidden")
    for slider in sliders:  # while one is dragged, only its last place is drawn
        slider.input(
            moved, [subject, whole, *sliders], result, show_progress="hidden", trigger_mode="always_last"
        )
    for name, button in zip(EXPRESSIONS, presets, strict=True):
        button.click(
            partial(preset, name), [subject, whole, *sliders], [result, *sliders], show_progress="hidden"
        )
    if turns:
        _driving(subject, reenact)


def _driving(subject: gr.State, reenact: Callable[..., str]) -> None:
    """A film that moves the face."""
    with gr.Row():
        film = gr.Video(label="A driving film", sources=["upload", "webcam"])
        table = gr.File(label="OpenFace's CSV of it, if there is one", file_types=[".csv"])
        result = gr.Video(label="Face, driver, result", interactive=False)

    @_telling
    def driven(found: Subject | None, driver: str | None, csv: str | None) -> str:
        if found is None or driver is None:
            raise UserError("give a face and a driving film first")
        out = Path(tempfile.mkdtemp(prefix="facegan-")) / "reenacted.mp4"
        reenact(found.path, str(out), driving=driver, driving_csv=csv, progress=False)
        return str(out)

    gr.Button("Move the face by the film").click(driven, [subject, film, table], result)


# Two pictures in, one out: TER-GAN, AIP-GAN


def transfer(editor: FaceEditor, source: str | None, target: str | None) -> list[Any]:
    """The face of one picture file with the expression of another, (H, W, 3) uint8, and the expressions seen in
    source, target and result (name -> probability); None where there is nothing yet.

    Raises:
        UserError: there is no face.
    """
    faces = [editor.cut(path).image[None] if path else None for path in (source, target)]
    made = None if faces[0] is None or faces[1] is None else editor.transfer(faces[0], faces[1])
    seen = [
        None
        if face is None
        else dict(zip(editor.expressions, editor.recognise(face)[0].tolist(), strict=True))
        for face in (*faces, made)
    ]
    return [None if made is None else to_uint8(made)[0], *seen]


def _transfer_page(editor: FaceEditor) -> None:
    with gr.Row():
        source, target = _picture("The expression of", "source"), _picture("The face of", "target")
        result = gr.Image(**RESULT)
    with gr.Row():
        seen = [gr.Label(label=f"Seen in the {which}") for which in ("first", "second", "result")]
    for picture in (source, target):
        picture.change(_telling(partial(transfer, editor)), [source, target], [result, *seen])
