"""Label images and polygons, read by windows."""
