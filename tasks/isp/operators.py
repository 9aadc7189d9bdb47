"""The operators that a chain may name. A new one is one module and one line here.

The list is explicit and not found by scanning the folder: the recipe's closure of code is read from imports.
"""

from tasks.isp.bilinear import Bilinear
from tasks.isp.black_level import BlackLevel
from tasks.isp.clip import Clip
from tasks.isp.colour_matrix import ColourMatrix
from tasks.isp.gamma import Gamma
from tasks.isp.gaussian import Gaussian
from tasks.isp.highlight_clip import HighlightClip
from tasks.isp.jpeg import Jpeg
from tasks.isp.lens_shading import LensShading
from tasks.isp.malvar import Malvar
from tasks.isp.median import Median
from tasks.isp.menon import Menon
from tasks.isp.operator import Operator
from tasks.isp.sharpening_filter import SharpeningFilter
from tasks.isp.tone_curve import ToneCurve
from tasks.isp.unsharp_mask import UnsharpMask
from tasks.isp.white_balance import WhiteBalance
from tasks.isp.white_level import WhiteLevel

OPERATORS: dict[str, type[Operator]] = {
    operator.name: operator
    for operator in (
        BlackLevel,
        WhiteLevel,
        LensShading,
        Bilinear,
        Malvar,
        Menon,
        WhiteBalance,
        HighlightClip,
        ColourMatrix,
        SharpeningFilter,
        UnsharpMask,
        Median,
        Gaussian,
        Clip,
        Gamma,
        ToneCurve,
        Jpeg,
    )
}
