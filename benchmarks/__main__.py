"""`python -m benchmarks [NAME ...]`: run the benchmarks, all of them by default. One may be given its options."""

import importlib
import itertools
import signal
import sys

KNOWN = ("billing", "fold", "intake", "lists", "simulation", "storage", "sweep")


def main() -> int:
    names = list(itertools.takewhile(lambda word: not word.startswith("-"), sys.argv[1:]))
    options = sys.argv[1 + len(names) :]
    unknown = [name for name in names if name not in KNOWN]
    if unknown:
        print(f"There is no benchmark {unknown[0]!r}; known are: {', '.join(KNOWN)}.", file=sys.stderr)
        return 2
    if options and len(names) != 1:
        print(f"Options belong to one benchmark: name it before them, one of {', '.join(KNOWN)}.", file=sys.stderr)
        return 2
    status = 0
    for name in names or KNOWN:
        print(f"== {name}\n", flush=True)
        sys.argv = [name, *options]
        status |= importlib.import_module(f"benchmarks.{name}").main()
        print()
    return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
