"""`python -m wsol`, the same as the command `wsol`."""

import importlib.util
from pathlib import Path

if __name__ == "__main__":
    spec = importlib.util.find_spec("eval")
    stray = Path(spec.origin) if spec and spec.origin else Path("eval")
    if not (stray.parent / "protocols.py").is_file():
        raise SystemExit(
            f"Error: {stray} hides this project's package of the same name; run the command "
            "`wsol`, which is not affected, or start from another folder"
        )
    from wsol.cli import main  # needs the package

    main()
