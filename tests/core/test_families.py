"""The table of families: the guide says what it says, and every class and task that it names is a known one."""
from __future__ import annotations

from pathlib import Path

import pytest

from blender_sd.core.families import CONTROLNETS, FAMILIES, Family, family_of
from blender_sd.core.tasks import IMAGE_TO_IMAGE, INPAINT, TASKS, TEXT_TO_IMAGE, UPSCALE
from blender_sd.core.samplers import SAMPLERS

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "models.md"
SD2 = family_of("StableDiffusionPipeline", {"cross_attention_dim": 1024})
MEMBERS = [family_of("StableDiffusionPipeline"), SD2, *(family for cls, family in FAMILIES.items() if cls not in (
    "StableDiffusionPipeline", "LatentConsistencyModelPipeline"))]


def row(family: Family) -> str:
    """The family's line in the guide's table."""
    image = "by instruction" if family.edits else "yes"
    steered = {TEXT_TO_IMAGE: "text", IMAGE_TO_IMAGE: "image", INPAINT: "inpaint"}
    controls = ", ".join(word for task, word in steered.items() if family.steers(task))
    also = [
        words for words, has in (("textual inversion", family.embeddings), ("prompt weights", family.weights),
                                 ("reference image", family.reference), ("negative prompt", family.negative)) if has]
    cells = [
        "yes" if TEXT_TO_IMAGE in family.tasks else "", image if IMAGE_TO_IMAGE in family.tasks else "",
        "yes" if UPSCALE in family.tasks else "", "yes" if INPAINT in family.tasks else "", controls, ", ".join(also)]
    return f"| {family.name} | {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |")


@pytest.mark.parametrize("family", MEMBERS, ids=lambda family: family.name)
def test_the_guide_says_what_the_table_says(family):
    assert row(family) in GUIDE.read_text(encoding="utf-8").splitlines(), row(family)


def test_every_task_has_its_way_of_calling():
    assert all(task.call in (TEXT_TO_IMAGE, IMAGE_TO_IMAGE, INPAINT) for task in TASKS.values())
    for family in FAMILIES.values():
        assert family.tasks and family.sampler in SAMPLERS and set(family.controls) <= set(CONTROLNETS)
        assert all(family.refusal(task) == "" for task in family.tasks)
        assert all(family.name in family.refusal(task) for task in set(TASKS) - set(family.tasks))


def test_what_depends_on_a_controlnets_class():
    sd3 = FAMILIES["StableDiffusion3Pipeline"]
    assert sd3.steers(TEXT_TO_IMAGE) and not sd3.steers(INPAINT)
    assert "cannot inpaint" in sd3.refusal(INPAINT, "SD3ControlNetModel")
    assert sd3.refusal(TEXT_TO_IMAGE, "FluxControlNetModel") and not family_of("KolorsPipeline").controls


def test_inpaint_checkpoints_only_inpaint():
    family = family_of("StableDiffusionXLInpaintPipeline", {"in_channels": 9})
    assert family.name == "SDXL Inpaint" and set(family.pipelines) == {INPAINT}
    assert family_of("StableDiffusionXLInpaintPipeline", {"in_channels": 4}).name == "SDXL"
