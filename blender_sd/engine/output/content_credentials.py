"""C2PA content credentials: a signed statement in a picture's file of what it is and which program and pictures made
it.

Specification: https://spec.c2pa.org/specifications/specifications/2.2/specs/C2PA_Specification.html. The file's bytes,
its texts included, and the actions are signed; the statement itself holds no prompt, path or name of a person. Input
pictures become ingredients, and credentials that they carry are kept, so that a file holds the whole chain of what was
made from what. Nothing is requested from the network: no time stamps, no remote manifests (a picture may name an
address for one), no revocation lists.
"""
from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from ...core.content_credentials import OFFLINE_SETTINGS
from ...core.errors import CertificateUnusable
from ...core.image_origin import COMPOSITE, Origin
from ...core.request import Request
from ...core.version import NAME, version
from ...protocol.messages import EngineConfig, Source, text_of
from ..conditioning import sources
from .image_origin import IPTC

log = logging.getLogger(__name__)
Say = Callable[[str], None]
Sign = Callable[[bytes, str], bytes]  # (a PNG's bytes, title) -> the PNG's bytes with credentials
# A thumbnail costs 80 KB and 70 ms per picture
_SETTINGS = {**OFFLINE_SETTINGS, "builder": {"thumbnail": {"enabled": False}}}
_PNG = "image/png"
# That can carry credentials
_KINDS = {"png": _PNG, "jpg": "image/jpeg", "webp": "image/webp", "tif": "image/tiff", "gif": "image/gif"}
_TITLES = {"source": "Source picture", "mask": "Mask", "reference": "Reference picture"}
_MAX_CHAIN = 16 << 20  # bytes of one picture's credentials; an untrusted source may carry any amount
_LACKING = ("Pictures get no content credentials: the engine lacks the package c2pa-python. Repair the engine to have "
            "them.")


class Credentials:
    """Sign the pictures of one engine, as its settings say. Not thread-safe: one request at a time."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._lacking = False  # whether the missing package was reported
        self._signer_stamp: tuple = ()  # of the files that the signer was read from
        self._signer: Any = None
        self._context: Any = None

    def ready(self, say: Say) -> None:
        """Load or create the key, before any time is spent on pictures that are to be marked.

        Args:
            say: Receives a text if the pictures will carry no credentials.

        Raises:
            CertificateUnusable: The person's own certificate cannot sign.
        """
        own = bool(self._config.certificate or self._config.private_key)
        if not (own or self._config.credentials):
            return
        try:
            import c2pa

            from . import signing_keys
        except Exception as error:  # a library that fails to load may raise anything
            if not self._lacking:
                log.warning("no content credentials", exc_info=error)
                say(_LACKING)
            self._lacking = True
            return
        paths = (self._config.certificate,
                 self._config.private_key) if own else (str(Path(self._config.credentials) / signing_keys.FILE),)
        if self._signer is not None and self._signer_stamp == _stamps(paths):
            return
        self._signer = None
        if self._context is None:
            self._context = c2pa.Context.from_dict(_SETTINGS)
        if own:
            self._signer = self._tried(signing_keys.certificate(*paths))
        else:
            try:
                self._signer = self._tried(signing_keys.own_key(Path(self._config.credentials), say))
            except (OSError, CertificateUnusable) as error:
                log.warning("no content credentials", exc_info=error)
                say("Pictures get no content credentials: their key cannot be made or used. The engine's log says why.")
                return
        self._signer_stamp = _stamps(paths)

    def signing(self, request: Request, inputs: Mapping[str, Source], origin: Origin, say: Say) -> Sign | None:
        """Return a function that signs a picture, or None if there is nothing to sign with.

        The function takes a PNG's bytes and a title and returns the PNG with credentials. If signing fails, it returns
        the bytes unchanged and reports that to `say`.

        Args:
            request: The picture's request.
            inputs: The input pictures by role.
            origin: The finished picture's origin.
            say: Receives a text if signing fails.
        """
        if self._signer is None:
            return None

        def sign(data: bytes, title: str) -> bytes:
            try:
                return self._signed(data, statement(title, request, origin), _carried(request, inputs))
            except Exception as error:
                log.warning("a picture could not be signed", exc_info=error)
                say("The picture was written without content credentials: signing it failed. The engine's log says "
                    "why.")
                return data

        return sign

    def _tried(self, key: Any) -> Any:
        """Return a signer for `key`.

        A key that cannot sign shows that only when something is signed, so a single pixel is.

        Raises:
            CertificateUnusable: The key or its certificate cannot sign.
        """
        import c2pa

        dot = io.BytesIO()
        Image.new("L", (1, 1)).save(dot, "PNG")
        try:
            signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(key.algorithm, key.chain, key.private, None))
            c2pa.Builder(statement("", Request(), Origin()), self._context).sign(signer, _PNG, dot, io.BytesIO())
        except c2pa.C2paError as error:
            raise CertificateUnusable(
                "The certificate cannot sign content credentials.",
                "It must be valid today, issued by an authority (not by itself), and meant for C2PA claims, e-mail or "
                "documents.",
                text_of(error)) from None
        return signer

    def _signed(self, data: bytes, claim: dict[str, Any], carried: Mapping[str, tuple[str, bytes]]) -> bytes:
        """Return `data` with the statement `claim` in it.

        Args:
            data: A PNG's bytes.
            claim: The statement, see `statement`.
            carried: By role, MIME type and bytes of input files whose own credentials are kept if they can be read.
        """
        import c2pa

        ingredients = {entry["label"]: entry for entry in claim["ingredients"]}
        named = [entry for role, entry in ingredients.items() if role not in carried]
        with c2pa.Builder({**claim, "ingredients": named}, self._context) as builder:
            for role, (kind, encoded) in carried.items():
                try:
                    builder.add_ingredient(ingredients[role], kind, io.BytesIO(encoded))
                except c2pa.C2paError as error:
                    log.warning("the credentials of the %s are left out: %s", role, error)
                    return self._signed(data, claim, {other: file for other, file in carried.items() if other != role})
            signed = io.BytesIO()
            try:
                size = len(builder.sign(self._signer, _PNG, io.BytesIO(data), signed))
            except c2pa.C2paError as error:  # some broken credentials of inputs fail only here
                if not carried:
                    raise
                log.warning("the credentials of the inputs are left out: %s", error)
                return self._signed(data, claim, {})
        if size > _MAX_CHAIN and carried:
            log.warning("the credentials of the inputs are left out: they take %d bytes", size)
            return self._signed(data, claim, {})
        return signed.getvalue()


def statement(title: str, request: Request, origin: Origin) -> dict[str, Any]:
    """Return what is signed about a picture, as the JSON that c2pa's Builder takes."""
    agent = {"name": NAME, "version": version()}
    roles = list(request.inputs)
    guiding = [role for role in roles if role != "source"]
    done = {"softwareAgent": agent, "digitalSourceType": IPTC + origin.kind,
            **({"when": origin.made} if origin.made else {}),
            **({"parameters": {"ingredientIds": guiding}} if guiding else {})}
    if origin.kind == COMPOSITE and "source" in roles:
        actions = [{"action": "c2pa.opened", "softwareAgent": agent, "parameters": {"ingredientIds": ["source"]}},
                   {"action": "c2pa.edited", **done}]
    else:
        actions = [{"action": "c2pa.created", **done}]
    return {
        "title": title, "claim_generator_info": [agent],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions, "allActionsIncluded": True}}],
        "ingredients": [{"title": _TITLES.get(role, "Control picture"), "label": role,
                         "instance_id": request.inputs[role],
                         "relationship": "parentOf" if role == "source" else "inputTo"} for role in roles],
    }


def _carried(request: Request, inputs: Mapping[str, Source]) -> dict[str, tuple[str, bytes]]:
    """Return (MIME type, bytes) by role of the input files that can carry credentials of their own."""
    files = {role: inputs[role].encoded for role in request.inputs if role in inputs
             and inputs[role].encoded is not None}
    kinds = {role: _KINDS.get(sources.file_kind(encoded)) for role, encoded in files.items()}
    return {role: (kinds[role], encoded) for role, encoded in files.items() if kinds[role]}


def _stamps(paths: tuple[str, ...]) -> tuple:
    """Return a value that changes with the files; () if one is missing."""
    try:
        return tuple((path, (stat := Path(path).stat()).st_mtime_ns, stat.st_size) for path in paths)
    except OSError:
        return ()
