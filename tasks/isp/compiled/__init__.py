"""Compiled kernels: the production form of the operators, by numba, for float32 on the CPU.

Each kernel does the same roundings in the same order as the operator's `apply`, so that both give the same bits
wherever no library's power function is involved; no option that lets the compiler reorder or fuse is set. That
also makes a pixel independent of its tile and of the processor's vector width.

A module here calls no compiled function of another one: numba's cache is renewed when the file of a kernel
changes, and would miss a change elsewhere (tests/policy/test_compiled.py).
"""
