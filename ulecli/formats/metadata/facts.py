"""Properties of XMP that say nothing about a person, and which viewers or platforms need.

They are the only ones that the mode `private` lets through. Each is listed by name, and its value has to be
of one narrow form: a number, a boolean, or a word of a list. So no text can hide in them.

- GPano (Google's Photo Sphere): projection and geometry, without which a panorama of 360 degrees shows as a
  distorted strip. The compass headings stay behind: with the shadows they say where a photo was taken; so do
  the name of the stitching program and the dates.
- GSpherical and the stereo mode: the same of spherical and stereoscopic pictures.
- DigitalSourceType (IPTC): that a picture is a photo or was generated. Platforms label by it.
- DataMining (PLUS): that the owner forbids or allows training on the picture.

What EXIF says of date, time zone, camera, exposure, resolution and colour space (also gamma, and the
interoperability index of Adobe RGB) goes through as EXIF: see `exif_tags`.
"""

from __future__ import annotations

import re

GPANO = "{http://ns.google.com/photos/1.0/panorama/}"
_SPHERICAL = "{http://ns.google.com/videos/1.0/spherical/}"
_IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
_PLUS = "{http://ns.useplus.org/ldf/xmp/1.0/}"

_COUNT = re.compile(r"[0-9]{1,9}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}(?:\.[0-9]{1,9})?")
_BOOLEAN = re.compile("true|false", re.IGNORECASE)
_PROJECTION = re.compile("equirectangular|cylindrical|rectilinear|fisheye|cubemap|mercator", re.IGNORECASE)
_STEREO = re.compile("mono|left-right|top-bottom", re.IGNORECASE)
_SOURCE = re.compile(
    "https?://cv[.]iptc[.]org/newscodes/digitalsourcetype/"
    "(?:digitalCapture|computationalCapture|multiFrameComputationalCapture|negativeFilm|positiveFilm|print"
    "|minorHumanEdits|humanEdits|compositeCapture|algorithmicallyEnhanced|dataDrivenMedia|digitalArt"
    "|digitalCreation|virtualRecording|composite|compositeSynthetic|softwareImage|screenCapture"
    "|algorithmicMedia|trainedAlgorithmicMedia|compositeWithTrainedAlgorithmicMedia)"
)
_MINING = re.compile(
    "(?:http://ns[.]useplus[.]org/ldf/vocab/)?DMI-(?:UNSPECIFIED|ALLOWED|PROHIBITED|PROHIBITED-AIMLTRAINING"
    "|PROHIBITED-GENAIMLTRAINING|PROHIBITED-EXCEPTSEARCHENGINEINDEXING|PROHIBITED-SEECONSTRAINT"
    "|PROHIBITED-SEEEMBEDDEDRIGHTSEXPR)"
)

_COUNTS = (
    "FullPanoWidthPixels",
    "FullPanoHeightPixels",
    "CroppedAreaImageWidthPixels",
    "CroppedAreaImageHeightPixels",
    "CroppedAreaLeftPixels",
    "CroppedAreaTopPixels",
    "SourcePhotosCount",
)
_NUMBERS = (
    "PosePitchDegrees",
    "PoseRollDegrees",
    "InitialViewPitchDegrees",
    "InitialViewRollDegrees",
    "InitialHorizontalFOVDegrees",
    "InitialVerticalFOVDegrees",
    "InitialCameraDolly",
    "LargestValidInteriorRectLeft",
    "LargestValidInteriorRectTop",
    "LargestValidInteriorRectWidth",
    "LargestValidInteriorRectHeight",
)
_FORMS = {
    **{GPANO + name: _COUNT for name in _COUNTS},
    **{GPANO + name: _NUMBER for name in _NUMBERS},
    GPANO + "ProjectionType": _PROJECTION,
    GPANO + "StereoMode": _STEREO,
    GPANO + "UsePanoramaViewer": _BOOLEAN,
    GPANO + "ExposureLockUsed": _BOOLEAN,
    GPANO + "IsPhotosphere": _BOOLEAN,
    _SPHERICAL + "Spherical": _BOOLEAN,
    _SPHERICAL + "Stitched": _BOOLEAN,
    _SPHERICAL + "ProjectionType": _PROJECTION,
    _SPHERICAL + "StereoMode": _STEREO,
    _IPTC + "DigitalSourceType": _SOURCE,
    _PLUS + "DataMining": _MINING,
}

PREFIXES = {
    GPANO[1:-1]: "GPano",
    _SPHERICAL[1:-1]: "GSpherical",
    _IPTC[1:-1]: "Iptc4xmpExt",
    _PLUS[1:-1]: "plus",
}

_GEOMETRY = (GPANO, _SPHERICAL)
_SHARE = 0.03
"""How far the proportions of the picture and of the panorama in it may differ; thumbnails are rounded."""


def is_fact(name: str, value: str | None) -> bool:
    """Return whether a property is harmless: its name is on the list and its value of the form for it."""
    form = _FORMS.get(name)
    return form is not None and value is not None and form.fullmatch(value) is not None


def is_geometry(name: str) -> bool:
    """Return whether a property says how a panorama lies in the picture, which turning makes wrong."""
    return name.startswith(_GEOMETRY)


def fits(facts: dict[str, str], size: tuple[int, int]) -> bool:
    """Return whether the panorama that the facts describe has the proportions of the picture.

    A picture may have been scaled without its metadata, which viewers allow for; one that its container
    turned does not fit.

    Args:
        facts: By name; those of a picture that is no panorama fit any.
        size: Width and height of the upright picture, in pixels.
    """
    width, height = (
        int(facts.get(f"{GPANO}CroppedAreaImage{side}Pixels", "0")) for side in ("Width", "Height")
    )
    if not width or not height:
        return True
    return abs(width * size[1] / (height * size[0]) - 1) <= _SHARE
