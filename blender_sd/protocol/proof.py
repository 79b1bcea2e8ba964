"""What the content credentials of a picture prove, as the engine has checked them."""
from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

# NONE: the file has no credentials. BROKEN: it was changed since they were signed, or they are no sound ones. VALID: nothing was changed;
# nobody that is known here vouches for who signed. TRUSTED: the same, signed by the certificate that the preferences name, or by an
# authority in its file.
NONE, BROKEN, VALID, TRUSTED = STATES = ("none", "broken", "valid", "trusted")
_MAX_TEXT = 300  # characters of one field: strangers write them
MAX_STEPS = 200


@dataclass(frozen=True)
class Step:
    """One picture in the chain: the one that was asked about (`depth` 0), what it was made from (1), what that was made from (2) …

    `title`; `relation`: "" for the picture itself, "parentOf" for what it was made over, "inputTo" for what steered it, or another of
    C2PA's words; `program`, `signer` and `made` (UTC), as far as it carries credentials; `actions`: what was done, in C2PA's words, such as
    "c2pa.created"; `kind`: IPTC's digital source type, such as "trainedAlgorithmicMedia"; `identity`: of our own inputs the "sha256:…" by
    which requests name them; `sound`: whether its own credentials were so when it was taken in."""

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
    """`state`: one of STATES. `signer`: whom the certificate names. `reason`: why they are broken, in C2PA's words. `steps`: the chain, the
    picture first, each followed by what it was made from."""

    state: str = NONE
    signer: str = ""
    reason: str = ""
    steps: tuple[Step, ...] = ()

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Proof:
        """Reads `to_json`'s form. Raises ValueError for anything else."""
        try:
            raw = json.loads(text)
            steps = tuple(_step(one) for one in raw["steps"][:MAX_STEPS])
            if raw["state"] not in STATES:
                raise ValueError("no such state")
            return cls(raw["state"], line(raw["signer"]), line(raw["reason"]), steps)
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"no proof: {error!r}") from None


def line(value: object) -> str:
    """`value` as one short line that can be shown; "" where it is no text."""
    if not isinstance(value, str):
        return ""
    return " ".join(value.encode("utf-8", "replace").decode("utf-8").split())[:_MAX_TEXT]


def _step(raw: dict) -> Step:
    texts = {name: line(raw[name]) for name in ("title", "relation", "program", "signer", "made", "kind", "identity")}
    return Step(**texts, depth=int(raw["depth"]), actions=tuple(map(line, raw["actions"])), sound=raw["sound"] is True)
