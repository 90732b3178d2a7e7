"""The JSON Schema of the manifest, for editors: made from the models, with all descriptions."""

from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from jobrunner.manifest.gather import FREE_PREFIX
from jobrunner.manifest.spec import ManifestFile
from jobrunner.manifest.units import format_duration

SCHEMA_ID = "urn:jobrunner:manifest:1"
_DRAFT = "https://json-schema.org/draft/2020-12/schema"


class _Generator(GenerateJsonSchema):
    """pydantic's generator, apart from what helps nobody who writes a manifest."""

    def encode_default(self, dft: Any) -> Any:
        # pydantic would write PT10S, which no manifest accepts.
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)

    def field_title_should_be_set(self, _schema: Any) -> bool:
        return False  # "Kill Grace" says no more than the key kill_grace


def json_schema() -> dict[str, Any]:
    """The schema of a manifest file, draft 2020-12.

    It cannot say all that `validate` checks: `${VAR}` may stand for a number, and the parts have to
    fit each other.
    """
    schema = ManifestFile.model_json_schema(schema_generator=_Generator)
    free = {f"^{FREE_PREFIX}": {"description": "The author's own: a place for anchors."}}
    head = {"$schema": _DRAFT, "$id": SCHEMA_ID}
    return {**head, **schema, "patternProperties": free, "title": "jobrunner manifest"}
