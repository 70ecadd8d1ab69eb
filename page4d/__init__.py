"""PAGE-4D: cameras, depth and points of moving scenes."""
