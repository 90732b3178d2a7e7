"""Completion in bash, which splits words at `@`, `:` and `=`: ids of a cron's jobs have all three.

typer's script passes the pieces on as if they were words. Ours passes the line up to the cursor,
and the part of its last word that bash is going to replace.
"""

from typer._click.shell_completion import CompletionItem, ShellComplete, split_arg_string

from jobrunner.cli.context import CliContext

LINE = "_JOBRUNNER_LINE"
WORD = "_JOBRUNNER_WORD"

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


class BashCompletion(ShellComplete):
    """Reads the line as the shell would, and offers what is to stand in place of its last part."""

    name = "bash"
    source_template = SCRIPT

    def source_vars(self) -> dict[str, str]:
        return {"complete_var": self.complete_var, "prog_name": self.prog_name}

    def get_completion_args(self) -> tuple[list[str], str]:
        return split_line(self._environ(LINE))

    def complete(self) -> str:
        args, incomplete = self.get_completion_args()
        items = self.get_completions(args, incomplete)
        replaced = self._environ(WORD)
        return "\n".join(reply(item.value, incomplete, replaced) for item in items)

    def format_completion(self, item: CompletionItem) -> str:
        return str(item.value)

    def _environ(self, variable: str) -> str:
        cli: CliContext = self.ctx_args["obj"]
        return cli.environ.get(variable, "")


def split_line(line: str) -> tuple[list[str], str]:
    """The arguments before the cursor, and the beginning of the one at the cursor."""
    # The sign makes a word where none has begun, and ends with the last one where one has: quotes
    # and backslashes need no rules of ours.
    words = split_arg_string(line + "x")
    return words[1:-1], words[-1].removesuffix("x")


def reply(offer: str, incomplete: str, replaced: str) -> str:
    """What stands for `offer` where only `replaced`, the end of `incomplete`, is replaced.

    bash keeps all up to the last sign of COMP_WORDBREAKS, but replaces an `@` (readline's
    "special prefixes"). bash-completion, e.g. behind sudo, tells the pieces less exactly: a `:`
    or `=` as if it were replaced, and what comes after an `@` without it.
    """
    replaced = replaced.replace("\\", "").lstrip(":=")
    kept = incomplete.removesuffix(replaced).removesuffix("@")
    option, equals, value = incomplete.partition("=")
    if equals and option.startswith("-") and offer.startswith(value):
        offer = f"{option}={offer}"
    return offer.removeprefix(kept)
