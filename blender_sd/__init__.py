"""Stable Diffusion inside Blender. `import blender_sd` works in any Python: bpy is imported only when it is needed.

    job = blender_sd.generate("red brick wall", seed=7)
    image = job.result()[0]
"""
