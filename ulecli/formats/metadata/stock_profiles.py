"""Texts and signatures of colour profiles that millions of files share, and which therefore name nobody."""

from __future__ import annotations

import re

DESCRIPTION = re.compile(
    r"sRGB(?: IEC61966-2[.-]1)?(?: black scaled)?|(?:GIMP )?(?:sRGB|RGB|Gray|CMYK)(?: built-in)?"
    r"|sRGB[ _]v4[ _]ICC[ _]preference(?: perceptual intent beta)?|sRGB (?:Color Space )?Profile"
    r"|c2|c2ci|sP3C|uP3|sGray|Display P3(?: Gamut with sRGB Transfer)?|DCI-P3(?: RGB)?|P3D65|Image P3"
    r"|(?:Compatible with )?Adobe RGB \(1998\)|AdobeRGB1998|ClayRGB|opRGB"
    r"|Nikon (?:sRGB|Adobe RGB) [0-9.]{1,12}"
    r"|ProPhoto RGB|ROMM RGB(?:: ISO 22028-2:2013)?|Large RGB|Wide Gamut RGB|Apple RGB|ColorMatch RGB"
    r"|Generic (?:RGB|Gray|CMYK)(?: Gamma 2\.2)?(?: Profile)?|Gray Gamma [0-9.]{1,4}|Dot Gain [0-9]{1,2}%"
    r"|Camera RGB Profile|HD 709-A|SDTV (?:NTSC|PAL)|Linear (?:sRGB|Display P3)|eciRGB v2"
    r"|(?:Rec\.? ?|(?:Rec\. )?ITU-R BT\.)(?:601|709|2020|2100)(?:-[0-9]{1,2})?(?: Reference Display)?"
    r"|U\.S\. (?:Web|Sheetfed) (?:Coated|Uncoated)(?: \(SWOP\))? v2|Japan Color 2001 (?:Coated|Uncoated)"
    r"|(?:Web )?(?:Coated|Uncoated) FOGRA[0-9]{2} \(ISO 12647-2:2004\)"
)
"""Of colour spaces that are published, as their makers, operating systems and programs call them."""

COPYRIGHT = re.compile(
    r"(?:Copyright|\(c\)|\u00a9|[ ,.-]|(?:19|20)[0-9]{2}|Incorporated|Inc|Ltd|Corporation|Corp|Company"
    r"|Systems|all rights reserved|Hewlett-Packard|Apple|Computer|Adobe|Microsoft|Google|Nikon|Canon|Sony"
    r"|Eastman|Kodak|Facebook|ICC|International Color Consortium|No copyright|use freely|none|CC0"
    r"|Public Domain|FREE|to use)++",
    re.IGNORECASE,
)
"""Of companies that publish profiles, and of nobody."""

DEVICE = re.compile(
    r"IEC http://www\.iec\.ch|IEC 61966-2[.-]1 Default RGB [Cc]olou?r [Ss]pace - sRGB"
    r"|Reference Viewing Condition in IEC ?61966-2[.-]1|sRGB|"
)
"""What the profile of sRGB that most files have says of its maker, its device and how to view it."""

SIGNATURE = re.compile(
    rb"\0{4}|    |none|Lino|HP  |IEC |sRGB|ADBE|appl|APPL|MSFT|SGI |SUNW|KODA|KCMS|ROMM|lcms|argl|GOOG"
    rb"|NKON|CANO|SONY|ICC "
)
"""Of makers, models and creators in the header."""

MADE_HERE = (b"lcms", b"argl")
"""Engines that make profiles where a photo is edited, with the time of it."""
