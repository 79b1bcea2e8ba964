"""Tokenizers that make their library panic, which is no `Exception`: the job fails, and the next one paints."""
from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from blender_sd.engine import Engine
from blender_sd.core.errors import ModelUnreadable
from blender_sd.protocol.messages import ENDINGS, Failed, Finished
from tests.support.engine import small

PANICS = {
    "while painting": {"post_processor": {"type": "TemplateProcessing", "special_tokens": {}, "pair": [
        {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}], "single": [
        {"SpecialToken": {"id": "[X]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}},
    "while loading": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
}


def with_tokenizer(source: str, place: Path, changes: dict) -> str:
    model = Path(shutil.copytree(source, place))
    kind = "PreTrainedTokenizerFast"
    for name, change in (("model_index.json", {"tokenizer": ["transformers",
                                                             kind]}), ("tokenizer/tokenizer.json", changes),
                         ("tokenizer/tokenizer_config.json", {"tokenizer_class": kind})):
        (model / name).write_text(json.dumps({**json.loads((model / name).read_text()), **change}))
    return str(model)


@pytest.mark.parametrize("when", PANICS)
def test_a_panic_fails_its_job_alone(run, taesd, tmp_path, when):
    assert isinstance(run(small(with_tokenizer(taesd, tmp_path / "sound", {})))[-1], Finished)
    broken = with_tokenizer(taesd, tmp_path / "broken", PANICS[when])
    events = run(small(broken))
    assert [type(event) for event in events if isinstance(event, ENDINGS)] == [Failed]
    assert events[-1].kind == ModelUnreadable.kind
    assert isinstance(run(small(taesd))[-1], Finished)
    with pytest.raises(ModelUnreadable):
        Engine(device="cpu", threads=1).generate("wall", seed=1, steps=1, size=(64, 64), model=broken)
