"""What is masked, and in which spellings."""

import json
import re
import shlex
import shutil
import subprocess
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


HARD = "SEC/ré\"t'X$`\\Z <a>é"


@pytest.mark.parametrize(
    "written",
    [
        ascii(HARD),
        repr(HARD.encode()),
        repr(repr(HARD)),
        repr(json.dumps(HARD).encode()),
        json.dumps(HARD).replace("/", "\\/"),
        json.dumps(HARD).replace("<", "\\u003c").replace(">", "\\u003e"),
        json.dumps(HARD).replace("00e9", "00E9"),
        json.dumps(json.dumps(HARD)),
        json.dumps(json.dumps(HARD, ensure_ascii=False), ensure_ascii=False),
        re.sub("%..", lambda found: found[0].lower(), quote(HARD)),
        shlex.quote(HARD),
    ],
)
def test_a_secret_is_masked_in_all_forms_that_are_promised(written: str) -> None:
    masked = Masker([HARD]).mask(written)

    assert "SEC" not in masked
    assert masked.count("***") == 1


@pytest.mark.parametrize("secret", [HARD, HARD + "\tx", "a b'c$d", 'x`y"z\\w'])
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize(
    "script", ['set -x; : "$T"', "declare -p T", 'printf "%q" "$T"', 'echo "${T@Q}"']
)
def test_a_secret_is_masked_as_bash_writes_it(script: str, locale: str, secret: str) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    done = subprocess.run(
        [bash, "-c", script], env={"T": secret, "LC_ALL": locale}, capture_output=True, check=True
    )

    masked = Masker([secret]).mask_bytes(done.stdout + done.stderr)

    assert masked.count(b"***") == 1
    assert len(masked) <= len(b"declare -x T=$''***\n")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("sleep", "sleep"),
        ("secretword", "***"),
        ("a-secretword", "a-***"),
        ("long-secret-nam", "***"),
        ("x-long-secret-n", "x-***"),
        ("twelve-longs-lo", "twelve-longs-lo"),
    ],
)
def test_a_name_that_is_cut_within_a_secret_is_masked(name: str, shown: str) -> None:
    assert Masker(["secretword", "long-secret-name"]).mask_name(name, 15) == shown
