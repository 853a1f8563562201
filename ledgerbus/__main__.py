"""`python -m ledgerbus`: the same as the `ledgerbus` command."""

from ledgerbus.cli import main

if __name__ == "__main__":
    main()
