"""Whatever a recipe draws is legible, in kgen's colours, and has its French."""

import pytest
from figures import faults

from kgen.plots import style, texts


@pytest.fixture(autouse=True, scope="module")
def figures_of_the_recipe():
    wrong, save = {}, style.save

    def watched(figure, path):
        if path.name not in wrong:
            wrong[path.name] = faults(figure)
        return save(figure, path)

    with pytest.MonkeyPatch.context() as patch, texts.recorded() as seen:
        patch.setattr(style, "save", watched)
        yield
    assert {name: found for name, found in wrong.items() if found} == {}
    assert texts.missing(seen, "fr") == []
