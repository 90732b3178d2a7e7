"""What is masked, and in which spellings."""

import json
from urllib.parse import quote, quote_plus

import pytest

from jobrunner.runner.masking import Masker


def test_secrets_that_overlap_are_masked_as_one() -> None:
    assert Masker(["abcd", "cdef"]).mask("xabcdefx") == "x***x"


def test_secrets_side_by_side_are_masked_each() -> None:
    assert Masker(["abcd", "efgh"]).mask("abcdefgh") == "******"


@pytest.mark.parametrize(
    "written",
    [
        json.dumps('pa"ss\\wörd €'),
        json.dumps('pa"ss\\wörd €', ensure_ascii=False),
        repr('pa"ss\\wörd €'),
        "?" + quote('pa"ss\\wörd €'),
        "?" + quote_plus('pa"ss\\wörd €'),
    ],
)
def test_a_secret_is_masked_as_json_python_and_urls_write_it(written: str) -> None:
    masked = Masker(['pa"ss\\wörd €']).mask(written)

    assert masked.strip("\"'?") == "***"


def test_a_secret_that_is_no_utf8_is_masked_in_output_and_in_messages() -> None:
    secret = b"gr\xfcn-key".decode("utf-8", "surrogateescape")

    masker = Masker([secret])

    assert masker.mask_bytes(b"key gr\xfcn-key") == b"key ***"
    assert masker.mask(f"key {secret}") == "key ***"


def test_a_json_value_has_no_secret_in_texts_keys_and_numbers() -> None:
    value = {"hunter2": ["a hunter2 b", 4711, 47.5, True, None], "n": {"x": "\u0068unter2"}}

    masked = Masker(["hunter2", "4711"]).mask_json(json.dumps(value).encode())

    assert json.loads(masked) == {"***": ["a *** b", "***", 47.5, True, None], "n": {"x": "***"}}


def test_a_json_value_too_deep_to_look_through_is_masked_whole() -> None:
    text = b"[" * 900 + b'"hunter2"' + b"]" * 900

    assert b"hunter2" not in Masker(["hunter2"]).mask_json(text)


def test_without_secrets_a_value_stays_as_it_was_written() -> None:
    text = b'{ "a" : 1.0 }'

    assert Masker([""]).mask_json(text) is text
