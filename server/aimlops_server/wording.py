"""The sentences that a person reads in a plan, in their language. English is the key; what is filled in is data."""

from typing import Literal

from aimlops_tools.lookup import Said

from aimlops_server.korean import KOREAN

Language = Literal["en-US", "ko-KR"]


class Wording:
    """Says a sentence in one language."""

    def __init__(self, language: Language = "en-US") -> None:
        self._translations = KOREAN if language == "ko-KR" else {}

    def __call__(self, english: str, **values: object) -> str:
        """The sentence with its `{names}` filled in."""
        text = self._translations.get(english, english)
        return text.format(**values) if values else text

    def again(self, sentence: Said) -> str:
        """A sentence that another module has put together."""
        return self(sentence.text, **sentence.values)
