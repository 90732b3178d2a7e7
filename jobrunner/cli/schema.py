"""`jobrunner schema`: the JSON Schema of the manifest."""

import typer

from jobrunner.cli.group import cli_of


def schema(ctx: typer.Context) -> None:
    from jobrunner.manifest.schema import json_schema

    cli_of(ctx).write_json(json_schema())
