"""The other processes: install, download, verify. No bpy, no torch."""
