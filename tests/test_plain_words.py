"""Text from outside keeps its letters and loses its power over the terminal."""

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from calisr_engine.plain_words import shown


def test_named_cases() -> None:
    assert shown("\x1b]52;c;aGk=\x07") == "␛]52;c;aGk=␇"
    assert shown("\x9b2J a\x7f") == "\\x9b2J a␡"
    assert shown("abc\u202etxt.exe") == "abc\\u202etxt.exe"
    assert shown("\udc80\u2028\U000e0041") == "\\udc80\\u2028\\U000e0041"
    assert shown("two\tcells\nand a line\r") == "two\tcells\nand a line␍"
    assert shown("[red]名前 naïve [/] 👩\u200d🔬") == "[red]名前 naïve [/] 👩\u200d🔬"


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "L", "P"])))
def test_nothing_steers_and_twice_is_once(text: str) -> None:
    safe = shown(text)
    assert shown(safe) == safe
    for each in safe:
        assert each in "\t\n" or unicodedata.category(each) not in ("Cc", "Cs", "Zl", "Zp")
        assert unicodedata.bidirectional(each) not in (
            *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"),
        )
    if text.isprintable():
        assert safe is text
