"""Files on disk: models, adapters, wildcards, styles, history, lineage, licences, logs. No bpy, no torch."""
