"""Flags that all recipes share, and those that one of them has no use for."""

import importlib

import pytest

OF_MANY_MODELS = (
    "data_augmentation",
    "discriminative_generative",
    "feature_net",
    "gan_instability",
    "gan_intuition",
    "kinds_of_gan",
    "mode_collapse",
    "overview",
    "wgan",
)


@pytest.mark.parametrize("name", OF_MANY_MODELS)
def test_a_recipe_without_a_model_for_the_zoo_publishes_none(name, tmp_path, capsys):
    recipe = importlib.import_module(f"recipes.{name}")
    with pytest.raises(SystemExit):
        recipe.main(["--output", str(tmp_path / "out"), "--publish", "several"])
    assert "unrecognized arguments: --publish several" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
