"""Parts of the bench "oracle"."""
