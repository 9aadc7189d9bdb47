"""v^p for v in [0, 1] in float32 from sums and products alone.

A library's power function is another one in each processor's vector width, and its last bit with it. This one is
2^(p log2 v) by two polynomials (Chebyshev fits; absolute errors 4e-10 and 4e-9 before rounding) and gives the same
bits everywhere; it is within 4e-7 of the exact value for p <= 1.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tasks.isp.compiled.jit import IMAGE, Plane, kernel

ZERO, ONE, HALF = np.float32(0), np.float32(1), np.float32(0.5)
L0, L1 = np.float32(2.8853900797911995), np.float32(0.9617988462491186)
L2, L3 = np.float32(0.5767145102208731), np.float32(0.43173301870522574)
E1, E2, E3 = np.float32(0.6931471880293436), np.float32(0.24022650922342734), np.float32(0.05550357104252173)
E4, E5, E6 = np.float32(0.009618056669890332), np.float32(0.0013390867351613025), np.float32(0.00015461447461837517)
SMALLEST, LIFT, LIFTED = np.float32(2.0**-126), np.float32(2.0**24), np.float32(24)
LOWEST = np.float32(-126)
MANTISSA, EXPONENT_BITS, BIAS = np.int32(0x7FFFFF), np.int32(23), np.int32(127)
ROOT_HALF = np.int32(0x3F3504F3)
"""Bits of sqrt(1/2): mantissas are taken in [sqrt(1/2), sqrt(2))."""


def _bits_of(typing: Any, value: Any) -> Any:
    """The bits of a float32 as int32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), generate


def _float_of(typing: Any, bits: Any) -> Any:
    """The float32 of these bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


bits_of: Any = intrinsic(_bits_of)
float_of: Any = intrinsic(_float_of)


@kernel(IMAGE, "float32", IMAGE)
def power(image: Plane, exponent: float, out: Plane) -> None:
    """`image` in [0, 1] to the power `exponent` > 0; `out` may be smaller by the same margin on all sides."""
    m = (image.shape[1] - out.shape[1]) // 2
    for c in range(out.shape[0]):
        for y in range(out.shape[1]):
            line, target = image[c, y + m, m:], out[c, y]
            for x in range(target.size):
                value = line[x]
                tiny = value < SMALLEST
                bits = bits_of(value * LIFT if tiny else value)
                whole = (bits - ROOT_HALF) >> EXPONENT_BITS
                part = float_of(np.int32(bits - (whole << EXPONENT_BITS)))
                s = (part - ONE) / (part + ONE)
                u = s * s
                log2 = s * (((L3 * u + L2) * u + L1) * u + L0)
                log2 = (np.float32(whole) - (LIFTED if tiny else ZERO)) + log2
                wanted = log2 * exponent
                wanted = wanted if wanted > LOWEST else LOWEST
                near = np.floor(wanted + HALF)
                f = wanted - near
                series = ((((E6 * f + E5) * f + E4) * f + E3) * f + E2) * f + E1
                result = (ONE + f * series) * float_of(np.int32((np.int32(near) + BIAS) << EXPONENT_BITS))
                target[x] = result if value > ZERO else ZERO
