"""Texts that some accounts have of their own: a folder with the files that differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prompts.errors import PromptError
from prompts.loader import EXPECTED, Prompt, parse_text, problems_of

MAY_DIFFER = frozenset(
    {
        "card_seen",
        "clarify",
        "clarify_none",
        "clarify_none_no_desk",
        "clarify_tail",
        "handed_back",
        "hold",
        "hold_closed",
        "hold_rule",
        "hold_rule_closed",
        "no_desk",
        "rate_limited",
        "rate_limited_closed",
        "resumed",
        "still_waiting",
        "still_waiting_closed",
        "unsupported",
        "wordless",
    }
)
"""What customers read in a conversation.

How accounts greet stands in `welcomes.yaml`; all else people at the desk or the model read, for every account alike.
"""


def own_texts(folder: Path) -> Mapping[str, Prompt]:
    """Read the texts of a folder; what it lacks is said in the words for everybody.

    Raises:
        PromptError: there is no such folder, or a file is none of these texts or faulty; each problem is named.
    """
    if not folder.is_dir():
        raise PromptError(f"{folder}: there is no such folder")
    found: dict[str, Prompt] = {}
    problems: list[str] = []
    for file in sorted(folder.glob("*.md")):
        if file.stem not in MAY_DIFFER:
            hint = "is the same for every account" if file.stem in EXPECTED else "no prompt has this name"
            problems.append(f"{file}: {hint}; there are {', '.join(sorted(MAY_DIFFER))}")
            continue
        try:
            prompt = parse_text(file.stem, str(file), file.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            problems.append(f"{file}: is not UTF-8; save it as UTF-8")
        except PromptError as error:
            problems.append(str(error))
        else:
            problems += problems_of(prompt, str(file))
            found[file.stem] = prompt
    if problems:
        raise PromptError("; ".join(problems))
    return found
