"""The command line: `blender -b scene.blend --command sd …` and `python -m blender_sd …`.

Each module in `commands` is one command. bpy, the calls and everything else that takes time to import are imported
inside functions, so that `--help` answers at once.
"""
