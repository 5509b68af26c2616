"""Metadata of photos, block by block: EXIF, XMP, colour profiles, and what of them a protected file holds.

The modules work on the bytes of one block, wherever the container of a format keeps it:

- `tiff_directories`: the directories of tags that EXIF and TIFF share;
- `embedded`: pictures in other data, as JPEG or as text;
- `exif` and `exif_tags`: EXIF for an upright, protected picture;
- `packet_text` and `rdf`: the text and the XML of an XMP packet;
- `xmp`: what a packet says, and packets to write; `statements`: what one says beyond the harmless;
- `mark`: the mark of a protected picture, in XMP;
- `facts`: properties of XMP that say nothing about a person;
- `icc`: colour profiles without the names in them; `icc_texts` and `stock_profiles`: their texts, and those
  of profiles that everyone has;
- `policy`: what goes into the protected file by mode;
- `leaks`: what a block reveals.
"""
