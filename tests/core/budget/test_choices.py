"""
The words that a person chooses between for a budget.
"""

from savemode_cli.core.budget.choices import FAILS, REFUSAL_CHOICES, UNKNOWNS


def test_each_choice_lists_every_word_of_its_type() -> None:
    """
    The tuples are what options offer and checks accept.
    """
    assert FAILS == ("open", "closed")
    assert UNKNOWNS == ("share", "refuse")
    assert REFUSAL_CHOICES == ("auto", "429", "402")
