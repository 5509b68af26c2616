"""Count what pytest's own report says, and refuse skips that nobody has agreed to.

    python .ci/tally.py REPORT.xml

The last line is `N passed, N failed, N skipped`. Ends with 1 if a test failed, none ran, or one was skipped
for a reason that is not in `AGREED`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

AGREED = {
    r"no shared material at |no CIFAR-10 in ": "photos and data sets are not part of the repository",
    r"exiftool is not installed|there is no (man|systemd|Chromium)|this man takes ": (
        "programs that are asked as a second opinion; .ci/run installs the first two where it may"
    ),
    r"no (LaTeX|booktabs) here": "likewise, and too large to install for one test",
    r"this kernel (offers only|does not limit) ": "Landlock and seccomp are the kernel's to offer",
    r"needs the right to mount|this file system takes no such name": "disks are the machine's to lend",
    r"the superuser may read everything|only the superuser can ": "a run is the superuser's or it is not",
    r"this version of the encoder|its (encoder|decoder) ": "a library does not store it",
}
"""Reasons of skips, as regular expressions, and why each is no hole in the checks."""


def main(report: Path) -> int:
    """Print the skips that are refused and the counts; return the exit code."""
    passed, failed, skipped, refused = 0, 0, 0, []
    cases = ElementTree.parse(report).iter("testcase") if report.is_file() else ()
    for case in cases:
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif (skip := case.find("skipped")) is not None:
            skipped += 1
            reason = skip.get("message", "")
            if not any(re.search(agreed, reason) for agreed in AGREED):
                refused.append(f"{case.get('classname')}::{case.get('name')}: {reason}")
        else:
            passed += 1
    for line in refused:
        print(f"skipped for a reason that is not agreed: {line}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or refused or not passed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
