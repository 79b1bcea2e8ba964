"""Draw the thumbnails of the shipped styles into blender_sd/styles/thumbnails: python scripts/style_thumbnails.py.

The starter model renders the styles whose words it knows, with the example from the style's description and fixed
seeds. The others need a model that this project does not ship; they get a plain card with the style's initials.
`neutral.jpg`, the same card without initials, is for the person's own styles. Needs the engine's packages, which are in
`.venv`.
"""
from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import envs

STYLES = envs.ROOT / "blender_sd" / "styles"
STARTER = envs.ROOT / "blender_sd" / "models" / "starter"
SIDE = 128  # pixels
QUALITY = 82
SEED = 7
GREY = (72, 72, 76)  # of the card


def main() -> int:
    argparse.ArgumentParser(description="Draw the thumbnails of the shipped styles.").parse_args()
    envs.run_inside()
    sys.path[:0] = [str(envs.ROOT), str(Path(__file__).parent)]
    from blender_sd.core import vocabulary
    from blender_sd.core.style_format import read_style

    known = vocabulary.read((STARTER / vocabulary.FILE).read_bytes())
    styles = [read_style(file.read_bytes(), file.stem) for file in sorted(STYLES.glob("*.toml"))]
    rendered = [style for style in styles if not known.unknown(style.words("")[0])]
    folder = STYLES / "thumbnails"
    folder.mkdir(exist_ok=True)
    for file in folder.glob("*.jpg"):
        file.unlink()
    for style, picture in zip(rendered, render([style.words(example(style))[0] for style in rendered]), strict=True):
        save(picture, folder / f"{style.name}.jpg")
    for style in styles:
        if style not in rendered:
            save(
                card("".join(word[0] for word in re.split(r"[\s-]+", style.name)[:2]).upper()),
                folder / f"{style.name}.jpg",
            )
    save(card(""), folder / "neutral.jpg")
    files = list(folder.glob("*.jpg"))
    size = sum(file.stat().st_size for file in files)
    print(f"{len(files)} thumbnails, {len(rendered)} of them rendered, {size / 1e3:.0f} kB")
    return 0


def example(style) -> str:
    """Return the text after "such as" in the style's description; "" if it gives no example."""
    found = re.search(r"such as ([^.]+)", style.description)
    return found[1] if found else ""


def render(prompts: list[str]):
    """Return a picture (PIL) for each prompt, by the starter model with its usual settings."""
    import torch
    from starter import evaluate

    pipe = evaluate.load_pipeline(STARTER)
    evaluate.tile(pipe, True)
    return [pipe(prompt, height=SIDE, width=SIDE, num_inference_steps=evaluate.STEPS, guidance_scale=evaluate.GUIDANCE,
                 generator=torch.Generator().manual_seed(SEED)).images[0] for prompt in prompts]


def card(initials: str):
    """Return a grey card with the initials in the middle."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (SIDE, SIDE), GREY)
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((10, 10, SIDE - 11, SIDE - 11), 12, outline=(104, 104, 110), width=2)
    if initials:
        draw.text((SIDE / 2, SIDE / 2), initials, (176, 176, 182), ImageFont.load_default(46), anchor="mm")
    return picture


def save(picture, path: Path) -> None:
    picture.save(path, quality=QUALITY, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
