"""``python -m billing_project.embedded start|stop|status [HOME]``"""

import os
import sys
from pathlib import Path

from billing_project import embedded

USAGE = "usage: python -m billing_project.embedded start|stop|status [HOME]"


def main(arguments: list[str]) -> int:
    default = os.environ.get("HOLDFAST_HOME") or Path(__file__).resolve().parents[2] / ".local"
    if len(arguments) not in (1, 2):
        return fail(USAGE, 2)
    home = Path(arguments[1] if len(arguments) == 2 else default)
    try:
        match arguments[0]:
            case "start":
                say(f"PostgreSQL  {embedded.ensure_postgres(home).url}")
                say(f"Redis       {embedded.ensure_redis(home).client_url}")
            case "stop":
                stopped = embedded.stop_all(home)
                say(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
            case "status":
                for server in embedded.status(home):
                    state = "stopped" if server.pid is None else "runs" if server.answers else "does not answer"
                    process = f"process {server.pid}, " if server.pid else ""
                    say(f"{server.name:<14} {state:<16} {process}{server.url}")
            case _:
                return fail(USAGE, 2)
    except embedded.EmbeddedError as error:
        return fail(str(error), 1)
    return 0


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def fail(text: str, code: int) -> int:
    sys.stderr.write(text + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
