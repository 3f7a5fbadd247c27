"""
`savemode prices`: the figures of the price page, and one line for a model that nobody knows.
"""

import json
from pathlib import Path

from tests.support.command import Run, error_line, lines
from tests.support.trusting import trusted_config


def row(out: str, model: str) -> list[str]:
    """
    The words of a model's line.
    """
    return next(words for line in lines(out) if (words := line.split()) and words[0] == model)


def test_table(savemode: Run) -> None:
    """
    Opus 5.5 and Haiku 5.5 as the price page has them.
    """
    done = savemode("prices")

    assert (done.code, done.err) == (0, "")
    assert row(done.out, "model") == ["model", "in", "out", "5m", "write", "1h", "write", "read", "age", "source"]
    assert row(done.out, "claude-opus-5-5")[:6] == ["claude-opus-5-5", "4.00", "20.00", "5.00", "8.00", "0.20"]
    assert row(done.out, "claude-haiku-5-5")[:6] == ["claude-haiku-5-5", "0.10", "0.50", "0.125", "0.20", "0.01"]
    assert any(line.startswith("[1] genai-prices") for line in lines(done.out))


def test_one_model(savemode: Run) -> None:
    """
    Only it, with what else its price may be multiplied with; a cloud's spelling says what it is priced as.
    """
    plain = savemode("prices", "claude-opus-4-8")
    cloud = savemode("prices", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0")

    assert row(plain.out, "claude-opus-4-8")[1:3] == ["5.00", "25.00"]
    assert "US inference x 1.1" in plain.out
    assert "claude-haiku" not in plain.out
    # $3 and $15, ten per cent more at a regional endpoint.
    assert row(cloud.out, "claude-sonnet-4-5")[1:3] == ["3.30", "16.50"]
    assert "eu.anthropic.claude-sonnet-4-5-20250929-v1:0 is priced as claude-sonnet-4-5" in cloud.out


def test_json(savemode: Run) -> None:
    """
    Prices are strings with their unit in the key.
    """
    read = json.loads(savemode("prices", "claude-opus-5-5", "--json").out)
    (price,) = read["prices"]

    assert (read["schema_version"], price["model"]) == (1, "claude-opus-5-5")
    assert (price["input_usd_per_mtok"], price["output_usd_per_mtok"]) == ("4", "20")
    assert (price["cache_write_5m_usd_per_mtok"], price["cache_write_1h_usd_per_mtok"]) == ("5", "8")
    assert (price["cache_read_usd_per_mtok"], price["fast"]["output_usd_per_mtok"]) == ("0.2", "40")
    assert price["age_days"] >= 0


def test_price_file(savemode: Run) -> None:
    """
    It wins over the package, by option and by configuration.
    """
    Path("own.toml").write_text('[[price]]\nmodel = "claude-opus-5-5"\ninput = 1\noutput = 2\nsource = "contract"\n')
    trusted_config('price_file = "own.toml"\n')
    for words in ((), ("--price-file", "own.toml")):
        out = savemode("prices", "claude-opus-5-5", *words).out

        assert row(out, "claude-opus-5-5")[1:7] == ["1.00", "2.00", "1.25", "2.00", "0.10", "-"]
        assert "contract, last checked: unknown" in out


def test_unknown_model(savemode: Run) -> None:
    """
    One error line, and the nearest ids.
    """
    done = savemode("prices", "claude-opus-9")

    assert error_line(done).startswith('error: no price for model "claude-opus-9"')
    assert "nearest known: claude-opus-" in done.err


def test_bad_price_file(savemode: Run) -> None:
    """
    The file and what is wrong with it.
    """
    Path("own.toml").write_text("[[price]]\n")

    assert "price 1 has no model" in error_line(savemode("prices", "--price-file", "own.toml"))
    assert "cannot be read" in error_line(savemode("prices", "--price-file", "none.toml"))
