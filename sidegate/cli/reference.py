"""Writes docs/cli.md from the commands themselves: `python -m sidegate.cli.reference > docs/cli.md`."""

import sys
from collections.abc import Sequence

import typer
import typer.main
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from sidegate.cli import main, outcome

PREFACE = """\
# The command line

`sidegate [OPTIONS BEFORE THE NOUN] NOUN VERB ...`. This page is written by `python -m sidegate.cli.reference`.

## Where Sidegate is

A running Sidegate writes a ready file (JSON) with its addresses. The command line reads the first of these:

1. `--config FILE`, or `ready.json` of `--data-dir DIRECTORY`
2. the file that the environment variable `SIDEGATE_CONFIG` names
3. `./data/ready.json`, which is what `make up` writes

```json
{
  "registry": {"grpc": "127.0.0.1:7001"},
  "endpoint": {"grpc": "127.0.0.1:7002"},
  "gateway": {"socket": "/run/sidegate/gateway.sock"}
}
```

`gateway` is needed by `sidegate gateway` and `sidegate audit replay` only, which ask the gateway of this machine.
Who asks is said by `--account` and `--project`, or `SIDEGATE_ACCOUNT` and `SIDEGATE_PROJECT`.

## Names and ids

Where a command wants one of your resources, it takes its id, the first 8 or more characters of the id, or its name
if only one has it. What belongs to others is named whole: a service by its id or by its full name,
`<region>.<name>.<id>`.

## Output

`-o table` (the default) is for people: local time, states in words, nothing cut off. `-o wide` has every field.
`-o json` is for programs: one object or array on stdout, fields as in the contract, states such as
`pendingAcceptance`, integers as numbers, bytes in base64, times in RFC 3339. `-o` is accepted before the noun and
after the verb. Errors are one line on stderr, and a second one that begins with `hint:` where there is a way out;
with `-o json` they are one object with `error`, `reason`, `field`, `hint`, `exit_code` and `trace_id`. `--verbose`
says the trace id of any command: the programs' logs have it in every line about it.

On a terminal, and nowhere else: colours (not where `NO_COLOR` is set), word of what takes longer than a second, and a
pager for what is longer than the screen, `SIDEGATE_PAGER`, else `PAGER`, else `less` with `LESS=FRX`
(`--no-pager` for none). Where the words of a table do not fit beside each other, each row becomes a sheet.

`sidegate --install-completion` teaches bash, zsh or fish to complete nouns, verbs and options, and the names and ids of
what is yours: it asks the running Sidegate that the line names, for two seconds at most. Open a new shell afterwards.

## Exit codes

"""


def reference() -> str:
    """The whole page."""
    root = typer.main.get_group(main.app)
    context = typer.Context(root, info_name="sidegate")
    codes = [f"| {code.value} | {meaning} |" for code, meaning in outcome.MEANINGS.items()]
    return (
        PREFACE
        + "\n".join(["| code | meaning |", "| --- | --- |", *codes, "", "## Options before the noun", ""])
        + "\n".join([*_parameters(root, context, left_out=("--help",)), ""])
        + "".join(_noun(group, context) for group in root.commands.values() if isinstance(group, TyperGroup))
        + "\n## Without a noun\n"
        + "".join(_verb(verb, context) for verb in root.commands.values() if isinstance(verb, TyperCommand))
    )


def _noun(group: TyperGroup, parent: typer.Context) -> str:
    context = typer.Context(group, info_name=group.name, parent=parent)
    verbs = [_verb(each, context) for each in group.commands.values() if isinstance(each, TyperCommand)]
    parts = [_noun(each, context) for each in group.commands.values() if isinstance(each, TyperGroup)]
    return f"\n## {context.command_path}\n\n{group.help}\n{''.join(verbs)}{''.join(parts)}"


def _verb(command: TyperCommand, parent: typer.Context) -> str:
    context = typer.Context(command, info_name=command.name, parent=parent)
    _, *examples = Text.from_markup(command.epilog or "").plain.splitlines()
    lines = ["", f"### {context.command_path}", "", command.help or "", "", "```sh"]
    lines += [example.removeprefix("$ ") for example in examples]
    return "\n".join([*lines, "```", *_parameters(command, context, left_out=("--help", "--output")), ""])


def _parameters(command: TyperCommand | TyperGroup, context: typer.Context, left_out: Sequence[str]) -> list[str]:
    records = [each.get_help_record(context) for each in command.get_params(context) if not {*each.opts} & {*left_out}]
    rows = [f"| `{_cell(name)}` | {_cell(meaning)} |" for name, meaning in filter(None, records)]
    return ["", "| argument or option | meaning |", "| --- | --- |", *rows] if rows else []


def _cell(text: str) -> str:
    return text.removesuffix(" <str>").replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
