"""What can be chosen: models, LoRAs, IP-Adapters, upscalers, ControlNets and samplers, as the model folders hold them
now."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..core.request import Request
from ..core.samplers import SAMPLERS
from ..core.vocabulary import Vocabulary
from ..library import model_choices
from ..library.adapters import NamedFile, built_in, find_files, resolve_file
from ..core.nets import IP_ADAPTER, LORA, STARTER, UPSCALER, VAE
from ..library.controlnets import ControlNetInfo, find_controlnets
from ..library.models import ModelInfo, Unusable
from .arguments import checked_call
from .runtime import runtime


def models() -> list[ModelInfo]:
    """Return the models that can be chosen: the built-in one first, then those in the model folders, without those that
    the studio's policy forbids. Read once and kept."""
    return runtime.policy.allowed(runtime.models.all())


def refresh_models() -> list[ModelInfo]:
    """Look for models again."""
    runtime.models.forget()
    return models()


def known_unusable() -> tuple[Unusable, ...]:
    """What looked like a model when the folders were last read and cannot be used, with the reasons. Reads nothing:
    made for drawing."""
    return runtime.models.unusable()


@checked_call
def choose(model: str, *, vae: str | None = None, prediction: str | None = None,
           zero_snr: str | None = None) -> ModelInfo:
    """Keeps what suits the model of that name, id or folder in place of what its files say, in a small file beside it;
    None leaves a choice as it is. `vae`: a VAE's name or file, "" for the model's own. `prediction`: auto, epsilon,
    v_prediction, edm or edm_v_prediction; `zero_snr`: auto, on or off. The model as it is then. Raises ModelNotFound,
    ModelUnreadable, InvalidRequest, OutputUnwritable."""
    info = find_model(model)
    given = {
        "vae": None
        if vae is None else resolve_file(VAE, vae, runtime.folders.model_folders()).file if vae.strip() else "",
        "prediction": prediction, "zero_snr": zero_snr}
    wanted = replace(info.choices, **{name: value for name, value in given.items() if value is not None})
    Request(vae=wanted.vae, prediction=wanted.prediction, zero_snr=wanted.zero_snr)  # which knows what can be chosen
    model_choices.write(info.id if info.id != STARTER else info.folder, wanted)
    runtime.models.forget()
    return find_model(info.id)


@checked_call
def find_model(name_or_path: str) -> ModelInfo:
    """Return the model of that name, id or folder, whether or not the studio's policy allows it. Raises ModelNotFound,
    ModelUnreadable."""
    return runtime.models.find(name_or_path)


def known_model(id: str) -> ModelInfo | None:
    """Return the model of that id among those last listed; None for others. Reads nothing: made for drawing."""
    return next((info for info in runtime.models.known() if info.id == id), None)


def known_ids() -> tuple[str, ...]:
    """Return the ids of the models last listed. Reads nothing: made for drawing."""
    return tuple(info.id for info in runtime.models.known())


def known_vocabulary(model: str) -> Vocabulary | None:
    """Return the words that the model of that id knows; None for models that were trained on all kinds of words. Reads
    nothing: made for drawing."""
    return runtime.models.vocabulary(model)


def samplers() -> Iterable[str]:
    """Return the sampler names that requests take."""
    return SAMPLERS.keys()


def loras() -> list[NamedFile]:
    """Return the LoRAs that prompts can name, from the model folders. Reads them again."""
    return find_files(LORA, runtime.folders.model_folders())


def ip_adapters() -> list[NamedFile]:
    """Return the IP-Adapters that `reference` can be read with, from the model folders. Reads them again."""
    return find_files(IP_ADAPTER, runtime.folders.model_folders())


def upscalers() -> list[NamedFile]:
    """Return the upscalers that pictures can be enlarged with: the built-in one, then those in the model folders. Reads
    them again."""
    own = built_in(UPSCALER)
    return [*([own] if own is not None else []), *find_files(UPSCALER, runtime.folders.model_folders())]


def vaes() -> list[NamedFile]:
    """The VAEs that can take the place of a model's own, from the model folders. Reads them again."""
    return find_files(VAE, runtime.folders.model_folders())


def controlnets() -> list[ControlNetInfo]:
    """Return the ControlNets that can be chosen: the built-in one first, then those in the model folders."""
    return find_controlnets(runtime.folders.model_folders())
