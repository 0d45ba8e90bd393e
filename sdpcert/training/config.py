"""Training configurations: TOML in, frozen and checked settings out; whatever is unknown is an error in one line.

A configuration may name a `preset` and then only says what is different; a table `about` is for its readers. Everything
else has a default, so that the resolved configuration, written into every run folder, states every number that a run
depends on.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from sdpcert.running.outputs import reads
from sdpcert.training.presets import preset_text
from sdpcert.training.settings import KINDS, Config, Section, ValidationError

#: Largest configuration file, in bytes.
LARGEST_FILE = 1_000_000


def load_config(source: Config | Mapping[str, Any] | str | Path) -> Config:
    """The configuration of a TOML file, of a mapping with its tables, or as it is.

    Raises ValueError with one line that names the key and what is allowed.
    """
    if isinstance(source, Config):
        return source
    if isinstance(source, Mapping):
        return _validated(_with_preset(dict(source), "the configuration"), "the configuration")
    path = Path(source)
    reads(path)
    table = _parsed(_text(path), str(path))
    config = _validated(_with_preset(table, str(path)), str(path))
    # Folders in a file are relative to the file.
    try:
        folders = {
            key: str((path.parent / value).resolve())
            for key in ("root", "cache")
            if (value := getattr(config.data, key)) is not None
        }
    except (ValueError, OSError, RuntimeError) as error:  # a null byte, too long a name, a loop of links
        raise ValueError(f"{path}: data.root or data.cache is no name of a folder: {error}") from None
    return config.model_copy(update={"data": config.data.model_copy(update=folders)}) if folders else config


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > LARGEST_FILE:
        raise ValueError(f"{path}: larger than {LARGEST_FILE} bytes, which no configuration is")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is no text in UTF-8, so no TOML file") from None


def _parsed(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"{source}: is no TOML file: {error}") from None


def _with_preset(table: dict[str, Any], source: str) -> dict[str, Any]:
    """The table on top of its preset, and that on top of its own; without `about`, on which nothing depends."""
    table.pop("about", None)
    if "preset" not in table:
        return table
    name = table.pop("preset")
    try:
        base = _parsed(preset_text(name), f"preset {name}")
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    return _merged(_with_preset(base, f"preset {name}"), table)


def _merged(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables are merged key by key; a table of another kind replaces the whole one, as does epochs minutes."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        if not (isinstance(old, dict) and isinstance(value, dict)):
            result[key] = value
            continue
        kind = KINDS.get(key)
        if kind is not None and value.get(kind, old.get(kind)) != old.get(kind):
            result[key] = value
            continue
        if key == "training":
            old = {k: v for k, v in old.items() if not ({k, *value} >= {"epochs", "minutes"} and k not in value)}
        result[key] = {**old, **value}
    return result


def _validated(table: Mapping[str, Any], source: str) -> Config:
    try:
        return Config.model_validate_json(json.dumps(table, allow_nan=True, default=str))
    except ValidationError as error:
        raise ValueError(f"{source}: {_line(error)}") from None


def _line(error: ValidationError) -> str:
    """The first finding as one line with the key, what is wrong and what is allowed."""
    finding = error.errors(include_url=False)[0]
    place, context = [str(part) for part in finding["loc"]], finding.get("ctx", {})
    kind = place.pop(1) if len(place) > 1 and place[0] in KINDS else None
    key = ".".join(place)
    if finding["type"] == "extra_forbidden":
        return f"unknown key {key!r}; known: {', '.join(_known(place[:-1], kind))}"
    if finding["type"] == "missing":
        return f"key {key!r} is missing"
    if finding["type"] in ("union_tag_invalid", "union_tag_not_found"):
        tag = f"{key}.{KINDS[key]}" if key in KINDS else key
        given = f"not {context['tag']!r}" if "tag" in context else "and it is missing"
        return f"{tag} must be one of {_tags(key)}, {given}"
    given = finding.get("input")
    shown = "" if isinstance(given, dict | list) else f", not {given!r}"
    message = finding["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if finding["type"] == "value_error":
        return f"{key}: {message}".removeprefix(": ")
    return f"{key} must be {message}{shown}"


def _known(place: list[str], kind: str | None) -> list[str]:
    """The keys of the table at a place."""
    if not place:
        return sorted([*Config.model_fields, "about", "preset"])
    annotation = Config.model_fields[place[0]].annotation
    for section in get_args(annotation) or (annotation,):
        key = KINDS.get(place[0])
        if isinstance(section, type) and issubclass(section, Section):
            if key is None or kind in get_args(section.model_fields[key].annotation):
                return sorted(section.model_fields)
    return []


def _tags(key: str) -> str:
    """The kinds of a table."""
    sections = get_args(Config.model_fields[key].annotation)
    return ", ".join(repr(t) for s in sections for t in get_args(s.model_fields[KINDS[key]].annotation))


def toml_text(table: Mapping[str, Any]) -> str:
    """Nested tables of numbers, texts, truth values and lists of them as TOML; None is left out."""
    lines, sections = [], []
    for key, value in table.items():
        if isinstance(value, Mapping):
            sections += ["", f"[{key}]", toml_text(value).rstrip("\n")]
        elif value is not None:
            # JSON's numbers, texts, truth values and lists are TOML's as well.
            lines.append(f"{key} = {json.dumps(value, ensure_ascii=True)}")
    return "\n".join([*lines, *sections]) + "\n"
