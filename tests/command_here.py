"""The command line in this process: what it says and ends with, without a second of imports for each word.

For what is wrong with arguments, of which there are many; what is right is run as the installed command.
"""

from collections.abc import Mapping

from typer.testing import CliRunner, Result

from predictscale.cli import app

WIDE = {"COLUMNS": "250", "NO_COLOR": "1"}


def here(*arguments: object, environment: Mapping[str, str] = WIDE) -> Result:
    """How `predictscale ARGUMENTS` ends; an error that would have been a traceback is raised."""
    done = CliRunner().invoke(app, [str(word) for word in arguments], env=dict(environment))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done
