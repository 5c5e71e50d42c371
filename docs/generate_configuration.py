"""Write docs/configuration.md from the schema; `--check` only says whether the page is current.

Belongs here: the page's layout. Does not: what a setting means (`config/sections`), or how the schema is read (`config.reference`).
"""

import sys
from itertools import groupby
from pathlib import Path

from config.reference import SECTION_FILES, Setting, settings_reference
from config.schema import Config

PAGE = Path(__file__).parent / "configuration.md"
HEAD = """# Configuration

<!-- Written by docs/generate_configuration.py from the schema; edit config/sections/ instead. -->

Settings are YAML files in one folder: the one named with `--config-dir`, else `config/` in the working folder, else the packaged one.
Each section stands in one file only. The schema is strict: an unknown key, a wrong type or an impossible combination ends the command
with status 2, names the file and the key, and suggests the nearest known one. `--set` changes one key for one command; its value is YAML,
and later ones win:

```
switchyard plan --set routing.significance.max_q=0.05 --set 'targets.only=[forward_return_5d]'
```

`switchyard init --data-dir DIR` writes a folder that fits your data, every key with its effect in a comment. The tables say
what a value may be, in which unit, its default, and what it does. Everything but `resources` and `data.path` counts in the configuration's
content hash, which plans carry.

"""


def page() -> str:
    """The whole page as Markdown."""
    parts = [HEAD]
    for section, settings in groupby(settings_reference(), key=lambda setting: setting.key.split(".")[0]):
        title = f"## {section}\n\n`{SECTION_FILES[section]}`: {Config.model_fields[section].description}\n\n"
        rows = "".join(_row(setting) for setting in settings)
        parts.append(f"{title}| key | value | default | effect |\n| --- | --- | --- | --- |\n{rows}\n")
    return "".join(parts).rstrip() + "\n"


def _row(setting: Setting) -> str:
    default = setting.default if len(setting.default) < 90 else f"{setting.default[:86]} ..."
    cells = (f"`{setting.key}`", setting.kind, f"`{default}`", setting.effect)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` hold it against the schema; returns the exit status."""
    text = page()
    if "--check" in arguments:
        current = PAGE.exists() and PAGE.read_text(encoding="utf-8") == text
        sys.stdout.write(f"{PAGE.name} is current\n" if current else f"{PAGE.name} is not current; run {Path(__file__).name}\n")
        return 0 if current else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
