"""C2PA content credentials: a signed statement in the picture's file of what it is, by which program, and made from which pictures.

Specification: https://spec.c2pa.org/specifications/specifications/2.2/specs/C2PA_Specification.html. Signed are the file's bytes (so its
texts too) and the actions; no prompt, path or name of a person is in the statement itself. Input pictures are its ingredients: credentials
that they carry are taken along, so that a file holds the whole chain of what was made from what. Nothing is asked on the network: no time
stamps, no manifests elsewhere (a picture may name an address for one), no revocation lists.
"""
from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from ..protocol.errors import CertificateUnusable
from ..protocol.messages import EngineConfig, Source, text_of
from ..protocol.origin import COMPOSITE, Origin
from ..protocol.request import Request
from ..protocol.version import NAME, version
from . import quiet, sources
from .provenance import IPTC

log = logging.getLogger(__name__)
Say = Callable[[str], None]
Seal = Callable[[bytes, str], bytes]
_SETTINGS = {**quiet.CREDENTIALS_OFFLINE, "builder": {"thumbnail": {"enabled": False}}}  # thumbnails: 80 KB and 70 ms a picture
_PNG = "image/png"
_KINDS = {"png": _PNG, "jpg": "image/jpeg", "webp": "image/webp", "tif": "image/tiff", "gif": "image/gif"}  # what may carry credentials
_TITLES = {"source": "Source picture", "mask": "Mask", "reference": "Reference picture"}
_MAX_CHAIN = 16 << 20  # bytes of one picture's credentials; those of a stranger's source may be of any size
_LACKING = "Pictures get no content credentials: the engine lacks the package c2pa-python. Repair the engine to have them."


class Credentials:
    """Signs the pictures of one engine, as `config` says. Not thread-safe: one order at a time."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._lacking = False  # whether it was said that the package is missing
        self._made_of: tuple = ()  # the files that the signer was made of
        self._signer: Any = None
        self._context: Any = None

    def ready(self, say: Say) -> None:
        """Gets the key, before any time is spent on pictures that are to be marked. `say` hears why they will carry no credentials. Raises
        CertificateUnusable for a certificate of the person's own that cannot sign."""
        own = bool(self._config.certificate or self._config.private_key)
        if not (own or self._config.credentials):
            return
        try:
            import c2pa

            from . import keys
        except Exception as error:  # a library that does not load raises anything
            if not self._lacking:
                log.warning("no content credentials", exc_info=error)
                say(_LACKING)
            self._lacking = True
            return
        paths = (self._config.certificate, self._config.private_key) if own else (str(Path(self._config.credentials) / keys.FILE),)
        if self._signer is not None and self._made_of == _stamps(paths):
            return
        self._signer = None
        if self._context is None:
            self._context = c2pa.Context.from_dict(_SETTINGS)
        if own:
            self._signer = self._tried(keys.certificate(*paths))
        else:
            try:
                self._signer = self._tried(keys.own_key(Path(self._config.credentials), say))
            except (OSError, CertificateUnusable) as error:
                log.warning("no content credentials", exc_info=error)
                say("Pictures get no content credentials: their key cannot be made or used. The engine's log says why.")
                return
        self._made_of = _stamps(paths)

    def seal(self, request: Request, inputs: Mapping[str, Source], origin: Origin, say: Say) -> Seal | None:
        """What signs a picture of `request`: it takes the PNG's bytes and its title, and gives the PNG's bytes with credentials.
        Where that fails, it gives them as they were, and `say` hears of it. None where nothing is to be signed."""
        if self._signer is None:
            return None

        def sealed(data: bytes, title: str) -> bytes:
            try:
                return self._signed(data, statement(title, request, origin), _travelled(request, inputs))
            except Exception as error:
                log.warning("a picture could not be signed", exc_info=error)
                say("The picture was written without content credentials: signing it failed. The engine's log says why.")
                return data

        return sealed

    def _tried(self, key: Any) -> Any:
        """What signs with `key`. Raises CertificateUnusable where it cannot: that shows only when something is signed."""
        import c2pa

        dot = io.BytesIO()
        Image.new("L", (1, 1)).save(dot, "PNG")
        try:
            signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(key.algorithm, key.chain, key.private, None))
            c2pa.Builder(statement("", Request(), Origin()), self._context).sign(signer, _PNG, dot, io.BytesIO())
        except c2pa.C2paError as error:
            raise CertificateUnusable(
                "The certificate cannot sign content credentials.",
                "It must be valid today, issued by an authority (not by itself), and meant for C2PA claims, e-mail or documents.",
                text_of(error)) from None
        return signer

    def _signed(self, data: bytes, said: dict[str, Any], travelled: Mapping[str, tuple[str, bytes]]) -> bytes:
        """`data` with the statement `said` in it. `travelled`: by role, the kind and bytes of the input files whose own credentials are
        taken along, where they have any that can be read."""
        import c2pa

        ingredients = {one["label"]: one for one in said["ingredients"]}
        named = [one for role, one in ingredients.items() if role not in travelled]
        with c2pa.Builder({**said, "ingredients": named}, self._context) as builder:
            for role, (kind, encoded) in travelled.items():
                try:
                    builder.add_ingredient(ingredients[role], kind, io.BytesIO(encoded))
                except c2pa.C2paError as error:
                    log.warning("the credentials of the %s are left out: %s", role, error)
                    return self._signed(data, said, {other: file for other, file in travelled.items() if other != role})
            signed = io.BytesIO()
            try:
                size = len(builder.sign(self._signer, _PNG, io.BytesIO(data), signed))
            except c2pa.C2paError as error:  # some broken ones are only found out here
                if not travelled:
                    raise
                log.warning("the credentials of the inputs are left out: %s", error)
                return self._signed(data, said, {})
        if size > _MAX_CHAIN and travelled:
            log.warning("the credentials of the inputs are left out: they take %d bytes", size)
            return self._signed(data, said, {})
        return signed.getvalue()


def statement(title: str, request: Request, origin: Origin) -> dict[str, Any]:
    """What is signed of a picture, as the JSON that c2pa's Builder takes."""
    agent = {"name": NAME, "version": version()}
    roles = list(request.inputs)
    steered = [role for role in roles if role != "source"]
    done = {"softwareAgent": agent, "digitalSourceType": IPTC + origin.kind, **({"when": origin.made} if origin.made else {}),
            **({"parameters": {"ingredientIds": steered}} if steered else {})}
    if origin.kind == COMPOSITE and "source" in roles:
        actions = [{"action": "c2pa.opened", "softwareAgent": agent, "parameters": {"ingredientIds": ["source"]}},
                   {"action": "c2pa.edited", **done}]
    else:
        actions = [{"action": "c2pa.created", **done}]
    return {
        "title": title, "claim_generator_info": [agent],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions, "allActionsIncluded": True}}],
        "ingredients": [{"title": _TITLES.get(role, "Control picture"), "label": role, "instance_id": request.inputs[role],
                         "relationship": "parentOf" if role == "source" else "inputTo"} for role in roles],
    }


def _travelled(request: Request, inputs: Mapping[str, Source]) -> dict[str, tuple[str, bytes]]:
    """By role, the MIME type and bytes of those input pictures that are files which may carry credentials of their own."""
    files = {role: inputs[role].encoded for role in request.inputs if role in inputs and inputs[role].encoded is not None}
    kinds = {role: _KINDS.get(sources.file_kind(encoded)) for role, encoded in files.items()}
    return {role: (kinds[role], encoded) for role, encoded in files.items() if kinds[role]}


def _stamps(paths: tuple[str, ...]) -> tuple:
    """Changes with the files."""
    try:
        return tuple((path, (stat := Path(path).stat()).st_mtime_ns, stat.st_size) for path in paths)
    except OSError:
        return ()
