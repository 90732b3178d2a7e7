"""Completion in bash, which splits words at `@`, `:` and `=`: ids of a cron's jobs have all three.

Our script passes the line up to the cursor, and the part of its last word that bash is going to
replace. bash inserts an offer as it stands, so what would mean something to it is quoted here.
"""

from itertools import takewhile

from jobrunner.cli.shells import LINE, Completion, read_line, with_option

WORD = "_JOBRUNNER_WORD"
PLAIN_SIGNS = "%+,-./:=@_"  # that mean nothing to bash wherever they stand in a word

# An empty line is no offer: without any, bash offers files. What goes wrong must not be printed
# into the line that is typed.
SCRIPT = f"""\
_jobrunner_completion() {{
    mapfile -t COMPREPLY < <(
        {LINE}="${{COMP_LINE:0:COMP_POINT}}" {WORD}="$2" \\
            %(complete_var)s=complete_bash "$1" 2>/dev/null
    )
    [[ ${{COMPREPLY[*]-}} ]] || COMPREPLY=()
}}

complete -o default -F _jobrunner_completion %(prog_name)s"""


class BashCompletion(Completion):
    """Reads the line as the shell would, and offers what is to stand in place of its last part."""

    name = "bash"
    source_template = SCRIPT

    def complete(self) -> str:
        args, incomplete, quote = read_line(self.environ.get(LINE, ""))
        replaced = read_line(quote + self.environ.get(WORD, "")).incomplete
        items = self.get_completions(args, incomplete)
        offers = [reply(str(item.value), incomplete, replaced) for item in items]
        return "\n".join(quoted_apart(offers, quote))


def quoted_apart(offers: list[str], quote: str) -> list[str]:
    """The offers as bash may insert them, each meaning itself.

    bash inserts what all have in common, so two must not begin to differ behind the same
    backslash: the first is quoted in another way there.
    """
    if quote == "$'":  # a backslash may stand before it: only what needs no quoting is safe
        return [offer for offer in offers if all(map(_is_plain, offer))]
    differ_at = _same_signs(offers)
    quoted = [
        "".join(
            _quoted_sign(sign, quote, is_apart=(number == 0 and at == differ_at))
            for at, sign in enumerate(offer)
        )
        for number, offer in enumerate(offers)
    ]
    # bash closes the quote behind an offer, but takes one at its end for the closing one.
    return [offer for offer in quoted if not quote or not offer.endswith(quote)]


def _same_signs(offers: list[str]) -> int:
    """How many signs all have in common; -1 for a single one."""
    if len(offers) < 2:
        return -1
    columns = (len(set(signs)) == 1 for signs in zip(*offers, strict=False))
    return sum(takewhile(bool, columns))


def _is_plain(sign: str) -> bool:
    return sign.isalnum() or sign in PLAIN_SIGNS or ord(sign) > 127


def _quoted_sign(sign: str, quote: str, *, is_apart: bool) -> str:
    if quote == "'":
        return "'\\''" if sign == "'" else sign
    if quote == '"':
        if sign == "!" or (is_apart and sign in '$`\\"'):
            # A backslash before `!` would stay; in single quotes history is left alone.
            return f"\"'{sign}'\""
        return f"\\{sign}" if sign in '$`\\"' else sign
    if _is_plain(sign):
        return sign
    if is_apart:
        return '"\'"' if sign == "'" else f"'{sign}'"
    return f"\\{sign}"


def reply(offer: str, incomplete: str, replaced: str) -> str:
    """What stands for `offer` where only `replaced`, the end of `incomplete`, is replaced.

    bash keeps all up to the last sign of COMP_WORDBREAKS, but replaces an `@` (readline's
    "special prefixes"). bash-completion, e.g. behind sudo, tells the pieces less exactly: a `:`
    or `=` as if it were replaced, and what comes after an `@` without it.
    """
    kept = incomplete.removesuffix(replaced.lstrip(":=")).removesuffix("@")
    return with_option(offer, incomplete).removeprefix(kept)
