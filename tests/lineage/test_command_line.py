"""Every command of lineage refuses what it does not know in one line, and takes no option for another."""

from __future__ import annotations

import pytest

from lineage.__main__ import COMMANDS, main
from lineage.command_line import Parser


@pytest.mark.parametrize("command", COMMANDS)
def test_unknown_option_is_one_line_and_exit_code_2(command, capsys):
    assert main([command, "--no-such-option"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert f"see `python -m lineage {command} --help`" in said


def test_option_cannot_be_shortened():
    """`gc --app` must not remove anything."""
    parser = Parser(prog="p")
    parser.add_argument("--apply", action="store_true")
    with pytest.raises(Exception, match="unrecognized arguments: --app"):
        parser.parse_args(["--app"])
