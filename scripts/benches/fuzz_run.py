"""Run one target of the bench `fuzz`, in the fuzzer's own environment: `python fuzz_run.py NAME SECONDS FOLDER`.

libFuzzer ends the process by itself, so each defect is written to FOLDER/defects.jsonl when it is seen; one line for
each place that fails.
"""
from __future__ import annotations

import base64
import json
import logging
import random
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parents[2]
SLOW = 1.0  # seconds of the processor for one input
HANG = 20  # seconds
MEMORY = 1024  # MB of the whole process
LONGEST = 4096  # bytes of one input
LONG = 60_000  # of one that is stretched


def main(name: str, seconds: str, folder: str) -> None:
    sys.path.insert(0, str(ROOT))
    with atheris.instrument_imports(include=["blender_sd"]):
        from tests.support import fuzz_targets
    from tests.support import fuzz_json

    logging.disable(logging.CRITICAL)
    target, seeds, place = fuzz_targets.TARGETS[name], fuzz_targets.SEEDS[name], Path(folder)
    corpus = place / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds):
        (corpus / f"seed{number}").write_bytes(seed)
    words = sorted({word for seed in seeds for word in re.findall(rb"[A-Za-z_]{3,}", seed)})
    signs = [
        "1e999",
        "-1",
        "Infinity",
        "null",
        "true",
        "[]",
        "{}",
        "../",
        "--hash=sha256:",
        r"\\ud800",
        r"\x00",
        r"\x1f\xff\xff\xff",
    ]
    (place / "words").write_text("".join(f'"{word}"\n' for word in (*(word.decode() for word in words), *signs)))
    seen: set[tuple] = set()

    def record(what: str, where: tuple, data: bytes) -> None:
        if where not in seen:
            seen.add(where)
            with open(place / "defects.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps({"target": name, "what": what, "input": base64.b64encode(data).decode()}) + "\n")

    def one(data: bytes) -> None:
        started = time.process_time()
        try:
            target(data)
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = type(error).__name__, frame.filename, frame.lineno
            record(f"{error!s:.200} {where}", where, data)
        if (took := time.process_time() - started) > SLOW:
            record(f"took {took:.1f} s", ("slow",), data)

    (place / "stretched").write_text(str(_stretch(one, seeds, words, signs)))

    def mutate(data: bytes, longest: int, seed: int) -> bytes:
        dice = random.Random(seed)
        if name in fuzz_json.JSON and dice.random() < 0.5:
            try:
                return fuzz_json.mutated(name, data, dice)[:longest]
            except (ValueError, KeyError, IndexError, RecursionError, AttributeError):
                pass  # it is not JSON
        return atheris.Mutate(data, longest)

    atheris.Setup(
        [
            sys.argv[0],
            str(corpus),
            f"-dict={place / 'words'}",
            f"-max_total_time={seconds}",
            f"-timeout={HANG}",
            f"-rss_limit_mb={MEMORY}",
            f"-max_len={LONGEST}",
            f"-artifact_prefix={place}/",
            "-print_final_stats=1",
            "-seed=1",
        ],
        one,
        custom_mutator=mutate,
    )
    atheris.Fuzz()


class Hang(Exception):
    """An input took so long that it was stopped."""


def _stretch(one: Callable[[bytes], None], seeds: list[bytes], words: list[bytes], signs: list[str]) -> int:
    """Give `one` the long inputs until one of them hangs. Return their number."""
    hung = []

    def stop(*_: object) -> None:
        hung.append(True)
        raise Hang("was broken off")

    signal.signal(signal.SIGALRM, stop)  # libFuzzer's own watch begins later
    count = 0
    for data in _long(seeds, words, signs):
        signal.alarm(HANG // 2)
        one(data)
        signal.alarm(0)
        count += 1
        if hung:
            break
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    return count


def _long(seeds: list[bytes], words: list[bytes], signs: list[str]) -> Iterator[bytes]:
    """Yield long inputs that repeat one thing, alone and in the middle of each seed: they reveal readers with quadratic
    time.
    """
    pieces = {
        *words,
        *(sign.encode().decode("unicode_escape").encode("latin-1") for sign in signs),
        *(bytes([sign]) for sign in range(128)),
        *(bytes([one, other]) for one in b"[({\"'<.:," for other in b"])}\"'> a1"),
    }
    for number, piece in enumerate(sorted(pieces)):
        long = piece * (LONG // len(piece))
        seed = seeds[number % len(seeds)]
        at = (number * 7) % (len(seed) + 1)
        yield from (long, seed[:at] + long + seed[at:])


if __name__ == "__main__":
    main(*sys.argv[1:])
