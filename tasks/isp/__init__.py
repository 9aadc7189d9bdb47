"""Image signal processing: a mosaic becomes a display view by a chain of operators that is pure configuration.

One module an operator (`operators` lists them), `chain` composes and checks them, `engine` runs chains over frames
of any size in tiles by the kernels in `compiled`, `shared` computes common beginnings once, `step` is the edge to the
stores. `tensors` runs the same operators on torch, `parametrised` is the data model differentiable in its parameters.
"""
