"""How the add-on runs: which interpreter, device, folders. Preferences and `configure` write it; one place reads it."""
from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from .protocol import environment
from .protocol.errors import EngineMissing, InvalidRequest, OutputUnwritable
from .protocol.messages import FETCH, VERIFY, EngineConfig, Pipeline
from .session import logs
from .session.process import ProcessPipeline

PYTHON_VARIABLE = "SD_ENGINE_PYTHON"
_ENGINE_FIELDS = frozenset(one.name for one in fields(EngineConfig))
# What a running engine was started with.
OF_THE_ENGINE = _ENGINE_FIELDS | {"engine_python", "engine_place", "in_thread"}
SEARCHED = frozenset({"model_folders", "downloads"})  # where models and the like are looked for


@dataclass(frozen=True)
class Config:
    """`engine_python`: the interpreter that has torch and diffusers; "" = the environment variable SD_ENGINE_PYTHON,
    else the one that `setup.install_engine` has set up, else Blender's own if it has them. `engine_place`: folder for the engine that
    is set up, "" = the extension's own. `in_thread`: run the engine inside Blender's process. `output`: folder for
    finished pictures, "" = the extension's own. `history_gb`: what they may take (GB, 10⁹ bytes) before the panel offers to move the
    oldest to the trash, 0 = no limit. `model_folders`: folders that hold models, LoRAs, ControlNets and wildcard lists.
    `downloads`: folder for models from the hub, "" = the extension's own; models are looked for there too. `hub_token`: access token
    for the hub, "" = the environment variable HF_TOKEN. `styles`: folder for styles of one's own, "" = the extension's. `credentials`:
    folder for the key that pictures are signed with, "" = the extension's own. The rest goes to the engine: see
    `protocol.messages.EngineConfig`."""

    engine_python: str = ""
    engine_place: str = ""
    in_thread: bool = False
    output: str = ""
    history_gb: float = 0.0
    model_folders: tuple[str, ...] = ()
    downloads: str = ""
    hub_token: str = field(default="", repr=False)
    styles: str = ""
    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    memory_mb: int = 0
    memory_use: str = "auto"
    preview_px: int = 256
    attention: str = "auto"
    compile: bool = False
    safety_filter: str = ""
    safety_labels: str = ""
    safety_threshold: float = 0.5
    blocked_words: str = ""
    marking: bool = True
    credentials: str = ""
    certificate: str = ""
    private_key: str = ""


current = Config()


def change(**changes: object) -> frozenset[str]:
    """Applies `changes`; the names of the settings that are now different. Raises InvalidRequest for a name that does not exist."""
    global current
    unknown = changes.keys() - {one.name for one in fields(Config)}
    if unknown:
        raise InvalidRequest(f"There is no setting called '{sorted(unknown)[0]}'.",
                             f"The settings are: {', '.join(one.name for one in fields(Config))}.")
    if "model_folders" in changes:
        changes["model_folders"] = tuple(str(folder) for folder in changes["model_folders"])
    before, current = current, replace(current, **{key: str(value) if isinstance(value, Path) else value for key, value in changes.items()})
    return frozenset(name for name in changes if getattr(current, name) != getattr(before, name))


def engine_config() -> EngineConfig:
    """The part of the configuration that the engine reads."""
    values = {name: getattr(current, name) for name in _ENGINE_FIELDS}
    return EngineConfig(**{**values, "credentials": str(credentials_folder())})


def pipeline_factory() -> Callable[[], Pipeline]:
    """What makes the pipeline that the configuration asks for; call it on the main thread. The function it gives runs
    on the background thread, so it touches no bpy; it raises EngineMissing."""
    start_log()
    config, engine, place = current, engine_config(), str(engine_place())
    return lambda: _make_pipeline(config, engine, place)


def _make_pipeline(config: Config, engine: EngineConfig, place: str) -> Pipeline:
    if config.in_thread:
        if not _has_torch():
            raise EngineMissing("This Python has no torch and diffusers, so the engine cannot run inside Blender.",
                                "Switch off 'Run inside Blender', or install them.")
        from .engine import Engine

        return Engine(engine)
    return ProcessPipeline(_interpreter(config, place), engine)


def fetch_pipeline() -> ProcessPipeline:
    """What downloads a model; it starts when it is given an order. Raises EngineMissing."""
    return role_pipeline(FETCH, _interpreter(current, str(engine_place())))


def verify_pipeline() -> ProcessPipeline:
    """What checks content credentials; it starts when it is given an order. Raises EngineMissing."""
    return role_pipeline(VERIFY, _interpreter(current, str(engine_place())), EngineConfig(certificate=current.certificate))


def role_pipeline(role: str, python: str, engine: EngineConfig | None = None) -> ProcessPipeline:
    """What does the work of `role` (see `protocol.messages`) with the interpreter `python`; it starts when it is given an order."""
    start_log()
    return ProcessPipeline(python, engine or EngineConfig(), role=role)


def start_log() -> None:
    """Has what the add-on and its processes say written into a file of this run's, in a folder of the add-on's own."""
    logs.start(own_folder("logs"))


def stop_log() -> None:
    """Closes that file, so that the extension's folder can be deleted."""
    logs.stop()


def output_path() -> Path:
    """Where finished pictures go. It may not exist yet; nothing is read or made."""
    return Path(current.output).expanduser() if current.output else own_folder("output")


def output_folder() -> Path:
    """The folder for finished pictures, made if missing. Raises OutputUnwritable."""
    folder = output_path()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputUnwritable(f"The output folder {folder} cannot be made.", "Choose another in the preferences.", repr(error)) from error
    if not os.access(folder, os.W_OK):
        raise OutputUnwritable(f"The output folder {folder} is read-only.", "Choose another in the preferences.")
    return folder


def engine_place() -> Path:
    """Where the engine is set up. It may not exist yet."""
    return Path(current.engine_place).expanduser() if current.engine_place else own_folder("engine")


def download_folder() -> Path:
    """Where models from the hub go. It may not exist yet."""
    return Path(current.downloads).expanduser() if current.downloads else own_folder("models")


def model_folders() -> tuple[str, ...]:
    """Every folder in which models are looked for: that of downloads, those named, and the cache that Hugging Face's libraries share."""
    folder, cache = download_folder(), _hub_cache()
    return (*((str(folder),) if folder.is_dir() else ()), *current.model_folders, *((str(cache),) if cache.is_dir() else ()))


def _hub_cache() -> Path:
    """Where huggingface_hub keeps what other programs have downloaded, by its documentation of environment variables."""
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()


def style_folder() -> Path:
    """Where the person's styles are kept. It may not exist yet."""
    return Path(current.styles).expanduser() if current.styles else own_folder("styles")


def credentials_folder() -> Path:
    """Where the key is kept that pictures are signed with. It may not exist yet."""
    return Path(current.credentials).expanduser() if current.credentials else own_folder("credentials")


def own_folder(name: str) -> Path:
    """The folder or file `name` among the add-on's own, which go with the extension when it is uninstalled."""
    import bpy

    if __package__.startswith("bl_ext."):
        return Path(bpy.utils.extension_path_user(__package__, path=name))
    return Path(bpy.utils.user_resource("DATAFILES", path="blender_sd")) / name


def knows_interpreter() -> bool:
    """Whether there is an interpreter for the engine. Looks at the disk."""
    try:
        return current.in_thread or bool(_interpreter(current, str(engine_place())))
    except EngineMissing:
        return False


def _interpreter(config: Config, place: str) -> str:
    named = config.engine_python or os.environ.get(PYTHON_VARIABLE, "")
    if named:
        return named
    made = environment.read(place)
    if made is not None and os.path.exists(made.python(place)):
        return made.python(place)
    if _has_torch():
        return sys.executable
    raise EngineMissing("No Python with torch and diffusers is known.",
                        "Set up the engine in the SD tab, or name a Python in the add-on's preferences or the variable SD_ENGINE_PYTHON.")


def _has_torch() -> bool:
    return all(importlib.util.find_spec(name) for name in ("torch", "diffusers", "transformers"))
