"""Image nodes in the Shader Editor."""
from __future__ import annotations

import bpy

from ..core.errors import SourceUnusable
from . import materials


def add_image_node(space: bpy.types.SpaceNodeEditor) -> bpy.types.ShaderNodeTexImage:
    """Add an empty Image Texture node at the cursor of a Shader Editor, selected alone and active.

    Raises:
        SourceUnusable: The editor shows no tree.
        TargetUnusable: The tree is linked from another file.
    """
    tree = space.edit_tree
    if tree is None:
        raise SourceUnusable("The Shader Editor shows no material.",
                             "Add one with its New button, or select an object that has one.")
    materials.check_editable(space.id if tree.is_embedded_data else tree,
                             "material" if tree.is_embedded_data else "node tree")
    for node in tree.nodes:
        node.select = False
    node = tree.nodes.new("ShaderNodeTexImage")
    node.location = space.cursor_location
    node.select = True
    tree.nodes.active = node
    return node
