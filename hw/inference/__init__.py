"""The way of an image: thermometer bits, convolutions, LGAP, dense layers.

Begin with `array`; `conv_front` fills its lanes from the line buffer of `window`, `conv_back` takes its sums;
`lgap` and `dense` use the same array.
"""
