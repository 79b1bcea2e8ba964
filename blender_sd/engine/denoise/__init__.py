"""From noise to one finished picture: samplers, seamless tiling, tiles, refining, upscalers, previews."""
