"""Text from outside, made safe to show: it steers no terminal and turns no reading direction.

Labels, names, paths and messages come from files that others wrote. A terminal obeys control
characters wherever they stand, so every place that shows such text passes it through here first.
Stored data stay as they are.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

_STEERING = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f"  # C0 without tab and newline, and delete
    "\x80-\x9f"  # C1: one character of these may begin what ESC [ begins
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # bidirectional marks, overrides, isolates
    "\u2028\u2029"  # separators at which some terminals and splitlines break a line
    "\ufff9-\ufffb\U000e0000-\U000e007f"  # annotations and tags: text that is there and not seen
    "\u00ad\u034f\u115f\u1160\u180e\u200b\u2060-\u2064\u3164\ufeff\uffa0"  # not seen
    "\ud800-\udfff"  # lone surrogates, which no output can encode
    "]"
)


def shown(text: str) -> str:
    """The text with visible stand-ins for what a terminal would obey; newline and tab stay.

    C0 controls become their pictures (ESC is `␛`), the others their escapes (`\\x9b`, `\\u202e`).
    `shown(shown(text)) == shown(text)`, and printable text comes back as the same object.
    """
    return text if text.isascii() and text.isprintable() else _STEERING.sub(_stand_in, text)


def one_line(text: str) -> str:
    """`shown`, with newlines and tabs escaped too."""
    return shown(text).replace("\n", "\\n").replace("\t", "\\t")


def counted(count: int, thing: str) -> str:
    """ "1 run", "2 runs", "1,200 runs"; things that add an s are meant."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def quoted(text: str, most: int = 80) -> str:
    """Input in quotes for a message: one line, at most `most` characters of it."""
    return repr(text if len(text) <= most else f"{text[: most - 3]}...")


def a_sentence(text: str, most: int = 600) -> str:
    """One line for a message; where a name or value in it is huge, its middle is left out."""
    line = one_line(text)
    if len(line) <= most:
        return line
    return f"{line[: most // 2]} [...] {line[-most // 2 :]}"


def name_part(text: str) -> str:
    """Part of a name for a directory or a job: at most 60 plain letters, digits, `.`, `+`, `_`.

    Nothing in it is special to a shell, to sbatch or to a path, nor does it hide the directory.
    """
    return re.sub(r"[^A-Za-z0-9.+_-]+", "_", text).lstrip(".-")[:60] or "_"


def command(*words: str | Path) -> str:
    """A `calisr` command line that a shell reads back as these words.

    A path that begins with a dash is written with `./`, so that it is no option.
    """
    safe = [f"./{each}" if _looks_like_option(each) else str(each) for each in words]
    return shlex.join(["calisr", *safe])


def _looks_like_option(word: str | Path) -> bool:
    return isinstance(word, Path) and str(word).startswith("-")


def _stand_in(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return f"\\x{code:02x}" if code < 0x100 else match[0].encode("unicode_escape").decode()
