"""Check the content credentials of a picture's file in a process of its own, without torch and network.

The file may be malicious, and the library that reads it is large: whatever an attack achieves stays in this process.
"""
from __future__ import annotations

import importlib.metadata
import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import c2pa

from ..core.content_credentials import BROKEN, MAX_STEPS, NONE, OFFLINE_SETTINGS, TRUSTED, VALID, Proof, Step, line
from ..core.errors import SDError, SourceUnusable
from ..protocol import endings, serving
from ..protocol.messages import EngineConfig, Event, Ready, Verified, Verify, text_of

log = logging.getLogger(__name__)
_MAX_BYTES = 1 << 30  # bytes of a picture's file
_MAX_PEM = 1 << 20
_STATES = {"Invalid": BROKEN, "Valid": VALID, "Trusted": TRUSTED}
# faults of a picture's ingredients that do not count
_HARMLESS = ("signingCredential.untrusted", "signingCredential.ocsp", "timeStamp.")


def serve(reader: BinaryIO, writer: BinaryIO) -> int:
    """Serve the session; see `protocol.serving.serve`."""
    return serving.serve(reader, writer, Verifier)


class Verifier:
    """Run `Verify` requests.

    It implements `protocol.pipeline.Pipeline`; `config.certificate` is a PEM file of trusted certificates.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config = config

    def warm(self) -> Ready:
        return Ready("", "", {"c2pa-python": importlib.metadata.version("c2pa-python")})

    def run(self, request: Verify, emit: Callable[[Event], None], cancelled: Callable[[], bool]) -> None:
        def work() -> Event:
            data = request.picture.encoded if request.picture is not None else _read(request.path)
            return Verified(request.job, proof_of(data, _anchors(self._config.certificate)).to_json())

        endings.finish(request.job, work, emit, _explained)

    def close(self) -> None:
        """Do nothing: nothing is kept between requests."""


def proof_of(data: bytes, anchors: str = "") -> Proof:
    """Return what the content credentials of a picture prove.

    Args:
        data: The bytes of the picture's file.
        anchors: Trusted certificates in PEM.
    """
    settings = {**OFFLINE_SETTINGS, **({"trust": {"user_anchors": anchors}} if anchors else {})}
    try:
        with c2pa.Context.from_dict(settings) as context, c2pa.Reader(None, io.BytesIO(data),
                                                                      context=context) as reader:
            state, report = reader.get_validation_state(), json.loads(reader.json())
    except (c2pa.C2paError.ManifestNotFound, c2pa.C2paError.NotSupported):
        return Proof(NONE)
    except c2pa.C2paError as error:
        if str(error).startswith("Remote"):  # it only names an address of credentials
            return Proof(NONE)
        log.info("unsound credentials: %s", error)
        return Proof(BROKEN, reason=line(str(error)))
    active = report["manifests"][report["active_manifest"]]
    codes = [status.get("code", "") for status in report.get("validation_status") or ()]
    faults = [code for code in codes if not code.startswith(_HARMLESS)]
    state = _STATES.get(state, BROKEN)
    return Proof(state, _signer(active), line(", ".join(faults)) if state == BROKEN else "",
                 tuple(_chain(report["manifests"], active)))


# ---- inside --------------------------------------------------------------------------------------------------------


def _explained(error: BaseException) -> SDError:
    if isinstance(error, SDError):
        return error
    return SDError("The credentials could not be checked.", "The log says why.", text_of(error))


def _chain(manifests: dict[str, Any], active: dict[str, Any]) -> Iterator[Step]:
    """Yield the steps from `active` downwards. A manifest that is repeated is named again, but without its ingredients.
    """
    waiting: list[tuple[dict[str, Any], int, dict[str, Any] | None]] = [({"title": active.get("title")}, 0, active)]
    seen: set[int] = set()
    for _ in range(MAX_STEPS):
        if not waiting:
            return
        ingredient, depth, manifest = waiting.pop()
        yield _step(ingredient, depth, manifest or {})
        if manifest is not None and id(manifest) not in seen:
            seen.add(id(manifest))
            waiting += [(part, depth + 1, manifests.get(part.get("active_manifest")))
                        for part in reversed(manifest.get("ingredients") or ())]


def _step(ingredient: dict[str, Any], depth: int, manifest: dict[str, Any]) -> Step:
    actions = [action for assertion in manifest.get("assertions") or ()
               if str(assertion.get("label")).startswith("c2pa.actions")
               for action in assertion["data"].get("actions") or ()]
    program = (manifest.get("claim_generator_info") or [{}])[0]
    checks = ((ingredient.get("validation_results") or {}).get("activeManifest") or {}).get("failure") or ()
    return Step(
        line(manifest.get("title") or ingredient.get("title")), line(ingredient.get("relationship")), depth,
        line(f"{line(program.get('name'))} {line(program.get('version'))}"), _signer(manifest),
        next((when for action in reversed(actions) if (when := line(action.get("when")))), ""),
        tuple(line(action.get("action")) for action in actions),
        next((kind.rpartition("/")[2] for action in reversed(actions)
              if (kind := line(action.get("digitalSourceType")))), ""),
        line(ingredient.get("instance_id")) if str(ingredient.get("instance_id")).startswith("sha256:") else "",
        all(str(check.get("code")).startswith(_HARMLESS) for check in checks))


def _signer(manifest: dict[str, Any]) -> str:
    signature = manifest.get("signature_info") or {}
    return line(signature.get("common_name") or signature.get("issuer"))


def _anchors(certificate: str) -> str:
    """Return the certificates in the person's own file; "" if there is none that can be read."""
    try:
        return Path(certificate).read_bytes()[:_MAX_PEM].decode("ascii", "replace") if certificate else ""
    except OSError as error:
        log.info("no trusted certificates: %s", error)
        return ""


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise SourceUnusable(f"The file '{path}' cannot be read.", "Look whether it is still there.",
                             repr(error)) from None
    if len(data) > _MAX_BYTES:
        raise SourceUnusable(f"The file '{path}' is too large to be checked.", "Save it smaller.")
    return data
