"""Completion in zsh and fish, and what all three shells have in common.

An offer is data, from a store that others may write. Our scripts read one offer a line and hand it
to the shell as a plain string, which the shell quotes as it inserts it; nothing is evaluated.
"""

from typing import ClassVar, NamedTuple

from typer._click import Command
from typer._click.shell_completion import CompletionItem, ShellComplete

from jobrunner.cli.context import CliContext

LINE = "_JOBRUNNER_LINE"  # the command line up to the cursor, as it was typed
BLANKS = " \t\n"

# $words and $PREFIX are what was typed, quotes and all; the assignment expands them no further.
# Behind `--name=` only the value is offered. Without an offer zsh completes files, as bash does.
ZSH_SCRIPT = f"""\
#compdef %(prog_name)s

_jobrunner() {{
    local line
    local -a values shown
    while IFS= read -r line; do
        values+=("${{line%%%%$'\\t'*}}")
        shown+=("${{line#*$'\\t'}}")
    done < <(
        {LINE}="${{(j: :)words[1,CURRENT-1]}} $IPREFIX$QIPREFIX$PREFIX" \\
            %(complete_var)s=offers_zsh %(prog_name)s 2>/dev/null
    )
    if (( $#values == 0 )); then
        compset -P 1 '*='
        _files
        return
    fi
    [[ $PREFIX == --*=* ]] && compset -P 1 '*='
    compadd -l -V jobrunner -d shown -a values
}}

if [[ ${{funcstack[1]}} == _jobrunner ]]; then
    _jobrunner "$@"
else
    compdef _jobrunner %(prog_name)s
fi"""

FISH_SCRIPT = f"""\
function __jobrunner_offers
    set -lx {LINE} (commandline -cp | string collect)
    set -lx %(complete_var)s offers_fish
    set -l offers (%(prog_name)s 2>/dev/null)
    if set -q offers[1]
        printf '%%s\\n' $offers
    else
        set -e %(complete_var)s
        set -l option (commandline -ct | string match --regex -- '^--[a-z-]+=')
        set -l path (commandline -ct | string replace --regex -- '^--[a-z-]+=' '')
        for offer in (__fish_complete_path "$path")
            printf '%%s\n' "$option$offer"
        end
    end
end

complete --command %(prog_name)s --no-files --keep-order --arguments '(__jobrunner_offers)'"""


class Completion(ShellComplete):
    """Finds what may stand at the end of the line; a shell's own class says how it is told."""

    source_template: ClassVar[str] = ""

    def __init__(self, group: Command, cli: CliContext, variable: str) -> None:
        super().__init__(group, {"obj": cli}, "jobrunner", variable)
        self.environ = cli.environ

    def source_vars(self) -> dict[str, str]:
        return {"complete_var": self.complete_var, "prog_name": self.prog_name}

    def get_completion_args(self) -> tuple[list[str], str]:
        typed = read_line(self.environ.get(LINE, ""))
        return typed.args, typed.incomplete

    def format_completion(self, item: CompletionItem) -> str:
        return str(item.value)


class ZshCompletion(Completion):
    """A line is the word, and what is listed: the words aligned, each with what it is."""

    name = "zsh"
    source_template = ZSH_SCRIPT

    def complete(self) -> str:
        items = self.get_completions(*self.get_completion_args())
        width = max((len(str(item.value)) for item in items), default=0)
        return "\n".join(f"{item.value}\t{_listed(item, width)}" for item in items)


class FishCompletion(Completion):
    """A line is the word, and what it is; fish wants the whole word, with `--name=` before it."""

    name = "fish"
    source_template = FISH_SCRIPT

    def complete(self) -> str:
        args, incomplete = self.get_completion_args()
        items = self.get_completions(args, incomplete)
        words = [(with_option(str(item.value), incomplete), item.help or "") for item in items]
        # fish quotes all but a tilde at the beginning, which would become somebody's home.
        return "\n".join(f"{word}\t{about}" for word, about in words if word[:1] != "~")


class Typed(NamedTuple):
    """A command line up to the cursor."""

    args: list[str]  # before the cursor, without the command
    incomplete: str  # the beginning of the one at the cursor
    quote: str  # that is open there: `'`, `"`, `$'`, or nothing


def read_line(line: str) -> Typed:
    """The words of a line as a shell would read them, but with nothing expanded."""
    words, quote, at = [""], "", 0
    while at < len(line):
        sign = line[at]
        if sign == "\\" and quote != "'":
            at += 1
            escaped = line[at : at + 1]
            stays = quote == '"' and escaped not in '$`"\\'
            words[-1] += f"\\{escaped}" if stays else escaped
        elif quote and sign == quote[-1]:
            quote = ""
        elif not quote and sign in "'\"":
            is_escaping = sign == "'" and words[-1].endswith("$")
            words[-1] = words[-1].removesuffix("$") if is_escaping else words[-1]
            quote = "$'" if is_escaping else sign
        elif not quote and sign in BLANKS:
            words.append("")
        else:
            words[-1] += sign
        at += 1
    *before, incomplete = words
    before = [word for word in before if word]
    while before and "=" in before[0]:
        del before[0]  # an assignment before the command
    return Typed(before[1:], incomplete, quote)


def with_option(offer: str, incomplete: str) -> str:
    """The offer with the option before it, where a value behind `--name=` is typed."""
    option, equals, value = incomplete.partition("=")
    if equals and option.startswith("-") and offer.startswith(value):
        return f"{option}={offer}"
    return offer


def _listed(item: CompletionItem, width: int) -> str:
    return f"{item.value!s:{width}}  -- {item.help}" if item.help else str(item.value)
