"""The source image of a request, decoded, checked and brought to size."""
from __future__ import annotations

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..protocol.errors import SourceUnusable
from ..protocol.messages import Source
from ..protocol.request import MAX_SIDE, MIN_SIDE

# What Blender also reads as an 8- or 16-bit picture. A closed list: some of Pillow's readers start other programs.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "TGA", "GIF", "JPEG2000")
EXTENSIONS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "TIFF": "tif", "BMP": "bmp", "TGA": "tga", "GIF": "gif", "JPEG2000": "jp2"}


def open_source(source: Source | None) -> tuple[Image.Image, Image.Image | None]:
    """(picture, alpha): an RGB image and, where any pixel is transparent, an L image of the same size. sRGB as
    displayed, straight alpha. Orientation tags and colour profiles are ignored, as Blender ignores them.

    Raises SourceUnusable for a source that is missing, broken, or not between 16 and 8192 pixels a side.
    """
    if source is None or (source.pixels is None and source.encoded is None):
        raise SourceUnusable("There is no source image.", "Choose one.")
    image = _from_array(source.pixels) if source.pixels is not None else _from_file(source.encoded)
    if image.mode != "RGBA":
        return image.convert("RGB"), None
    alpha = image.getchannel("A")
    # Not convert("RGB"), although it gives the same: merging says that colours under alpha 0 are kept as they are.
    picture = Image.merge("RGB", image.split()[:3])
    return picture, None if alpha.getextrema()[0] == 255 else alpha


def resized(picture: Image.Image, alpha: Image.Image | None, size: tuple[int, int]) -> tuple[Image.Image, Image.Image | None]:
    """Both at `size` (width, height). Colour and alpha are resampled apart, so that colours under alpha 0 survive."""
    if picture.size == size:
        return picture, alpha
    return picture.resize(size, Image.Resampling.LANCZOS), alpha and alpha.resize(size, Image.Resampling.LANCZOS)


def padded(picture: Image.Image, multiple: int, tiling: str) -> Image.Image:
    """`picture` grown to the right and below until both sides are multiples of `multiple`: the border is repeated, or
    the opposite side is where the picture tiles along that axis."""
    width, height = (-(-side // multiple) * multiple for side in picture.size)
    pixels = np.asarray(picture)
    right, below = width - picture.width, height - picture.height
    if below:
        pixels = np.pad(pixels, ((0, below), (0, 0), (0, 0)), mode="wrap" if "y" in tiling else "edge")
    if right:
        pixels = np.pad(pixels, ((0, 0), (0, right), (0, 0)), mode="wrap" if "x" in tiling else "edge")
    return Image.fromarray(pixels) if right or below else picture


def with_alpha(picture: Image.Image, alpha: Image.Image | None) -> Image.Image:
    """RGB and alpha put together again, straight; RGB alone where there is no alpha."""
    return picture if alpha is None else Image.merge("RGBA", (*picture.split(), alpha))


def file_kind(encoded: bytes) -> str:
    """The usual file extension for an encoded source, "bin" where it is none that we read."""
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            return EXTENSIONS.get(image.format or "", "bin")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return "bin"


def _from_array(pixels: np.ndarray) -> Image.Image:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
        raise SourceUnusable(f"The source is no picture: {pixels.dtype} {pixels.shape}.", "Give H×W×4 bytes.")
    _check_size(pixels.shape[1], pixels.shape[0])
    return Image.fromarray(np.ascontiguousarray(pixels))


def _from_file(encoded: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            _check_size(*image.size)  # known from the header: a bomb is not unpacked first
            image.load()
            return _to_bytes(image)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise SourceUnusable("The source image cannot be read.", "Save it again as PNG.", repr(error)) from None


def _to_bytes(image: Image.Image) -> Image.Image:
    """Any of Pillow's modes as 8-bit RGB or RGBA."""
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow's own convert would clip instead of scale
        grey = np.clip(np.asarray(image, np.float64) / 257, 0, 255)
        return Image.fromarray(np.rint(grey).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        grey = np.asarray(image)
        if not np.isfinite(grey).all():
            raise SourceUnusable("The source image holds pixels that are not numbers.", "Repair or re-render it.")
        return Image.fromarray(np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)).convert("RGB")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _check_size(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_SIDE:
        raise SourceUnusable(f"The source image is {width} × {height} pixels; it must have between {MIN_SIDE} and {MAX_SIDE} a side.",
                             "Scale it first.")
