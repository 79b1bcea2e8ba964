"""What can be chosen: models, LoRAs, IP-Adapters, upscalers, ControlNets and samplers, as the model folders hold them now."""
from __future__ import annotations

from collections.abc import Iterable

from . import config, hub, studio
from .protocol.checkpoints import IP_ADAPTER, LORA, UPSCALER
from .protocol.samplers import SAMPLERS
from .session.controlnets import ControlNetInfo, find_controlnets
from .session.library import ModelInfo, find_models, resolve_model
from .session.named_files import NamedFile, find_files

_models: list[ModelInfo] | None = None


def models() -> list[ModelInfo]:
    """The models that can be chosen: the built-in one first, then those in the model folders, without those that the studio's policy
    forbids. Read once and kept."""
    return studio.allowed(_all())


def refresh_models() -> list[ModelInfo]:
    """Looks for models anew."""
    forget_models()
    return models()


def forget_models() -> None:
    """The model folders may hold something else now: they are read anew when next asked for."""
    global _models
    _models = None


def find_model(name_or_path: str) -> ModelInfo:
    """The model of that name, id or folder, whether or not the studio's policy allows it. Raises ModelNotFound, ModelUnreadable."""
    known = {info.id: info for info in _all()}
    return known.get(name_or_path) or resolve_model(name_or_path, config.model_folders())


def known_model(id: str) -> ModelInfo | None:
    """The model of that id among those last listed; None for others. Reads nothing: made for drawing."""
    return next((info for info in _models or () if info.id == id), None)


def samplers() -> Iterable[str]:
    """The sampler names that requests take."""
    return SAMPLERS.keys()


def loras() -> list[NamedFile]:
    """The LoRAs that prompts can name, from the model folders. Reads them anew."""
    return find_files(LORA, config.model_folders())


def ip_adapters() -> list[NamedFile]:
    """The IP-Adapters that `reference` can be read with, from the model folders. Reads them anew."""
    return find_files(IP_ADAPTER, config.model_folders())


def upscalers() -> list[NamedFile]:
    """The upscalers that pictures can be enlarged with, from the model folders. Reads them anew."""
    return find_files(UPSCALER, config.model_folders())


def controlnets() -> list[ControlNetInfo]:
    """The ControlNets that can be chosen: the built-in one first, then those in the model folders."""
    return find_controlnets(config.model_folders())


def _all() -> list[ModelInfo]:
    global _models
    if _models is None:
        _models = find_models(config.model_folders())
    return _models


hub.on_installed.append(forget_models)
