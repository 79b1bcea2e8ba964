"""What all calls that ask for a picture share: resolve style and model, open sources, submit the request."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ..core.errors import InvalidRequest
from ..core.prompt_choices import tag_notes
from ..core.request import Request
from ..library.models import ModelInfo
from ..library.policy_status import check_model
from ..protocol.messages import Source
from ..session.job import Job
from . import policy, request_builder
from .request_builder import ControlInput, Place, Settings
from .runtime import runtime

SourceLike = Source | Callable[[], Source]


def resolve(prompt: str | None, settings: Settings,
            source: Any = None) -> tuple[ModelInfo, str, dict[str, Any], dict[str, Any]]:
    """Resolve style and model.

    Args:
        prompt: None stands for the prompt that made `source`.
        settings: The keywords of the call.

    Returns:
        The model, the prompt, the merged keywords, and the style's settings that not every task takes.

    Raises:
        SDError: There is no such style or model, or the policy does not allow it.
    """
    given = dict(settings)
    if prompt is None:
        prompt, given = request_builder.words_from(source, given)
    prompt, merged, of_style = request_builder.styled(prompt, given)
    info = runtime.models.find(merged.setdefault("model", "starter"))
    check_model(info)  # here too, before a render is made for it
    policy.check_words(prompt, merged.get("negative", ""))
    return info, prompt, merged, of_style


def submit_task(task: str, info: ModelInfo, prompt: str, size: tuple[int, int], inputs: dict[str, SourceLike],
                settings: dict[str,
                               Any], covers: tuple[int, int] | None = None, given: Any = None, **fields: Any) -> Job:
    """Build the request of `task` and submit it.

    Args:
        info, prompt, settings: As `resolve` returned them.
        size: Width and height of the result in pixels.
        inputs: The input pictures by role.
        covers: The size of the picture that is stretched to `size`, and the camera's controls with it.
        given: The source as the caller gave it.
        fields: Fields of the request that belong to the task.

    Raises:
        SDError: The settings cannot be met.
    """
    rest = dict(settings)
    target, label, controls = rest.pop("target", None), rest.pop("label", ""), rest.pop("controls", ())
    reference = rest.pop("reference", None)
    if (reference is None) != (not rest.get("ip_adapter")):
        raise InvalidRequest("A reference image and an IP-Adapter that reads it go together; one of them is missing.",
                             "Give both `reference` and `ip_adapter`, or neither.")
    if reference is not None:
        inputs["reference"], _ = open_source(reference)
    request = request_builder.request(task, info, prompt, size, **rest, **fields)
    job = submit_request(request, info, inputs, target, label, controls, covers, given)
    job.notes += tag_notes(prompt)
    return job


def submit_request(request: Request, info: ModelInfo, inputs: dict[str, SourceLike], target: Place, label: str,
                   controls: Iterable[ControlInput] = (), covers: tuple[int, int] | None = None,
                   given: Any = None) -> Job:
    """Submit a whole request whose results go to `target`; the other arguments as for `submit_task`. Raises SDError."""
    scene = runtime.scene
    if target is None or request.axes and not callable(target):
        target = scene.new_image_target()  # a sheet belongs in no material
    if controls := list(controls):
        request = replace(request, controls=tuple(control for control, _ in controls))
    policy.check_request(request, info)
    notes = [] if callable(target) else scene.remarks(target, given)
    for number, (control, image) in enumerate(controls):
        inputs[f"control{number}"] = scene.open_control(control.kind, image, (request.width, request.height), covers)

    def commit(job: Job) -> list:
        if callable(target):
            return scene.hold(target(job))
        return scene.hold(
            scene.commit(target, job.results, job.label, lambda placement: setattr(job, "placement", placement)))

    job = runtime.the_session().submit(
        request, folder=info.folder, output=str(runtime.folders.output_folder()), inputs=inputs, commit=commit,
        label=label or request.prompt or info.name, base_model=info.base_model, recall=scene.recall)
    job.notes += notes
    job.target = None if callable(target) else target
    return job


def open_source(source: Any) -> tuple[SourceLike, tuple[int, int]]:
    """Return a source as it travels to the engine, and its size. Raises SourceUnusable."""
    data, size = runtime.scene.open_source(source)
    request_builder.check_source_size(size)
    return data, size
