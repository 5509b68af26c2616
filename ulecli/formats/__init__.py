"""Picture formats: each file knows all bytes of one, and the registry lists them.

A picture is RGB or RGBA; or on request, of a JPEG in colour, RGBX: RGB whose memory is an array as well, so
that it can be changed in place, without a copy of any pixel.

A file is handed only to the decoder of the format that its first bytes announce: it can't reach another
format's parser.
"""
