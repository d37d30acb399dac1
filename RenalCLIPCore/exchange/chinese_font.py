"""A font with the Chinese characters of a document, made of one that this computer has, to be embedded in a PDF.

Only the characters that a document needs are taken, so a PDF grows by some kilobytes. Fonts whose own flags forbid to
embed them are passed over. Noto Sans CJK and WenQuanYi, which Debian has, may be embedded (SIL Open Font Licence; GPL
with the font exception).
"""

from __future__ import annotations

import io
import os
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fontTools.ttLib import TTFont

VARIABLE = "RENALCLIP_CHINESE_FONT"
NAME = "RenalCLIPChinese"
MISSING = (
    "No font on this computer has the report's Chinese characters, so the PDF leaves them to the fonts of whoever "
    f"reads it. Install one (Debian: fonts-noto-cjk), or name a font file in {VARIABLE}."
)
# regular weights first, simplified forms before others
_KNOWN = ("notosanscjk-regular", "notosanscjksc-regular", "sourcehansanssc-regular", "sourcehansanscn-regular",
          "wqy-microhei", "wqy-zenhei", "notosanssc", "droidsansfallback", "simhei", "simsun", "pingfang",
          "hiraginosansgb", "stheiti", "arialunicode")  # fmt: skip
_RESTRICTED, _EM_ERROR = 0x0002, 0.5


def embeddable(characters: Collection[str]) -> bytes | None:
    """A TrueType font with these characters alone, from the first font of this computer that has them all.

    Args:
        characters: Single characters.

    Returns:
        The font file, the same for the same font and characters; None where no font has them or may be embedded.
    """
    from fontTools.ttLib import TTFont, TTLibError

    for path, number in _candidates():
        try:
            with path.open("rb") as file, TTFont(file, fontNumber=number, lazy=True) as font:
                known = font.getBestCmap() or {}
                if all(ord(letter) in known for letter in characters) and not _restricted(font):
                    return _part(font, sorted(set(characters)), known)
        except (TTLibError, OSError, KeyError):
            continue
    return None


@cache
def font_files() -> tuple[Path, ...]:
    """Font files of this computer that may hold Chinese, the most suitable first; the one that a person named alone."""
    from matplotlib.font_manager import findSystemFonts

    named = os.environ.get(VARIABLE, "")
    if named:
        return (Path(named),) if Path(named).is_file() else ()
    ranked = []
    for path in map(Path, (*findSystemFonts(fontext="ttf"), *findSystemFonts(fontext="afm"))):
        name = path.stem.lower().replace("_", "-").replace(" ", "")
        rank = next((place for place, known in enumerate(_KNOWN) if name.startswith(known)), None)
        if rank is not None and path.suffix.lower() in (".ttf", ".ttc", ".otf", ".otc"):
            ranked.append((rank, str(path)))
    return tuple(Path(path) for _, path in sorted(set(ranked)))


def _candidates() -> Iterator[tuple[Path, int]]:
    """Font files with the number of the face: of a collection, the one for simplified Chinese."""
    from fontTools.ttLib import TTCollection, TTLibError

    for path in font_files():
        try:
            if path.suffix.lower() not in (".ttc", ".otc"):
                yield path, -1
                continue
            with path.open("rb") as file, TTCollection(file, lazy=True) as collection:
                names = [str(face["name"].getDebugName(4) or "") for face in collection.fonts]
        except (TTLibError, OSError, KeyError):
            continue
        yield path, next((place for place, name in enumerate(names) if " SC" in name and "Mono" not in name), 0)


def _restricted(font: TTFont) -> bool:
    return bool(font["OS/2"].fsType & _RESTRICTED) if "OS/2" in font else False


def _part(font: TTFont, letters: list[str], known: dict[int, str]) -> bytes:
    """A font of the letters' outlines, cubic ones turned into quadratic ones, which PDF writers can embed."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.cu2quPen import Cu2QuPen
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    source, widths = font.getGlyphSet(), {".notdef": (font["head"].unitsPerEm, 0)}
    glyphs: dict[str, Any] = {".notdef": TTGlyphPen(None).glyph()}
    characters: dict[int, str] = {}
    error = font["head"].unitsPerEm / 1000 * _EM_ERROR
    for letter in letters:
        name = f"u{ord(letter):05X}"
        pen = TTGlyphPen(None)
        source[known[ord(letter)]].draw(Cu2QuPen(pen, error, reverse_direction="CFF " in font))
        glyphs[name], characters[ord(letter)] = pen.glyph(), name
        widths[name] = (source[known[ord(letter)]].width, 0)
    builder = FontBuilder(font["head"].unitsPerEm, isTTF=True)
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap(characters)
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(widths)
    builder.setupHorizontalHeader(ascent=font["hhea"].ascent, descent=font["hhea"].descent)
    builder.setupNameTable({"familyName": NAME, "styleName": "Regular", "psName": NAME})
    builder.setupOS2(sTypoAscender=font["hhea"].ascent, sTypoDescender=font["hhea"].descent)
    builder.setupPost()
    builder.font.recalcTimestamp = False
    builder.font["head"].created = builder.font["head"].modified = 0
    target = io.BytesIO()
    builder.save(target)
    return target.getvalue()
