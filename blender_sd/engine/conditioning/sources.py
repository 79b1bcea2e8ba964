"""Input images of a request: decoded, checked and brought to size."""
from __future__ import annotations

import functools
import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from ...core.errors import SourceUnusable
from ...core.common_settings import MAX_SIDE, MIN_SIDE
from ...protocol import light, picture_arrays
from ...protocol.messages import Source

# What Blender reads too, as 8- or 16-bit pictures. A closed list: some of Pillow's readers start other programs.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "TGA", "GIF", "JPEG2000", "AVIF")
_HEIC = "HEIF"  # where the package pillow-heif is installed
EXTENSIONS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "TIFF": "tif", "BMP": "bmp", "TGA": "tga", "GIF": "gif",
              "JPEG2000": "jp2", "AVIF": "avif", _HEIC: "heic"}


def open_source(source: Source | None) -> tuple[Image.Image, Image.Image | None]:
    """Return an RGB image and, if any pixel is transparent, its alpha as an L image of the same size, else None.

    Both are sRGB as displayed, straight alpha, row 0 on top. Orientation tags and colour profiles are ignored, as
    Blender ignores them.

    Raises:
        SourceUnusable: The source is missing, broken, or not between 16 and 8192 pixels a side.
    """
    if source is None or (source.pixels is None and source.encoded is None):
        raise SourceUnusable("There is no source image.", "Choose one.")
    image = _from_array(source.pixels) if source.pixels is not None else _from_file(source.encoded)
    if image.mode != "RGBA":
        return image.convert("RGB"), None
    alpha = image.getchannel("A")
    # Merging, unlike convert("RGB"), is certain to keep colours under alpha 0.
    picture = Image.merge("RGB", image.split()[:3])
    return picture, None if alpha.getextrema()[0] == 255 else alpha


def resized(picture: Image.Image, alpha: Image.Image | None, size: tuple[int, int]) -> tuple[Image.Image,
                                                                                             Image.Image | None]:
    """Return both at `size` (width, height). They are resampled separately, so that colours under alpha 0 survive."""
    if picture.size == size:
        return picture, alpha
    return picture.resize(size, Image.Resampling.LANCZOS), alpha and alpha.resize(size, Image.Resampling.LANCZOS)


def padded(picture: Image.Image, multiple: int, tiling: str) -> Image.Image:
    """Return a picture extended to the right and downwards until both sides are multiples of `multiple`.

    The border is repeated; along the axes of `tiling` the opposite side continues.
    """
    width, height = (-(-side // multiple) * multiple for side in picture.size)
    pixels = np.asarray(picture)
    right, below = width - picture.width, height - picture.height
    if below:
        pixels = np.pad(pixels, ((0, below), (0, 0), (0, 0)), mode="wrap" if "y" in tiling else "edge")
    if right:
        pixels = np.pad(pixels, ((0, 0), (0, right), (0, 0)), mode="wrap" if "x" in tiling else "edge")
    return Image.fromarray(pixels) if right or below else picture


def with_alpha(picture: Image.Image, alpha: Image.Image | None) -> Image.Image:
    """Return RGB and alpha put together, straight; RGB alone if `alpha` is None."""
    return picture if alpha is None else Image.merge("RGBA", (*picture.split(), alpha))


# How files of the common formats begin: where one then cannot be identified, it is damaged.
_BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM")


def file_kind(encoded: bytes) -> str:
    """Return the usual file extension of an encoded source, "bin" if it is in none of `FORMATS`."""
    if light.is_light(encoded[:64]):
        return "exr"
    try:
        with Image.open(io.BytesIO(encoded), formats=_formats()) as image:
            return EXTENSIONS.get(image.format or "", "bin")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return "bin"


def _from_array(pixels: np.ndarray) -> Image.Image:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
        raise SourceUnusable(f"The source is no picture: {pixels.dtype} {pixels.shape}.", "Give H×W×4 bytes.")
    _check_size(pixels.shape[1], pixels.shape[0])
    return Image.fromarray(np.ascontiguousarray(pixels))


def _from_file(encoded: bytes) -> Image.Image:
    if (size := light.size_of(encoded[:64])) is not None:
        _check_size(*size)
        try:
            return Image.fromarray(light.read(encoded).shown)
        except ValueError as error:
            raise SourceUnusable("The source image's file is damaged.", "Choose the picture again.",
                                 repr(error)) from None
    try:
        with Image.open(io.BytesIO(encoded), formats=_formats()) as image:
            _check_size(*image.size)  # from the header: a decompression bomb is never unpacked
            image.load()
            return _to_bytes(image)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise _refusal(encoded, error) from None


def _refusal(encoded: bytes, error: Exception) -> SourceUnusable:
    """Return the error for a file that cannot be read as a picture, with the cause."""
    if not encoded:
        return SourceUnusable("The source image's file is empty.", "Choose another one, or save it again.")
    if encoded[4:8] == b"ftyp" and encoded[8:10] in (b"he", b"mi", b"ms") and _HEIC not in _formats():
        return SourceUnusable("The source image is in the format HEIC, which this engine cannot read.",
                              "Save it as PNG or JPEG, or install the package pillow-heif into the engine.",
                              repr(error))
    if isinstance(error, UnidentifiedImageError) and not encoded.startswith(_BEGINNINGS):
        return SourceUnusable("The source image is in no format that can be read.",
                              f"Save it as one of {', '.join(FORMATS)}.", repr(error))
    if isinstance(error, EOFError) or "truncated" in str(error) or "cut off" in str(error):
        return SourceUnusable("The source image's file is cut off: its end is missing.", "Copy or download it again.",
                              repr(error))
    if isinstance(error, Image.DecompressionBombError):
        return SourceUnusable("The source image has too many pixels.", "Scale it first.", repr(error))
    return SourceUnusable("The source image's file is damaged.", "Save it again as PNG.", repr(error))


@functools.cache
def _formats() -> tuple[str, ...]:
    """Return what can be read here: `FORMATS`, and HEIC where its package is there."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return FORMATS
    register_heif_opener()
    return (*FORMATS, _HEIC)


def _to_bytes(image: Image.Image) -> Image.Image:
    """Return any of Pillow's modes as 8-bit RGB or RGBA."""
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(picture_arrays.pixels_of(image)).convert("RGB")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _check_size(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_SIDE:
        raise SourceUnusable(f"The source image is {width} × {height} pixels; it must have between {MIN_SIDE} and "
                             f"{MAX_SIDE} a side.",
                             "Scale it first.")
