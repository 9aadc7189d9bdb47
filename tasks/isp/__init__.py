"""Image signal processing: a mosaic becomes a display view by a chain of operators that is pure configuration.

One module an operator (`operators` lists them), `chain` composes and checks them, `engine` runs a chain over
frames of any size in tiles, `step` is the edge to the stores.
"""
