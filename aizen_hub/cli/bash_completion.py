"""Completion in bash: from the whole line, since bash itself splits words such as ``group:data`` at the colon."""

from __future__ import annotations

import os

from click.shell_completion import BashComplete, add_completion_class
from click.shell_completion import split_arg_string as split_line

_LINE = "COMP_WORDS"
_SOURCE = r"""
%(complete_func)s() {
    local IFS=$'\n' line word before type value item
    line=${COMP_LINE:0:COMP_POINT}
    word=${line##*[[:space:]]}
    # A blank inside a word, escaped or in quotes that are still open: bash replaces another part than is known here.
    before=${line%%"$word"}
    type=${before//[^\"]/}
    value=${before//[^\']/}
    if [[ $before == *\\[[:space:]] ]] || (( ${#type} %% 2 || ${#value} %% 2 )); then
        COMPREPLY=()
        return
    fi
    before=""
    # Bash replaces only what follows the last colon.
    if [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then
        before=${word%%"${word##*:}"}
    fi
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames 2>/dev/null ;;
            file) compopt -o default 2>/dev/null ;;
            plain)
                item=${value#"$before"}
                [[ $word == [\"\']* ]] || printf -v item '%%q' "$item"
                COMPREPLY+=("$item") ;;
        esac
    done < <(%(line_variable)s="$line" %(complete_var)s=bash_complete "$1")
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class WholeLineBashComplete(BashComplete):
    """Completes by the text before the cursor, and quotes names with characters that bash would interpret."""

    name = "bash"
    source_template = _SOURCE

    def source(self) -> str:
        """Return the script for ``eval``."""
        self._check_version()
        return self.source_template % {**self.source_vars(), "line_variable": _LINE}

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the whole words after the program, and the one that is being written."""
        line = os.environ.get(_LINE, "")
        words = split_line(line)[1:]
        # One more letter begins a new word, or goes on with the last one.
        if not words or len(split_line(f"{line}x")[1:]) > len(words):
            return words, ""
        return words[:-1], words[-1]


def register() -> None:
    """Use it for bash, instead of click's own."""
    add_completion_class(WholeLineBashComplete)
