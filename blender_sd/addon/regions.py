"""Define `Scene.sd.regions`: parts of the picture that are kept, or painted after words of their own.

(No `from __future__ import annotations` here: Blender reads properties from the annotations themselves.)
"""
import bpy
from bpy.props import BoolProperty, EnumProperty, PointerProperty

from ..calls import recalling, regions
from ..calls.arguments import RegionInput
from ..core.errors import SDError, SourceUnusable
from ..core.regions import COLLECTION, FACES, MASK, MATERIAL, OBJECT, Region
from .declared import declared_field, exact, exact_values, fill

KINDS = (  # in lower case: the kinds of `core.regions`
    ("OBJECT", "Object", "All of an object that is seen", "OBJECT_DATA", 0),
    ("MATERIAL", "Material", "Everything with a material; on a texture the UV area of its faces", "MATERIAL", 1),
    ("COLLECTION", "Collection", "All objects in a collection", "OUTLINER_COLLECTION", 2),
    ("MASK", "Mask", "The white parts of an image", "IMAGE_DATA", 3),
    ("FACES", "Selected Faces", "The UV area of the active object's selected faces, for textures", "FACESEL", 4),
)
_POINTERS = {OBJECT: "thing", MATERIAL: "material", COLLECTION: "collection", MASK: "mask"}


class SD_PG_region(bpy.types.PropertyGroup):
    """One region. It knows its thing by reference, so renaming does not matter."""

    enabled: BoolProperty(name="Use", default=True, description="Give this part of the picture settings of its own")
    kind: EnumProperty(name="Region", description="What the region is the area of", items=KINDS, default="OBJECT")
    thing: PointerProperty(type=bpy.types.Object, name="Object", description="The object whose area it is")
    material: PointerProperty(type=bpy.types.Material, name="Material", description="The material whose area it is")
    collection: PointerProperty(type=bpy.types.Collection, name="Collection",
                                description="The collection whose objects' area it is")
    mask: PointerProperty(type=bpy.types.Image, name="Mask Image",
                          description="The image whose white parts are the region")
    keep: BoolProperty(name="Keep as It Is", default=True,
                       description="Keep the region exactly as it is in the source, bit for bit")
    prompt: declared_field(Region, "prompt", maxlen=8192)
    use_strength: BoolProperty(name="Own Strength", default=False,
                               description="Let the region depart from the source by a strength of its own")
    strength: declared_field(Region, "strength", default=0.5)
    control: declared_field(Region, "control")
    feather: declared_field(Region, "feather")
    exact: exact_values()

    @property
    def pointer(self) -> str:
        """The property that holds what it is the area of; "" for selected faces."""
        return _POINTERS.get(self.kind.lower(), "")

    @property
    def is_whole(self) -> bool:
        """Whether it names what it is the area of, and that still exists."""
        return not self.pointer or getattr(self, self.pointer) is not None

    def region_input(self) -> RegionInput:
        """Return the region as the API takes it. Raise SourceUnusable if what it names is missing."""
        if not self.is_whole:
            raise SourceUnusable("A region does not say what it is the area of, or that was deleted.",
                                 "Choose it in the Regions panel, or take the region off the list.")
        what = {"faces": True} if not self.pointer else {
            "object" if self.kind == "OBJECT" else self.pointer: getattr(self, self.pointer)}
        painted = {} if self.keep else {
            "prompt": self.prompt.strip(), "strength": exact(self, "strength") if self.use_strength else None}
        return regions.region(**what, keep=self.keep, control=exact(self, "control"),
                              feather=exact(self, "feather") if self.keep else 0, **painted)

    def fill_from(self, region: Region) -> None:
        """Set everything from a request's region: by its thing if this file has it, or else by the copy of its mask."""
        blocks = {OBJECT: bpy.data.objects, MATERIAL: bpy.data.materials, COLLECTION: bpy.data.collections}
        block = blocks[region.kind].get(region.name) if region.kind in blocks else None
        self.kind = region.kind.upper() if block is not None or region.kind == FACES else "MASK"
        if block is not None:
            setattr(self, self.pointer, block)
        elif region.kind != FACES:
            try:
                self.mask = recalling.kept_image("mask", region.mask)
            except SDError:
                self.mask = None  # the list shows that it is missing
        self.keep, self.prompt = region.keep, region.prompt
        self.use_strength = region.strength is not None
        for name in ("control", "feather", *(("strength",) if self.use_strength else ())):
            fill(self, name, getattr(region, name))


CLASSES = (SD_PG_region,)
