"""Regular expressions that anybody's text may meet: `matches` takes time linear in the text.

Python's `re` tries one way after another. A pattern such as `(a+)+$` has a text of 30 characters
for which that takes hours, and holds the interpreter's lock meanwhile. Patterns are the manifest's,
but texts come from whoever submits a job, or from a job's output. So the engine is the Rust crate
`regex`, by way of pydantic-core, which jobrunner has anyhow: it reads each character once, and has
no looking ahead or behind and no references to groups, which no such engine can have.
Syntax: https://docs.rs/regex/latest/regex/#syntax
"""

from functools import lru_cache

# Not pydantic: importing that takes three times as long, and a submit may need this.
from pydantic_core import SchemaError, SchemaValidator, core_schema

LONGEST_TEXT = 1 << 18  # characters; for the worst patterns that compile, some seconds


def matches(pattern: str, text: str, *, anywhere: bool = False) -> bool:
    """Whether the whole text matches, or with `anywhere` some part of it.

    A text that is no Unicode (a lone surrogate) matches nothing. Raises ValueError for a pattern
    that `fault` refuses, and for a text of more than `LONGEST_TEXT` characters; the message goes
    on after "the text".
    """
    try:
        engine = _engine(pattern) if anywhere else _whole(pattern)
    except SchemaError as error:
        raise ValueError(f"cannot be checked: {_reason(error)}") from error
    if len(text) > LONGEST_TEXT:
        raise ValueError(
            f"of {len(text):,} characters is too long for a pattern; at most {LONGEST_TEXT:,}"
        )
    return engine.isinstance_python(text)


def fault(pattern: str) -> str | None:
    """Why a pattern cannot be used; None when it can."""
    try:
        _whole(pattern)
    except SchemaError as error:
        return _reason(error)
    return None


@lru_cache(maxsize=256)
def _whole(pattern: str) -> SchemaValidator:
    _engine(pattern)  # by itself first: `a)|(b` is no pattern, but would be one in parentheses
    try:
        return _engine(rf"\A(?:{pattern})\z")
    except SchemaError:
        return _engine(f"\\A(?:{pattern}\n)\\z")  # a comment at its end, in verbose mode


@lru_cache(maxsize=256)
def _engine(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))


def _reason(error: SchemaError) -> str:
    """The last line of what the engine says, which is the reason."""
    return str(error).splitlines()[-1].strip().removeprefix("SchemaError: ").removeprefix("error: ")
