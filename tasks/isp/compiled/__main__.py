"""`python -m tasks.isp.compiled`: compile all kernels now, so that nobody waits for it later (`make setup` does)."""

from importlib import import_module

MODULES = ("points", "power", "planes", "quarters", "bilinear", "malvar", "menon")
"""All modules of kernels; tests/policy/test_compiled.py holds that none is missing."""


def main() -> None:
    for name in MODULES:
        import_module(f"tasks.isp.compiled.{name}")


if __name__ == "__main__":
    main()
