"""Correct Whisper labels: one start token, the prompt unscored, one end-of-text that survives padding."""

from asr_tv.labels import IGNORED, collate, token_ids

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
