"""Checking ontology documents and laying a user's small one over the default."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from medtrim.errors import OntologyError
from medtrim.types.settings import nearest

# Section → the keys an entry may have. None: the section is a mapping of lists.
_SECTIONS: dict[str, frozenset[str] | None] = {
    "findings": frozenset({"terms", "category", "parents", "codes", "plural", "inflect", "remove"}),
    "anatomy": frozenset({"terms", "absorbs", "remove"}),
    "changes": frozenset({"terms", "remove"}),
    "directions": frozenset({"terms", "kind", "remove"}),
    "compounds": frozenset({"terms", "means", "remove"}),
    "adjectives": frozenset({"terms", "axis", "remove"}),
    "cues": None,
    "profiles": frozenset({"takes", "shares"}),
    "axes": None,
    "languages": None,
    "comparisons": frozenset({"terms", "remove"}),
}
_PLAIN = ("name", "version", "ignore", "spelled", "elsewhere", "compositions", "discard")
_COMPOSITION = ("finding", "anatomy", "change")
_DEFAULTS: dict[str, dict[str, Any]] = {
    "findings": {"category": "other"},
    "directions": {"kind": "place"},
    "adjectives": {"axis": "appearance"},
}
CUES = (
    "negation",
    "negation_after",
    "resolved",
    "resolved_after",
    "pseudo_negation",
    "hedge",
    "interpretation",
    "hedge_after",
    "history",
    "hypothetical",
    "break",
    "existential",
    "verb",
    "preposition",
    "with",
    "link",
    "and",
    "or",
    "the",
    "pronoun",
    "partitive",
    "trend",
    "normal",
    "not",
    "unable",
    "perceived",
    "exclude",
    "measure",
    "partial",
    "non",
    "bounding",
    "abnormality",
    "stating",
)


def unknown_key(key: object, allowed: Iterable[str], *, where: str) -> OntologyError:
    """An error that names the allowed keys and the likely one."""
    return OntologyError(f"{where}: unknown key {key!r}{nearest(key, sorted(allowed))}")


def check_document(document: Any, *, source: str) -> None:
    """Raise an `OntologyError` that names the first key or value out of order."""
    if not isinstance(document, Mapping):
        raise OntologyError(f"{source}: expected a mapping of sections, found {type(document).__name__}")
    for section, rows in document.items():
        if section in _PLAIN:
            _check_plain(section, rows, source=source)
            continue
        if section not in _SECTIONS:
            raise unknown_key(section, (*_SECTIONS, *_PLAIN), where=source)
        if not isinstance(rows, Mapping):
            raise OntologyError(f"{source}: {section} must be a mapping")
        keys = _SECTIONS[section]
        for name, row in rows.items():
            if section == "cues" and name not in CUES:
                raise unknown_key(name, CUES, where=f"{source}: cues")
            if keys is None:
                continue
            if not isinstance(row, Mapping):
                raise OntologyError(
                    f"{source}: {section}: {name!r} must be a mapping with {', '.join(sorted(keys))}"
                )
            for key in row:
                if key not in keys:
                    raise unknown_key(key, keys, where=f"{source}: {section}: {name!r}")
            for key in ("terms", "parents", "means", "remove", "takes", "shares"):
                if not isinstance(row.get(key) or [], list):
                    raise OntologyError(f"{source}: {section}: {name!r}: {key} must be a list")
            for term in row.get("terms") or ():
                _check_term(term, where=f"{source}: {section}: {name!r}")


def _check_plain(section: str, rows: Any, *, source: str) -> None:
    if section in ("ignore", "spelled", "elsewhere", "compositions") and not isinstance(rows, list):
        raise OntologyError(f"{source}: {section} must be a list")
    if section != "compositions":
        return
    for row in rows:
        if not isinstance(row, Mapping):
            raise OntologyError(
                f"{source}: compositions: an entry must be a mapping with {', '.join(_COMPOSITION)}"
            )
        for key in row:
            if key not in (*_COMPOSITION, "normal"):
                raise unknown_key(key, (*_COMPOSITION, "normal"), where=f"{source}: compositions")
        for key in _COMPOSITION:
            if key not in row:
                raise OntologyError(f"{source}: compositions: an entry lacks {key!r}")


def _check_term(term: Any, *, where: str) -> None:
    if not isinstance(term, str) or not term.strip():
        raise OntologyError(f"{where}: a term must be a word or phrase, found {term!r}; quote numbers and booleans")


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """`base` with `overlay` laid over it.

    Terms are added, `remove` takes terms away, other keys of an entry replace; new entries are new concepts.
    `discard: {section: [names]}` drops whole entries. Name and version are joined by `+`.
    """
    data: dict[str, Any] = copy.deepcopy(dict(base))
    for key in ("name", "version"):
        if key in overlay:
            data[key] = f"{data[key]}+{overlay[key]}"
    for section, names in (overlay.get("discard") or {}).items():
        if section not in _SECTIONS:
            raise unknown_key(section, _SECTIONS, where=f"{source}: discard")
        for name in names:
            if data[section].pop(name, None) is None:
                raise OntologyError(f"{source}: discard: {section} has no {name!r}")
    for section in ("ignore", "spelled", "elsewhere", "compositions"):
        data[section] = [*data[section], *(x for x in overlay.get(section) or () if x not in data[section])]
    for section, keys in _SECTIONS.items():
        for name, row in (overlay.get(section) or {}).items():
            if section == "profiles":
                data[section][name] = dict(row)
            elif keys is not None:
                data[section][name] = _merged_entry(data[section].get(name), row, section=section)
            elif section == "axes":
                data[section][name] = dict(row)
            else:
                data[section][name] = list(dict.fromkeys([*(data[section].get(name) or ()), *row]))
    return data


def _merged_entry(old: Mapping[str, Any] | None, row: Mapping[str, Any], *, section: str) -> dict[str, Any]:
    entry = {**_DEFAULTS.get(section, {}), **(old or {}), **{k: v for k, v in row.items() if k != "remove"}}
    removed = set(row.get("remove") or ())
    terms = [*((old or {}).get("terms") or ()), *(row.get("terms") or ())]
    entry["terms"] = [term for term in dict.fromkeys(terms) if term not in removed]
    return entry
