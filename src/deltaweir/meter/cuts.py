r"""Places where a text may be cut so that its parts have as many tokens as the whole. Pure.

An encoding first splits the text into pieces with a pattern, then merges bytes within each
piece. So a place between two characters ``a|b`` may be cut if

1. no piece can reach over it, whatever follows: no alternative of the pattern matches a string
   that holds ``ab``; and
2. the pieces before it stay the same when the text ends at it: a pattern looks ahead only
   behind white space (``\s+(?!\S)``, ``\s+$``), so only an ``a`` that is white space needs
   an argument of its own. No pattern looks back, so the pieces behind a cut never change.

Both depend on the neighbours of the place alone, so the cut that is found in a tail is one in
the text, and stays one. "All pieces but the last" is not such a rule: in o200k ``don`` and
``'`` are two pieces until a ``t`` makes them one.

**The cuts**, for the patterns of cl100k_base, o200k_base, o200k_harmony, p50k_base, p50k_edit,
r50k_base and gpt2 (source: ``tiktoken_ext/openai_public.py`` of tiktoken 0.14):

- *no white space | blank or tab*. A blank begins a piece or follows white space, everywhere.
- *letter | line end, digit, punctuation*. After a letter goes on only a letter, a mark, or in
  o200k a contraction. Marks are in none of the classes below.
- *letter | apostrophe* only where the character after it is known and cannot begin one of
  ``'s 't 're 've 'm 'll 'd``, which o200k counts to the word. They ignore case, and U+017F is a
  case of ``s``.
- *digit | line end, letter, punctuation, apostrophe*. Only numbers go on after a digit.
- *punctuation or apostrophe | digit*. Punctuation goes on with line ends (cl100k, o200k), or is
  the first character of a word, but takes in no digit. It may not be cut from a line end.
- *line end | letter, digit, punctuation, apostrophe*, less ``/``, which o200k takes in after
  the line ends that follow punctuation. Here ``a`` is white space. In cl100k and o200k the run
  of white space is matched up to its last line end, by ``\s*[\r\n]`` or by the end of the
  text, which is the same place. r50k splits ``"\n\nx"`` into three and ``"\n\n"`` into one,
  but a line end that follows no white space stands alone in both. So that is asked for.

Never behind a blank, which may go to the next word. The classes hold only characters that
Unicode 3.2 and today's sort alike, so that two tables of different age cannot disagree about
a cut; what is in no class is not cut there, which costs time and no exactness.
"""

from __future__ import annotations

import re

CUTTABLE = frozenset(
    {"cl100k_base", "gpt2", "o200k_base", "o200k_harmony", "p50k_base", "p50k_edit", "r50k_base"}
)
"""Names of the encodings whose patterns allow the cuts of this module."""

UNDECIDED_CHARS = 2
"""Characters at the end of a text without a cut that the next ones may make a cut of.

These are ``x|'``, which needs the next character, and ``'|``.
"""

_LETTER = (
    "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01bf\u0391-\u03a1\u03a3-\u03a9\u03b1-\u03c9"
    "\u0410-\u044f\u3041-\u3094\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3"
)
_DIGIT = "0-9"
_PUNCTUATION_LESS_SLASH = (
    r"!\"#$%&()*+,\-.:;<=>?@\[\\\]\^_`{|}~"
    "\u2013\u2014\u201c\u201d\u2022\u2026\u3001\u3002\u3008-\u3011"
    "\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f"
)
_PUNCTUATION = _PUNCTUATION_LESS_SLASH + "/"
_BLACK = r"[^\s\u180e]"  # U+180E was white space until Unicode 6.3
LAST_CUT = re.compile(
    ".*(?:"
    rf"{_BLACK}(?=[ \t])"
    rf"|[{_LETTER}](?=[\r\n{_DIGIT}{_PUNCTUATION}]|'[^sStTrRvVmMlLdD\u017f])"
    rf"|[{_DIGIT}](?=[\r\n{_LETTER}{_PUNCTUATION}'])"
    rf"|[{_PUNCTUATION}'](?=[{_DIGIT}])"
    rf"|(?<={_BLACK})[\r\n](?=[{_LETTER}{_DIGIT}{_PUNCTUATION_LESS_SLASH}'])"
    ")",
    re.DOTALL,
)
"""Matches a text up to its last cut."""
