"""
The table of rules. `tests/cli/test_added_rule.py` adds one from outside.
"""

from savemode_cli.core.upgrade.edits import RuleInput
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.rules import RULES, Rule, rules_asked, switched_rules
from savemode_cli.core.wire.facts import facts
from tests.support.marked import BARE, PERSON, body_of


def test_every_rule_has_a_function_and_a_sentence() -> None:
    """
    Each function is found where the entry says. A rule that is off edits nothing.
    """
    body = body_of(BARE)
    for name, rule in RULES.items():
        edits, skips = rule.function(RuleInput(body, facts(body), Policy(), PERSON))

        assert rule.name == name
        assert edits == []
        assert {skip.rule for skip in skips} <= {name}
        assert rule.description.endswith(".")


def test_which_rules_are_asked() -> None:
    """
    Those that are on, and those that say that they are off.
    """
    ttl = RULES["cache-ttl"]

    assert ttl.is_on_under(Policy("always"))
    assert not ttl.is_on_under(Policy())
    assert ttl in rules_asked(Policy())


def test_a_switch_has_the_name_of_its_rule() -> None:
    """
    A rule that another option controls has no switch of its own name.
    """
    rule = Rule(name="some-rule", description="Edit.", function=lambda _: ([], []))

    assert rule.switch == "some_rule"
    assert not rule.is_on_under(Policy("always"))
    assert rule.is_on_under(Policy(rules=frozenset({"some-rule"})))
    assert RULES["cache-ttl"].switch == "ttl_policy"
    assert RULES["cache-ttl"] not in switched_rules()
