"""Write the reference pages, `docs/openapi.json` and the settings of `.env.example`: `make reference`."""

import json
from pathlib import Path

from shared.local.commands import ROOT
from tests.reference.cli import cli_page
from tests.reference.errors import errors_page
from tests.reference.http_api import http_api_page, openapi
from tests.reference.metrics import metrics_page
from tests.reference.model_card import model_card_page
from tests.reference.settings import env_example, settings_page
from tests.reference.store_layout import store_layout_page

REFERENCE = ROOT / "docs" / "reference"
ENV_EXAMPLE = ROOT / ".env.example"


def generated() -> dict[Path, str]:
    """Return the text of every file that is written from the code."""
    described = openapi()
    return {
        REFERENCE / "cli.md": cli_page(),
        REFERENCE / "settings.md": settings_page(),
        REFERENCE / "http-api.md": http_api_page(described),
        REFERENCE / "store-layout.md": store_layout_page(),
        REFERENCE / "metrics.md": metrics_page(),
        REFERENCE / "errors.md": errors_page(),
        REFERENCE / "model-card.md": model_card_page(),
        ROOT / "docs" / "openapi.json": json.dumps(described, indent=1, ensure_ascii=False) + "\n",
        ENV_EXAMPLE: env_example(ENV_EXAMPLE.read_text()),
    }


def main() -> None:
    """Write the files and print which of them changed."""
    for path, text in generated().items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
