"""Words for the contrast phases in series descriptions and file names, in the languages and habits of scanners."""

from __future__ import annotations

import re
import unicodedata

from .study import Phase

# Searched in text that is lower case, without accents, with separators turned into spaces. What an earlier pattern
# matched is taken out, so that "late arterial" is not also "late".
_LATIN: tuple[tuple[Phase, str], ...] = (
    (Phase.A, r"(late|spat|spaet|tardi\w*|early|fruh|frueh|precoce) ?art(eri\w*)?"),
    (Phase.A, r"arteri\w*|art|[ck]orti[ck]o ?medull?\w*|[ck]orti[ck]al\w*|cmp|hap"),
    (Phase.N, r"non ?(contrast|con|enh\w*|ce|kontrast\w*)|noncon\w*|un ?enhanced|nativ(e|es|phase)?|plain"),
    (Phase.N, r"(without|w ?o|no|ohne|o|sans|sin|senza|s) ?(iv |i v )?(contrast\w*|kontrast\w*|km|iv|injection|mdc)"),
    (Phase.N, r"(pre|avant|vor) ?(contrast\w*|kontrast\w*|km|injection|iv)|precon\w*|pre(?! ?op)|c minus"),
    (Phase.N, r"nect|ncct|nc|spc|basale?|blanco"),
    (Phase.D, r"delay\w*|excret\w*|escret\w*|pyelogra\w*|ausscheid\w*|equilib\w*|elimina\w*"),
    (Phase.D, r"(spat|spaet)(phase|scan|aufnahme\w*)?|tardi\w*|late( phase)?"),
    (Phase.V, r"porto? ?(venos\w*|venous\w*|veineu\w*|ven)|portal\w*|porta|pvp?|hvp"),
    (Phase.V, r"venous\w*|venos\w*|veineu\w*|ven|nephro\w*|nefro\w*|neph|parench\w*|np"),
)
_CHINESE: tuple[tuple[Phase, str], ...] = (
    (Phase.A, "(晚|早)?动脉|皮髓|皮质期"),
    (Phase.N, "平扫|非增强|未增强|无增强"),
    (Phase.D, "延迟|延时|排泄|分泌期|肾盂期|排泌"),
    (Phase.V, "门脉|门静脉|静脉|实质期|髓质期"),
)
# The name of a whole examination: it says something only where no phase is named.
_EXAMINATIONS: tuple[tuple[Phase, str], ...] = (
    (Phase.D, r"uro ?gra(ph|f|m)\w*|uro ?ct|ct ?u"),
    (Phase.A, r"(ct ?)?angio\w*|ct ?a"),
)
_PATTERNS = tuple((phase, re.compile(rf"(?<![a-z0-9])(?:{part})(?![a-z])")) for phase, part in _LATIN) + tuple(
    (phase, re.compile(part)) for phase, part in _CHINESE
)
_WEAK = tuple((phase, re.compile(rf"(?<![a-z0-9])(?:{part})(?![a-z])")) for phase, part in _EXAMINATIONS)
_CONTRAST = re.compile(r"(?<![a-z])(post|with|mit|c plus|km|ce|cect|contrast\w*|enhanced|avec|nach|iv)(?![a-z])|增强")
_SECONDS = re.compile(r"(?<![a-z0-9.])(\d{2,3}) ?(?:s|sec|sek|secs|seconds|秒)(?![a-z])")
_MINUTES = re.compile(r"(?<![a-z0-9.])(\d{1,2}) ?(?:min|mins|mn|minuten|minutes|分钟|分)(?![a-z])")
_LETTER = {phase.value.lower(): phase for phase in Phase}


def normalised(text: str) -> str:
    """Lower case, without accents, with separators as single spaces; ``c+`` and ``c-`` written out."""
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter)).lower()
    plain = re.sub(r"(?<![a-z])c ?\+", " c plus ", plain)
    plain = re.sub(r"(?<![a-z0-9])c-(?![a-z0-9])", " c minus ", plain)
    plain = re.sub(r"[_\-/\\,;:+()\[\]{}|=*#&]|(?<!\d)\.|\.(?!\d)", " ", plain)
    return re.sub(r"\s+", " ", plain).strip()


def phases_named(text: str) -> dict[Phase, str]:
    """The phases that a description names, each with the word that names it; a time after injection counts."""
    rest = normalised(text)
    if rest in _LETTER:
        return {_LETTER[rest]: rest.upper()}
    found: dict[Phase, str] = {}
    for phase, pattern in _PATTERNS:
        for match in pattern.finditer(rest):
            found.setdefault(phase, match.group().strip())
        rest = pattern.sub(" | ", rest)
    return found or _named_otherwise(rest)


def _named_otherwise(rest: str) -> dict[Phase, str]:
    delay = delay_named_s(rest)
    at_delay = phase_at_delay(delay) if delay is not None else None
    if at_delay is not None:
        return {at_delay: f"{delay:.0f} s"}
    for phase, pattern in _WEAK:
        match = pattern.search(rest)
        if match:
            return {phase: match.group()}
    last = rest.rpartition(" ")[2]
    return {_LETTER[last]: last.upper()} if last in _LETTER else {}


def delay_named_s(text: str) -> float | None:
    """A time in a description, in seconds ("35 s", "5 min"), if it can be a delay after injection."""
    seconds, minutes = _SECONDS.search(text), _MINUTES.search(text)
    value = float(minutes.group(1)) * 60 if minutes else float(seconds.group(1)) if seconds else None
    return value if value is not None and 15 <= value <= 1800 else None


def phase_at_delay(delay_s: float) -> Phase | None:
    """The phase at a time after the start of the injection; None between two phases or before any."""
    for phase, low, high in ((Phase.A, 15, 48), (Phase.V, 55, 130), (Phase.D, 160, 1800)):
        if low <= delay_s <= high:
            return phase
    return None


def contrast_named(text: str) -> bool:
    """Whether a description says that contrast was given."""
    return bool(_CONTRAST.search(normalised(text)))
