"""The embedded sample: real and drawn scenes through optics and sensor into the formats that cameras write."""
