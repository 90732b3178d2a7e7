"""Files of NAME=value lines."""

import pytest

from jobrunner.runner.envfile import parse_env_file


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=plain", "plain"),
        ("export A = spaced ", "spaced"),
        ("A=", ""),
        ("A=a b#c # comment", "a b#c"),
        ("A='single $x \\n # kept'", "single $x \\n # kept"),
        ('A="two\\nlines \\"q\\" \\\\ \\$x" # comment', 'two\nlines "q" \\ $x'),
        ("A= # fill in", ""),
        ("A=\t# fill in", ""),
        ("A=    #", ""),
        ("A=#fff", "#fff"),
        ("A= #fff", ""),
        ("A= 'x' # y", "x"),
        ("A=x\u2028B=y", "x\u2028B=y"),
        ("A=x\fB=y", "x\fB=y"),
        ("A=x\rB=y", "x\rB=y"),
        ('A="x\x85y"', "x\x85y"),
        ("A=x\x85#y", "x\x85#y"),
        ("A=x\u00a0", "x\u00a0"),
        ("A=x\r", "x"),
        ("A=https://x/?a=b", "https://x/?a=b"),
    ],
)
def test_a_value_is_read_as_shells_and_dotenv_files_write_it(line: str, value: str) -> None:
    assert parse_env_file(f"# first\n\n{line}\n") == {"A": value}


@pytest.mark.parametrize("line", ["no value", "1A=x", "A='open", 'A="open\\"', "A='x' y"])
def test_a_line_that_is_none_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        parse_env_file(f"A=1\n{line}\n")
