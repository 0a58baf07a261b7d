from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from predictscale.config.document import settings_markdown
from predictscale.config.metadata import KEYS
from predictscale.config.presets import load_presets
from predictscale.config.problems import model_in
from predictscale.config.settings import ServiceSettings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
TEXT = settings_markdown(load_presets())


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        if inner := model_in(field.annotation):
            yield from models(inner)


def test_the_page_of_settings_is_what_the_models_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == TEXT, (
        "write it anew: python -c 'from predictscale.config.document import *; "
        "from predictscale.config.presets import load_presets; "
        'print(settings_markdown(load_presets()), end="")\' > docs/settings.md'
    )


@pytest.mark.parametrize("model", list(models(ServiceSettings)), ids=lambda m: m.__name__)
def test_every_setting_has_a_meaning_that_is_on_the_page(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        assert field.description
        assert model_in(field.annotation) or f"| `{name}` |" in TEXT


def test_every_trigger_key_and_every_backend_is_on_the_page() -> None:
    assert all(f"| `{name}` |" in TEXT for name in [*KEYS, "workload", *load_presets()])
