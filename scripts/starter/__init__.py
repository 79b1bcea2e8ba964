"""Training of the embedded starter model: from procedural materials to a diffusers folder, one file per stage."""
