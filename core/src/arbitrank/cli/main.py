"""The entry point: finds the verb, runs it, and turns every expected error into one line and an exit status.

Exit status: 0 done, 1 a gate refused or a check failed, 2 the call or its input is wrong, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.metadata import version
from io import TextIOWrapper

import click

from arbitrank.errors import ArbitrankError
from arbitrank.extras import missing_package

VERBS = {
    "ask": "Text in, ranked list out.",
    "rank": "Hypotheses in, answers out (JSON Lines).",
    "domains": "What was found: loaded, refused, disabled, why; versions.",
    "train": "Train domains and publish their weights.",
    "evaluate": "Measure all systems on a corpus or a hypotheses file.",
    "publish": "Take an artifact into the store as its domain's candidate.",
    "impact": "What a candidate would do to everybody, by replaying requests.",
    "audit-set": "Set the requests with their truth that promotions are judged on.",
    "promote": "Make a version the one that serves, if the gate lets it pass.",
    "shrink": "Divide the claims of a domain that claims too much.",
    "canary": "Let a domain's candidate answer a share of the requests.",
    "rollback": "Take the last promotion of a domain back.",
    "history": "What was done to a domain, when, by whom and why.",
    "replay": "Answer a logged request again: then, now, what changed.",
    "log": "What a log of answers holds; remove what is too old.",
    "verify": "Check an artifact, a version or a whole store.",
    "prune": "Remove old versions that nothing names.",
    "keygen": "Make a pair of keys to sign with.",
    "sign": "Sign an artifact.",
    "shortlist": "Choose the few skills worth asking: train, evaluate, query.",
    "serve": "Answer requests over HTTP.",
    "token": "Make a token for the service.",
}


class _Verbs(click.Group):
    """A group that imports a verb's module only when the verb is called, so that each starts as fast as it can."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"arbitrank.cli.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("arbitrank"), prog_name="arbitrank")
def cli() -> None:
    """Decide which of many independently built domains should answer a request."""


def main() -> None:
    """Run the command line and exit."""
    # A terminal that cannot show a title's letters still gets the answer.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        sys.exit(cli.main(standalone_mode=False, prog_name="arbitrank") or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        sys.exit(2)
    except click.ClickException as error:
        ctx = getattr(error, "ctx", None)
        path = ctx.command_path if ctx else "arbitrank"
        _fail(f"{error.format_message()} Run: {path} --help")
    except ArbitrankError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        missing = missing_package(error, " ".join(sys.argv[1:2]))
        if missing is None:
            raise
        _fail(str(missing))
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has had enough; leave no complaint behind.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _fail(message: str) -> None:
    print(f"arbitrank: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)
