"""`python -m benchmarks [NAME ...]`: run the benchmarks, all of them by default."""

import importlib
import pkgutil
import sys

import benchmarks


def main() -> int:
    modules = [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]
    known = sorted(name for name in modules if not name.startswith("_"))
    chosen = sys.argv[1:] or known
    unknown = [name for name in chosen if name not in known]
    if unknown:
        print(f"There is no benchmark {unknown[0]!r}; known are: {', '.join(known)}.", file=sys.stderr)
        return 2
    status = 0
    for name in chosen:
        print(f"== {name}\n", flush=True)
        sys.argv = [name]
        status |= importlib.import_module(f"benchmarks.{name}").main()
        print()
    return status


if __name__ == "__main__":
    raise SystemExit(main())
