#!/usr/bin/env python3
"""Makes tests/eval/unicode.txt: of every character, whether Python's regex has it in \\p{N},
\\p{P} or \\p{S} (n: none and no white space; w: white space) and how far str.lower() moves it, as
ranges FIRST LAST KIND SHIFT. Characters that come after Unicode 14, Python 3.11's, are lowered
by nobody here: their shift is 99999999, as is that of those lowered to several."""
import pathlib
import unicodedata

import regex

assert unicodedata.unidata_version == "14.0.0", "needs Python 3.11"
kinds = [(k, regex.compile(r"\p{%s}" % k)) for k in "NPS"]
ranges = []
for code in range(0x110000):
    c = chr(code)
    kind = "w" if c.isspace() else "-"
    for name, pattern in kinds:
        if pattern.match(c):
            kind = name
    low = c.lower()
    shift = ord(low) - code if len(low) == 1 and unicodedata.category(c) != "Cn" else 99999999
    if ranges and ranges[-1][2:] == [kind, shift]:
        ranges[-1][1] = code
    else:
        ranges.append([code, code, kind, shift])
out = pathlib.Path(__file__).resolve().parent.parent / "eval" / "unicode.txt"
out.write_text("".join("%X %X %s %d\n" % tuple(r) for r in ranges))
