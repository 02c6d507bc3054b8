"""Correct Whisper labels: one start token, the prompt unscored, one end-of-text that survives padding."""

import pytest

from asr_tv.training.labels import IGNORED, character_ids, collate, frames_needed, token_ids

SOT, LANG, TASK, NOTIME, END = 100, 101, 102, 103, 99
PROMPT = (SOT, LANG, TASK, NOTIME)


class _Letters:
    """A tokenizer of one id a character."""

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert add_special_tokens is False
        return [ord(character) for character in text]


def test_sequence_is_prompt_text_end_with_case_and_punctuation_kept() -> None:
    assert token_ids(_Letters(), PROMPT, " Ok, Joe. ", END) == (*PROMPT, *map(ord, " Ok, Joe."), END)


def test_one_start_token_and_prompt_not_scored() -> None:
    inputs, labels = collate([(*PROMPT, 1, 2, END)], len(PROMPT), pad=END)
    assert inputs.tolist() == [[SOT, LANG, TASK, NOTIME, 1, 2]]
    assert labels.tolist() == [[IGNORED, IGNORED, IGNORED, 1, 2, END]]
    assert (inputs == SOT).sum() == 1
    assert (labels == SOT).sum() == 0


def test_every_row_keeps_exactly_one_end_though_padding_has_its_id() -> None:
    inputs, labels = collate([(*PROMPT, 1, END), (*PROMPT, 1, 2, 3, END)], len(PROMPT), pad=END)
    assert (labels == END).sum(dim=1).tolist() == [1, 1]
    assert labels[0].tolist() == [IGNORED, IGNORED, IGNORED, 1, END, IGNORED, IGNORED]
    assert inputs[0].tolist() == [*PROMPT, 1, END, END]


def test_position_is_scored_after_the_last_prompt_token() -> None:
    """The logits at the last prompt position predict the first word, so that label must be there."""
    _, labels = collate([(*PROMPT, 7, END)], len(PROMPT), pad=END)
    assert labels[0, len(PROMPT) - 1] == 7


UPPER = {character: n for n, character in enumerate("|ABCDEFGHIJKLMNOPQRSTUVWXYZ'")}


class TestCharacters:
    def spelled(self, text: str, characters: dict[str, int] = UPPER) -> tuple[str, tuple[str, ...]]:
        ids, unknown = character_ids(text, characters, "|")
        letters = {number: character for character, number in characters.items()}
        return "".join(letters[number] for number in ids), unknown

    @pytest.mark.parametrize(
        ("text", "written"),
        [
            ("Hello world.", "HELLO|WORLD"),
            ("  What’s   this?! ", "WHAT'S|THIS"),
            ("twenty-one, e.g. café", "TWENTY|ONE|E|G|CAFE"),
            ("a | b", "A|B"),
            ("— …", ""),
        ],
    )
    def test_case_and_punctuation_are_the_vocabularys(self, text: str, written: str) -> None:
        assert self.spelled(text) == (written, ())

    def test_letters_and_digits_it_lacks_are_told_once(self) -> None:
        assert self.spelled("Press 11 or 2, жук") == ("PRESS|OR", ("1", "2", "Ж", "У", "К"))

    def test_a_lower_case_vocabulary_and_one_of_both(self) -> None:
        lower = {character.lower(): n for character, n in UPPER.items()}
        assert self.spelled("Hello", lower)[0] == "hello"
        both = {c: n for n, c in enumerate([*UPPER, *(c for c in lower if c not in UPPER), "."])}
        assert self.spelled("Hello You.", both)[0] == "Hello|You."

    def test_an_apostrophe_it_lacks_joins(self) -> None:
        assert self.spelled("what's", {c: n for c, n in UPPER.items() if c != "'"})[0] == "WHATS"

    @pytest.mark.parametrize(("ids", "frames"), [((1, 2, 3), 3), ((1, 1), 3), ((5, 5, 5), 5), ((), 0)])
    def test_equal_neighbours_need_a_frame_between(self, ids: tuple[int, ...], frames: int) -> None:
        assert frames_needed(ids) == frames
