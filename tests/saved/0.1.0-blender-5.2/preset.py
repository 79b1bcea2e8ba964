import bpy
settings = bpy.context.scene.sd

settings.model = 'saved model'
settings.width = 257
settings.height = 257
settings.sampler = 'tcd'
settings.steps = 21
settings.guidance = 3.5
settings.count = 2
settings.tiling = 'xy'
settings.random_seed = False
