"""Explanations as text and as JSON: values become words, in the zone of who reads them."""

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo

from jobrunner.cli.foreign import json_text, one_line
from jobrunner.cli.render import duration_text, instant_text, relative_text
from jobrunner.cli.render_json import Json, instant_json, milliseconds
from jobrunner.explain.model import Explanation, Part


def explanation_text(explanation: Explanation, zone: tzinfo | None) -> str:
    """The sentence, the fix, and below them the facts that there are."""
    lines = [sentence_text(explanation, zone)]
    if explanation.fix:
        lines.append(f"  fix: {explanation.fix}")
    facts = list(_fact_lines(explanation, zone))
    return "\n".join([*lines, "", *facts] if facts else lines)


def sentence_text(explanation: Explanation, zone: tzinfo | None) -> str:
    """The sentence with its instants in the zone; None is the system's."""
    return "".join(_words(part, explanation.at, zone) for part in explanation.sentence)


def _words(part: Part, now: datetime | None, zone: tzinfo | None) -> str:
    if isinstance(part, datetime):
        return _time_text(part, now, zone)
    return duration_text(part) if isinstance(part, timedelta) else one_line(part)


def _time_text(instant: datetime, now: datetime | None, zone: tzinfo | None) -> str:
    """`03:00:12` for today's, else with the date: the facts below have both, and the zone."""
    local = instant.astimezone(zone)
    is_today = now is not None and local.date() == now.astimezone(zone).date()
    return local.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M:%S")


def _fact_lines(explanation: Explanation, zone: tzinfo | None) -> Iterator[str]:
    shown = {
        name.removesuffix("_ms").replace("_", " "): _fact_text(value, explanation.at, zone)
        for name, value in explanation.facts.items()
        if value is not None and value != []
    }
    width = max(map(len, shown), default=0)
    for name, text in shown.items():
        yield f"{name:<{width}}  {text}"


def _fact_text(value: object, now: datetime | None, zone: tzinfo | None) -> str:
    if isinstance(value, datetime):
        text = instant_text(value, zone)
        return f"{text} ({relative_text(value, now)})" if now else text
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return json_text(value)


def explanation_json(explanation: Explanation, zone: tzinfo | None) -> Json:
    return {
        "subject": explanation.subject,
        "kind": explanation.kind,
        "code": explanation.code,
        "sentence": sentence_text(explanation, zone),
        "fix": explanation.fix,
        "facts": {name: _value_json(value) for name, value in explanation.facts.items()},
        "at": instant_json(explanation.at),
    }


def _value_json(value: object) -> object:
    if isinstance(value, datetime):
        return instant_json(value)
    return milliseconds(value) if isinstance(value, timedelta) else value
