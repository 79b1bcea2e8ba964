"""Surface points, views, visibility and projection of objects: numpy, scipy and embree. No bpy, no torch.

A ray hits a triangle at barycentric coordinates. That pair is the common currency here: it gives the exact position,
normal, texture coordinates and object, and the same point in every other view.
"""
