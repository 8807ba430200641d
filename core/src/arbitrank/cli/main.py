"""Entry point of the command line: runs a verb, and turns each expected error into one line and an exit status.

Exit status: 0 done, 1 a gate refused or a check failed, 2 the call or its input is wrong, 130 interrupted.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from importlib import import_module
from io import TextIOWrapper
from keyword import iskeyword

import click

from arbitrank.cli.help_pages import HelpContext, Verbs
from arbitrank.errors import ArbitrankError
from arbitrank.extras import missing_package
from arbitrank.normal_text import printable

# The verbs by what they are for. Each with the module of `arbitrank.cli` that has the function of its name, and its
# summary.
GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "Ask: requests in, answers out": {
        "ask": ("ask", "Text in, ranked list out."),
        "rank": ("rank", "Hypotheses in, answers out (JSON Lines)."),
    },
    "Author: make, train and judge a domain": {
        "new": ("new", "Make the distribution of a new domain."),
        "import": ("importing", "Payloads and corpora of other systems, read as our own."),
        "examples": ("examples", "Examples that a domain learns from, as a corpus."),
        "check": ("check", "Check a domain: contract, data, training, weights."),
        "train": ("train", "Train domains and publish their weights."),
        "report": ("report", "Measure a domain alone: readings, claims, worth of more data."),
    },
    "Operate: versions, decisions, the service and its log": {
        "domains": ("domains", "Installed domains: loaded, refused or disabled, why; versions."),
        "publish": ("versions", "Copy an artifact into the store as its domain's candidate."),
        "impact": ("impact", "Effect of a candidate on all domains, by replaying requests."),
        "value": ("value", "Share of a candidate's answers that users would accept."),
        "audit-set": ("audit_set", "Set the labelled requests that the gate judges by."),
        "suite": ("suite", "Cases that a domain must win, or must not: run them, change them."),
        "incident": ("suite", "Make a case of a logged answer that was wrong."),
        "promote": ("promote", "Make a version stable, if the gate passes it."),
        "canary": ("canary", "Answer a share of the requests with a candidate, and compare."),
        "rollback": ("versions", "Undo a domain's last promotion."),
        "install": ("environments", "Install a domain's package into an environment of its own."),
        "uninstall": ("environments", "Have a package's environment serve no more."),
        "history": ("versions", "Changes of a domain: what, when, by whom and why."),
        "tune": ("tune", "Fit the decision settings to labelled requests."),
        "watch": ("watch", "Judge every domain by a log: drift, claims, lost requests."),
        "shrink": ("shrink", "Divide the log-odds of a domain that claims too much."),
        "serve": ("serve", "Answer requests over HTTP."),
        "token": ("keys", "Make a token for the service."),
        "log": ("log", "Contents of a log of answers; remove what is too old."),
        "replay": ("log", "Answer a logged request again: then, now, what changed."),
        "verify": ("versions", "Check an artifact, a version or a whole store."),
        "prune": ("versions", "Remove old versions that no alias names."),
        "keygen": ("keys", "Make a pair of keys to sign with."),
        "sign": ("keys", "Sign an artifact."),
    },
    "Study: measure on a corpus, and choose among many skills": {
        "evaluate": ("evaluate", "Measure all systems on a corpus or a hypotheses file."),
        "shortlist": ("shortlist", "Choose the few skills worth asking: train, evaluate, query."),
    },
}
VERBS: dict[str, tuple[str, str]] = {verb: row for verbs in GROUPS.values() for verb, row in verbs.items()}

# New containers after which the youngest are searched for cycles. Modules and models live as long as the process, so
# Python's 700 has them searched some hundred times before the first answer.
_YOUNG = 10_000

_MEANINGS = {
    "create": "new", "init": "new", "test": "check", "validate": "check", "lint": "check", "list": "domains",
    "deploy": "promote", "release": "promote", "undo": "rollback", "revert": "rollback", "score": "rank",
    "query": "ask", "answer": "ask", "run": "serve", "start": "serve", "convert": "import",
}  # fmt: skip


class _AllVerbs(Verbs):
    """The group that imports a verb's module when the verb is called, which keeps start-up fast."""

    meanings = _MEANINGS

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        function = cmd_name.replace("-", "_") + "_" * iskeyword(cmd_name)
        command: click.Command = getattr(import_module(f"arbitrank.cli.{VERBS[cmd_name][0]}"), function)
        command.context_class = HelpContext
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, VERBS))
        for group, verbs in GROUPS.items():
            with formatter.section(group):
                formatter.write_dl([(f"{verb:{width}}", summary) for verb, (_, summary) in verbs.items()])


def _version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from arbitrank.packages import core_version

        click.echo(f"arbitrank, version {core_version()}")
        ctx.exit()


@click.command(cls=_AllVerbs, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Decide which of many independently built domains should answer a request.

    Example: arbitrank ask "play mary poppins" --device tv
    Example: arbitrank new podcasts

    `arbitrank VERB --help` explains a verb; the tutorial is docs/tutorial.md.
    """


def main() -> None:
    """Run the command line and exit."""
    gc.set_threshold(_YOUNG)
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # processes of joblib: nothing from the working folder
    atexit.register(gc.freeze)  # the last to be called: else the interpreter searches all that is left for cycles
    # A terminal that cannot show a character still gets the answer.
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
        # The reader of the output has closed it: no error to report.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _fail(message: str) -> None:
    # On one line, and without control characters that a file's text may hold: a terminal would obey them.
    print(f"arbitrank: {printable(message)}", file=sys.stderr)
    sys.exit(2)
