"""The calls that scripts and operators share. Each returns at once; the work is done on the background thread.

    import blender_sd as sd                                  # installed: from bl_ext.user_default import blender_sd as sd
    job = sd.generate("red brick wall", seed=7)
    image = job.result()[0]                                  # waits, and pumps meanwhile
    sd.apply(image, bpy.context.object)

Call from Blender's main thread only: results are put into Blender's data by whoever pumps (`Job.result`, `pump`, or
the add-on's timer).
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from . import catalogue, config, hub, orders, past, proofs, scene, studio
from .orders import Axes, Place, Settings, Steer
from .protocol.errors import InvalidRequest
from .protocol.messages import Source
from .protocol.parts import Control
from .protocol.request import (
    IMAGE_TO_IMAGE, INPAINT, MAKE_SEAMLESS, NEEDS, OUTPAINT, TEXT_TO_IMAGE, UPSCALE, Request, default, round_size,
)
from .session.controlnets import resolve_controlnet
from .session.job import Job
from .session.library import ModelInfo
from .session.session import Session

if TYPE_CHECKING:
    from typing import Unpack

    import bpy
    import numpy as np

SourceLike = Source | Callable[[], Source]

_session: Session | None = None
_targets: WeakKeyDictionary[Job, scene.Target] = WeakKeyDictionary()


# ---- orders --------------------------------------------------------------------------------------------------------


def generate(prompt: str, *, negative: str = "", seed: int | None = None, steps: int | None = None, guidance: float | None = None,
             size: tuple[int, int] | None = None, sampler: str | None = None, model: str | None = None, count: int = 1,
             tiling: str | None = None, style: str = "", loras: Iterable[tuple[str, float]] = (), controls: Iterable[Steer] = (),
             variation_strength: float = 0.0, variation_seed: int = 0, axes: Axes = (), reference: Any = None,
             ip_adapter: str = "", ip_adapter_weight: float = default("ip_adapter_weight"), refine_scale: float = 1.0,
             refine_strength: float = default("refine_strength"), upscaler: str = "",
             upscaler_noise: int = default("upscaler_noise"), target: Place = None, label: str = "") -> Job:
    """Text → image. `None` means: what the style says, or else what suits the model (the built-in one); for `seed`, a random one.

    `style`: the name of a style (`styles`), whose words go round the prompts, and whose settings count where they are left open here.

    Prompts may hold weights (word:1.3), choices {a|b}, lists __name__ and LoRA tags <lora:name:0.8>: see `protocol.wording`.
    `loras`: more LoRAs, by name or file, with their weights. `controls`: what `control` gave; each steers the structure.
    `variation_strength`: how far (0 to 1) the noise leans towards that of `variation_seed`; with `count`, towards the next ones.
    `axes`: one or two settings that change from picture to picture, such as [("steps", (8, 20)), ("prompt", ("brick", "stone"))];
    see `protocol.parts.Axis`. The result is then a labelled contact sheet, followed by the single pictures, as new images.
    `reference`: an image (as `source` of `restyle`) whose look is taken over, as much as `ip_adapter_weight` says, by the
    `ip_adapter` of that name or file. With `refine_scale` above 1 the picture is painted at `size`, then enlarged by that
    factor, by `upscaler` as in `upscale`, and refined at `refine_strength` in tiles (high-res fix).

    `size` (width, height in pixels) is rounded to what the model can paint, and `Job.notes` says so. `target` is what
    `scene.freeze_target` gave; or a function that takes the finished job, on the main thread, and returns its `outputs`; None makes a
    new image datablock. Raises SDError, at once, for settings that cannot be met.
    """
    info, prompt, settings, of_style = _begun(prompt, {
        "negative": negative, "seed": seed, "steps": steps, "guidance": guidance, "sampler": sampler, "model": model, "count": count,
        "tiling": tiling, "style": style, "loras": loras, "controls": controls, "variation_strength": variation_strength,
        "variation_seed": variation_seed, "axes": axes, "reference": reference, "ip_adapter": ip_adapter,
        "ip_adapter_weight": ip_adapter_weight, "target": target, "label": label,
    })
    suited = of_style.get("width", info.default_width), of_style.get("height", info.default_height)
    width, height = orders.checked_size(size or suited)
    rounded = round_size(width, height, info.multiple)
    job = _order(TEXT_TO_IMAGE, info, prompt, rounded, {}, settings, refine_scale=refine_scale, refine_strength=refine_strength,
                 upscaler=upscaler if refine_scale > 1 else "", upscaler_noise=upscaler_noise)
    if rounded != (width, height):
        job.notes.append(f"The size {width} × {height} was rounded to {rounded[0]} × {rounded[1]}, which this model can paint.")
    return job


def restyle(source: Any, prompt: str, *, strength: float | None = None, size: tuple[int, int] | None = None,
            **settings: Unpack[Settings]) -> Job:
    """Image → image at `strength` (0 returns the source unchanged, 1 ignores it; None: the style's, else 0.5). The result has
    exactly `size`, by default the source's own; alpha is kept.

    `source`: a bpy image, "RENDER" (the Render Result as shown), "CAMERA" (renders now and waits), "VIEWPORT" (the 3D
    View as seen; needs a window), a path, a PIL image, or an H×W×3|4 array (uint8, or float 0..1; sRGB as displayed,
    row 0 on top). `settings`: as for `generate`. Raises SDError for a source or settings that cannot be used.
    """
    info, prompt, settings, of_style = _begun(prompt, settings)  # before a render is made
    data, source_size = _opened(source)
    return _order(IMAGE_TO_IMAGE, info, prompt, orders.checked_size(size or source_size), {"source": data}, settings,
                  strength=of_style.get("strength", default("strength")) if strength is None else strength)


def upscale(source: Any, prompt: str = "", *, scale: float = 2.0, strength: float = default("refine_strength"), tile: int | None = None,
            upscaler: str = "", upscaler_noise: int = default("upscaler_noise"), **settings: Unpack[Settings]) -> Job:
    """Image → image `scale` times as large, refined by the model at `strength` (0 only enlarges) in overlapping tiles of
    `tile` pixels (None: the size that the model was trained for), so that memory stays what one tile needs.

    What is refined was enlarged by `upscaler`, in tiles too: a name from the model folders (`upscalers`), or a file that spandrel
    reads (ESRGAN, SwinIR, DAT, HAT …), or a folder with Stable Diffusion's x4 or latent x2 upscaler, which read the prompt; the
    x4 one adds noise of level `upscaler_noise` first. "" resamples (Lanczos). Any `scale` works: their output is resized.

    `source` as for `restyle`, `settings` as for `generate`. With `tiling`, tiles go round the border, and a seamless
    texture stays seamless. Raises SDError.
    """
    info, prompt, settings, _ = _begun(prompt, settings)
    data, source_size = _opened(source)
    size = orders.checked_size(tuple(round(side * scale) for side in source_size))
    return _order(UPSCALE, info, prompt, size, {"source": data}, settings, strength=strength, tile=tile, upscaler=upscaler,
                  upscaler_noise=upscaler_noise)


def inpaint(source: Any, mask: Any, prompt: str, *, strength: float = 1.0, grow: int = 0, feather: int = default("mask_feather"),
            full_res: bool = False, context: int = default("mask_context"), tile: int | None = None,
            **settings: Unpack[Settings]) -> Job:
    """Image → image with what is masked painted anew at `strength`; every other pixel stays as it was, bit for bit.

    `source` as for `restyle`. `mask`: the same, or an H×W array; white is painted anew; "FACES": the UV area of the active
    object's selected faces is; "ALPHA": the transparent parts of the source are, and become opaque. The mask's edge moves
    outwards by `grow` pixels (inwards where negative), and inside it the new picture fades in over `feather` pixels.
    `full_res` paints only the masked area and `context` pixels round it, at the size that suits the model (`tile`).
    `settings`: as for `generate`. Raises SDError.
    """
    info, prompt, settings, _ = _begun(prompt, settings)
    data, size = _opened(source)
    alpha = isinstance(mask, str) and mask == "ALPHA"
    inputs = {"source": data, "mask": data if alpha else scene.open_mask(mask, size)}
    return _order(INPAINT, info, prompt, size, inputs, settings, tile=tile, strength=strength, mask_kind="alpha" if alpha else "white",
                  mask_grow=grow, mask_feather=feather, mask_full_res=full_res, mask_context=context)


def outpaint(source: Any, prompt: str, *, left: int = 0, right: int = 0, top: int = 0, bottom: int = 0,
             aspect: tuple[float, float] | None = None, overlap: int = 8, strength: float = 1.0, **settings: Unpack[Settings]) -> Job:
    """Image → larger image, painted on beyond the borders by so many pixels a side; or, with `aspect` (width, height), by as
    many as it takes to reach that shape, half on each side. `overlap` pixels inside the old border are painted over and
    blended in; all others stay as they were. `source` as for `restyle`, `settings` as for `generate`. Raises SDError.
    """
    info, prompt, settings, _ = _begun(prompt, {"tiling": "none", **settings})  # a style's would have borders meet that are not there
    data, (width, height) = _opened(source)
    if aspect is not None:
        left, right, top, bottom = orders.margins(width, height, aspect)
    if not (left or right or top or bottom):
        raise InvalidRequest("There is nothing to add to the picture.", "Say by how many pixels it is to grow, or choose another aspect.")
    larger = orders.checked_size((width + left + right, height + top + bottom))
    return _order(OUTPAINT, info, prompt, larger, {"source": data}, settings, strength=strength, mask_grow=overlap, mask_feather=overlap,
                  expand_left=left, expand_right=right, expand_top=top, expand_bottom=bottom)


def make_seamless(source: Any, prompt: str = "", *, tiling: str = "xy", band: float = default("band"), strength: float = 0.75,
                  feather: int = default("mask_feather"), **settings: Unpack[Settings]) -> Job:
    """Texture → the same texture, repeating without a seam along `tiling` (x | y | xy): a band across the border, `band` of
    a side wide, is painted anew at `strength`; every other pixel stays as it was. `source` as for `restyle`, `settings` as
    for `generate`. Raises SDError."""
    info, prompt, settings, _ = _begun(prompt, {**settings, "tiling": tiling})
    if tiling == "none":
        raise InvalidRequest("No axis was chosen along which the texture is to repeat.", "Set Tiling to X, Y or Both.")
    data, size = _opened(source)
    return _order(MAKE_SEAMLESS, info, prompt, size, {"source": data}, settings, strength=strength, band=band,
                  mask_feather=feather)


def run(request: Request, source: Any = None, *, target: Place = None, label: str = "") -> Job:
    """Carries out a whole request as it stands: what `recall` gave, or one of a batch.

    `source` as for `restyle`, where another one is to be used; all other input pictures are the copies that the engine
    kept in the output folder. Raises SDError.
    """
    info = catalogue.find_model(request.model)
    orders.check_paths(request)
    inputs = {}
    for role in {*NEEDS[request.task], *request.inputs}:
        given = source if role == "source" else None
        inputs[role], _ = _opened(orders.kept_input(role, request.inputs.get(role, "")) if given is None else given)
    return _submit(request, info, inputs, target, label)


def control(kind: str, image: Any = "CAMERA", model: str = "starter", *, weight: float = 1.0, start: float = 0.0,
            end: float = 1.0) -> Steer:
    """A ControlNet for `controls=`: the result keeps to the structure that `image` shows, as strongly as `weight`, from
    `start` to `end` of the steps (0 to 1).

    `kind`: depth | normal | lines | segmentation (with "CAMERA" or "VIEWPORT" drawn from the scene's geometry as the camera
    or the 3D View sees it, at the result's size; else `image` is such a picture already), canny | blur (made from `image`),
    or image (as it is). `image` as for `restyle`. `model`: "starter" (reads depth and lines), a ControlNet's folder or its
    name. Raises SDError.
    """
    net = resolve_controlnet(model, config.model_folders())
    return Control(kind, net.id, weight, start, end), image


def control_image(kind: str, image: Any = "CAMERA", size: tuple[int, int] | None = None) -> bpy.types.Image:
    """The control picture that `control(kind, image)` would use, as a new image; `size` (width, height): by default the
    scene's render size. Canny and blur are made in the engine, so for them it is `image` itself. Raises SDError."""
    return scene.control_image(kind, image, size and orders.checked_size(size))


def kept_image(role: str, digest: str) -> bpy.types.Image:
    """The input picture that a request names by its `digest`, from the copies in the output folder, as an image of this file.
    Raises SourceUnusable where it is gone."""
    return scene.load_kept(orders.kept_input(role, digest))


def recall(image: bpy.types.Image | str | Path) -> Request:
    """The settings that made `image` (a bpy image, or the path of a PNG). Raises InvalidRequest where it carries none."""
    return scene.request_of(image)


def apply(image: bpy.types.Image, obj: bpy.types.Object, slot: str = "Base Color") -> bpy.types.Material:
    """Puts `image` into the input `slot` of the object's active material, making what is missing (material, shader,
    UV map, image node). Raises TargetUnusable for linked data, objects without faces, and slots that do not exist."""
    return scene.apply_image(image, obj, slot)


# ---- live mode ---------------------------------------------------------------------------------------------------------


def live_request(prompt: str, *, steps: int, strength: float, model: str = "starter", **settings: Any) -> tuple[Request, ModelInfo]:
    """The order for frames of live mode, without their size and source, and the model that paints them. `steps`: how many times each
    frame is really denoised, whatever the `strength`. `settings`: fields of the request. Raises SDError."""
    info = catalogue.find_model(model)
    asked = min(500, math.ceil(steps / max(strength, 0.01) - 1e-6))  # of which the share `strength` is carried out
    request = orders.request(IMAGE_TO_IMAGE, info, prompt, (info.default_width, info.default_height), model=model, steps=asked,
                             strength=strength, **settings)
    studio.check_order(request, info)
    return request, info


def paint_frame(request: Request, info: ModelInfo, pixels: np.ndarray) -> Job:
    """Paints `request` over `pixels` (H×W×4 uint8 sRGB, row 0 on top) in the request's size, behind all ordinary jobs and into memory
    alone: the picture is `job.results[0].pixels`. An ordinary job that is ordered meanwhile ends it as cancelled."""
    return _the_session().submit(request, folder=info.folder, output="", inputs={"source": Source(pixels=pixels)}, label="Live",
                                 borrowed=info.borrowed, behind=True)


# ---- the queue -----------------------------------------------------------------------------------------------------


def jobs() -> list[Job]:
    """Every job of this session, oldest first."""
    return _session.jobs if _session else []


def pump(budget: float = 0.008) -> bool:
    """Brings what the background thread and downloads reported into Blender, for about `budget` seconds; whether anything
    changed. Main thread only."""
    came = hub.pump()
    return (_session.pump(budget) if _session else False) or came


def wait(timeout: float | None = None) -> bool:
    """Blocks until there is something to pump; whether there is."""
    return _session.wait(timeout) if _session else False


def move_job(job: Job, offset: int) -> None:
    """Shifts a waiting job by `offset` places in the queue (negative: sooner). A job that is running or has ended stays."""
    if _session:
        _session.move(job, offset)


def target_of(job: Job) -> scene.Target | None:
    """Where the first picture of `job` goes; None for a job that is no longer known."""
    return _targets.get(job)


def cancel_all() -> None:
    """Cancels the running job and everything queued."""
    if _session:
        _session.cancel_all()


def clear_jobs() -> None:
    """Forgets the jobs that have ended. Their pictures stay."""
    if _session:
        _session.clear_finished()


# ---- engine and models ---------------------------------------------------------------------------------------------


def configure(**changes: Any) -> None:
    """Changes how jobs are run from the next one on: any field of `config.Config`, by name.

    A changed engine setting closes the running engine after its current job. Raises InvalidRequest for an unknown name.
    """
    changed = config.change(**changes)
    if changed & config.SEARCHED:
        catalogue.forget_models()
    if _session and changed & config.OF_THE_ENGINE:
        _session.use(config.pipeline_factory())


def start_engine() -> None:
    """Starts the engine in the background, so that the first picture need not wait for it; anew where it had failed."""
    session = _the_session()
    if session.status == "failed":
        session.use(config.pipeline_factory())
        session.status = "off"
    session.warm()


def renew_engine() -> None:
    """Closes the running engine, after its current job; the next job starts one with the interpreter that is then there."""
    if _session:
        _session.use(config.pipeline_factory())
        if _session.status == "failed":
            _session.status = "off"


def engine_status() -> tuple[str, str]:
    """("off" | "starting" | "ready" | "failed", one line for a person)."""
    return (_session.status, _session.status_text) if _session else ("off", "")


def engine_versions() -> dict[str, str]:
    """Package -> version of the engine that is ready; empty where none is."""
    return dict(_session.engine_info.versions) if _session and _session.engine_info else {}


def output_folder() -> Path:
    """Where finished pictures are kept. Made on first use; raises OutputUnwritable where that fails."""
    return config.output_folder()


def shutdown() -> None:
    """Cancels everything, downloads too, and stops the engine. The next call starts afresh."""
    global _session
    hub.shutdown()
    past.shutdown()
    proofs.shutdown()
    session, _session = _session, None
    if session:
        session.shutdown()


# ---- inside --------------------------------------------------------------------------------------------------------


def _the_session() -> Session:
    global _session
    if _session is None:
        _session = Session(config.pipeline_factory())
    return _session


def _begun(prompt: str, settings: Settings) -> tuple[ModelInfo, str, dict[str, Any], dict[str, Any]]:
    """The model of an order, its prompt and keywords, each with what the style says in its place, and the style's settings that are
    no keywords of every order. Raises SDError."""
    prompt, said, of_style = orders.styled(prompt, dict(settings))
    info = catalogue.find_model(said.setdefault("model", "starter"))
    studio.check_model(info)  # here too, before a render is made for it
    studio.check_words(prompt, said.get("negative", ""))
    return info, prompt, said, of_style


def _order(task: str, info: ModelInfo, prompt: str, size: tuple[int, int], inputs: dict[str, SourceLike], settings: dict[str, Any],
           **fields: Any) -> Job:
    """Submits what an order's keywords ask for, as `_begun` gave them. `fields`: fields of the request that belong to the task. Raises
    SDError."""
    rest = dict(settings)
    target, label, controls = rest.pop("target", None), rest.pop("label", ""), rest.pop("controls", ())
    reference = rest.pop("reference", None)
    if (reference is None) != (not rest.get("ip_adapter")):
        raise InvalidRequest("A reference image and an IP-Adapter that reads it go together; one of them is missing.",
                             "Give both `reference` and `ip_adapter`, or neither.")
    if reference is not None:
        inputs["reference"], _ = _opened(reference)
    return _submit(orders.request(task, info, prompt, size, **rest, **fields), info, inputs, target, label, controls)


def _submit(request: Request, info: ModelInfo, inputs: dict[str, SourceLike], target: Place, label: str,
            controls: Iterable[Steer] = ()) -> Job:
    if target is None or request.axes and not callable(target):
        target = scene.new_image_target()  # a sheet belongs in no material
    if controls := list(controls):
        request = replace(request, controls=tuple(one for one, _ in controls))
    studio.check_order(request, info)
    for number, (one, image) in enumerate(controls):
        inputs[f"control{number}"] = scene.open_control(one.kind, image, (request.width, request.height))

    def commit(job: Job) -> list:
        return target(job) if callable(target) else scene.commit(target, job.results, job.label)

    job = _the_session().submit(request, folder=info.folder, output=str(config.output_folder()), inputs=inputs, commit=commit,
                                label=label or request.prompt or info.name, borrowed=info.borrowed)
    if not callable(target):
        _targets[job] = target
    return job


def _opened(source: Any) -> tuple[SourceLike, tuple[int, int]]:
    """The source as it travels, and its size, checked."""
    data, size = scene.open_source(source)
    orders.check_source_size(size)
    return data, size
