"""Describe what the content credentials of a picture prove, as the verifying process found it."""
from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

# NONE: the file has no credentials. BROKEN: it was changed after signing, or the credentials are invalid. VALID:
# nothing was changed, but the signer is not trusted here. TRUSTED: signed with the certificate that the preferences
# name, or by an authority in its file.
NONE, BROKEN, VALID, TRUSTED = STATES = ("none", "broken", "valid", "trusted")
_MAX_TEXT = 300  # characters of one field; the text comes from other people's files
MAX_STEPS = 200
# For c2pa: fetch no remote manifest, no revocation list, and open no other connection.
OFFLINE_SETTINGS = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
                    "core": {"allowed_network_hosts": []}}


@dataclass(frozen=True)
class Step:
    """Describe one picture in the chain of ingredients.

    Attributes:
        title: The picture's title.
        relation: "" for the picture itself, "parentOf" for what it was made over, "inputTo" for what steered it, or
            another of C2PA's words.
        depth: 0 for the picture that was checked, 1 for what it was made from, 2 for what that was made from, and so
            on.
        program: The program that signed it, "" without credentials.
        signer: The name in its certificate, "" without credentials.
        made: The time of signing (UTC), "" without credentials.
        actions: What was done, in C2PA's words, such as "c2pa.created".
        kind: IPTC's digital source type, such as "trainedAlgorithmicMedia".
        identity: "sha256:…", by which requests name an input of ours.
        sound: Whether its own credentials were valid when it was taken in.
    """

    title: str = ""
    relation: str = ""
    depth: int = 0
    program: str = ""
    signer: str = ""
    made: str = ""
    actions: tuple[str, ...] = ()
    kind: str = ""
    identity: str = ""
    sound: bool = True


@dataclass(frozen=True)
class Proof:
    """Describe the result of checking a picture's content credentials.

    Attributes:
        state: One of STATES.
        signer: The name in the signing certificate.
        reason: Why the credentials are broken, in C2PA's words.
        steps: The chain: the picture first, each followed by its ingredients.
    """

    state: str = NONE
    signer: str = ""
    reason: str = ""
    steps: tuple[Step, ...] = ()

    def to_json(self) -> str:
        """Return the proof as JSON text."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Proof:
        """Read the text that `to_json` wrote. Raise ValueError for anything else."""
        try:
            raw = json.loads(text)
            steps = tuple(map(_step, raw["steps"][:MAX_STEPS]))
            if raw["state"] not in STATES:
                raise ValueError("no such state")
            return cls(raw["state"], line(raw["signer"]), line(raw["reason"]), steps)
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"no proof: {error!r}") from None


def line(value: object) -> str:
    """Return `value` as one short line for display, or "" if it is not text."""
    if not isinstance(value, str):
        return ""
    return " ".join(value.encode("utf-8", "replace").decode("utf-8").split())[:_MAX_TEXT]


def _step(raw: dict) -> Step:
    texts = {name: line(raw[name]) for name in ("title", "relation", "program", "signer", "made", "kind", "identity")}
    return Step(**texts, depth=int(raw["depth"]), actions=tuple(map(line, raw["actions"])), sound=raw["sound"] is True)
