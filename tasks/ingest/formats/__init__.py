"""What files hold: mosaics, slides and microscopy images from camera raw, DNG and TIFF, and what these say of them."""
