"""Checks the content credentials of a picture's file, in a process of its own: no torch, no network.

The file may be a stranger's, and the library that reads it is large: what it could be made to do stays in this process.
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

from ..protocol.errors import SDError, SourceUnusable
from ..protocol.messages import EngineConfig, Event, Failed, Ready, Verified, Verify, text_of
from ..protocol.proof import BROKEN, MAX_STEPS, NONE, TRUSTED, VALID, Proof, Step, line
from . import process, quiet

log = logging.getLogger(__name__)
_MAX_BYTES = 1 << 30  # of a picture's file
_MAX_PEM = 1 << 20
_STATES = {"Invalid": BROKEN, "Valid": VALID, "Trusted": TRUSTED}
_HARMLESS = ("signingCredential.untrusted", "signingCredential.ocsp", "timeStamp.")  # of what a picture's parts were found to lack


def serve(reader: BinaryIO, writer: BinaryIO) -> int:
    """Speaks with the session; see `engine.process.serve`."""
    return process.serve(reader, writer, Verifier)


class Verifier:
    """Carries out `Verify` orders. A `protocol.messages.Pipeline`. `config.certificate`: PEM, whose certificates are trusted."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config

    def warm(self) -> Ready:
        return Ready("", "", {"c2pa-python": importlib.metadata.version("c2pa-python")})

    def run(self, order: Verify, emit: Callable[[Event], None], cancelled: Callable[[], bool]) -> None:
        try:
            data = order.picture.encoded if order.picture is not None else _read(order.path)
            ending: Event = Verified(order.job, proof_of(data, _anchors(self._config.certificate)).to_json())
        except SDError as error:
            ending = Failed.of(order.job, error)
        except Exception as error:
            ending = Failed.of(order.job, SDError("The credentials could not be checked.", "The log says why.", text_of(error)))
        emit(ending)

    def close(self) -> None:
        """Nothing is kept between orders."""


def proof_of(data: bytes, anchors: str = "") -> Proof:
    """What the credentials in a picture file's bytes prove. `anchors`: PEM certificates that are trusted."""
    settings = {**quiet.CREDENTIALS_OFFLINE, **({"trust": {"user_anchors": anchors}} if anchors else {})}
    try:
        with c2pa.Context.from_dict(settings) as context, c2pa.Reader(None, io.BytesIO(data), context=context) as reader:
            state, report = reader.get_validation_state(), json.loads(reader.json())
    except (c2pa.C2paError.ManifestNotFound, c2pa.C2paError.NotSupported):
        return Proof(NONE)
    except c2pa.C2paError as error:
        if str(error).startswith("Remote"):  # it only names an address for them
            return Proof(NONE)
        log.info("unsound credentials: %s", error)
        return Proof(BROKEN, reason=line(str(error)))
    active = report["manifests"][report["active_manifest"]]
    faults = [one.get("code", "") for one in report.get("validation_status") or () if not one.get("code", "").startswith(_HARMLESS)]
    found = _STATES.get(state, BROKEN)
    return Proof(found, _signer(active), line(", ".join(faults)) if found == BROKEN else "", tuple(_chain(report["manifests"], active)))


# ---- inside --------------------------------------------------------------------------------------------------------


def _chain(manifests: dict[str, Any], active: dict[str, Any]) -> Iterator[Step]:
    """The steps from `active` downwards. A manifest that comes again is named again, but not what it was made from."""
    waiting: list[tuple[dict[str, Any], int, dict[str, Any] | None]] = [({"title": active.get("title")}, 0, active)]
    seen: set[int] = set()
    for _ in range(MAX_STEPS):
        if not waiting:
            return
        ingredient, depth, manifest = waiting.pop()
        yield _step(ingredient, depth, manifest or {})
        if manifest is not None and id(manifest) not in seen:
            seen.add(id(manifest))
            waiting += [(one, depth + 1, manifests.get(one.get("active_manifest"))) for one in reversed(manifest.get("ingredients") or ())]


def _step(ingredient: dict[str, Any], depth: int, manifest: dict[str, Any]) -> Step:
    actions = [action for one in manifest.get("assertions") or () if str(one.get("label")).startswith("c2pa.actions")
               for action in one["data"].get("actions") or ()]
    program = (manifest.get("claim_generator_info") or [{}])[0]
    checks = ((ingredient.get("validation_results") or {}).get("activeManifest") or {}).get("failure") or ()
    return Step(
        line(manifest.get("title") or ingredient.get("title")), line(ingredient.get("relationship")), depth,
        line(f"{line(program.get('name'))} {line(program.get('version'))}"), _signer(manifest),
        next((when for action in reversed(actions) if (when := line(action.get("when")))), ""),
        tuple(line(action.get("action")) for action in actions),
        next((kind.rpartition("/")[2] for action in reversed(actions) if (kind := line(action.get("digitalSourceType")))), ""),
        line(ingredient.get("instance_id")) if str(ingredient.get("instance_id")).startswith("sha256:") else "",
        all(str(one.get("code")).startswith(_HARMLESS) for one in checks))


def _signer(manifest: dict[str, Any]) -> str:
    said = manifest.get("signature_info") or {}
    return line(said.get("common_name") or said.get("issuer"))


def _anchors(certificate: str) -> str:
    """What the person's own file of certificates holds; "" where there is none that can be read."""
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
        raise SourceUnusable(f"The file '{path}' cannot be read.", "Look whether it is still there.", repr(error)) from None
    if len(data) > _MAX_BYTES:
        raise SourceUnusable(f"The file '{path}' is too large to be checked.", "Save it smaller.")
    return data
