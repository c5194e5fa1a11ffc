"""Configs: what is shipped loads, what is typed is checked, and mistakes are one sentence."""

import pytest

from facegan.cli import main
from facegan.config import UserError
from facegan.experiment_config import load_config
from facegan.runs import experiments


@pytest.mark.parametrize("name", experiments())
def test_every_shipped_experiment_loads(name):
    config = load_config(name)
    assert config.name == name
    assert config.method.total_epochs > 0
    first = experiments()[name].read_text().splitlines()[0]
    assert first.startswith("# "), "the first line says which table or figure it is for"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("method.w_identiy=3", "unknown key method.w_identiy; did you mean method.w_identity?"),
        ("trainer.max_epoch=3", "did you mean trainer.max_epochs?"),
        ("sead=3", "did you mean seed?"),
        ("method.lr=fast", "method.lr"),
        ("method.lr=-1", "method.lr=-1.0: must be above 0"),
        ("data.batch_size=0", "data.batch_size=0: must be 1 or more"),
        ("trainer.precision=8", "trainer.precision=8: choose one of"),
        ("method.name=egan", "method.name=egan: choose one of"),
        ("data.name=rafdd", "data.name=rafdd: choose one of"),
        ("batch", "write key=value"),
        ("trainer.devices=0", "trainer.devices=0: write how many"),
        ("trainer.devices=two", "trainer.devices=two: write how many"),
        ("trainer.accelerator=foo", "trainer.accelerator=foo: choose one of auto"),
        ("trainer.strategy=foo", "trainer.strategy=foo: choose one of auto"),
        ("trainer.limit_train_batches=-1", "trainer.limit_train_batches=-1: must be above 0"),
        ("trainer.limit_train_batches=1.5", "trainer.limit_train_batches=1.5: must be 1 or less"),
        ("seed=-1", "seed=-1: must be 0 or more"),
        ("targets=0", "targets=0: must be 2 or more"),
        ("sources=loud", "sources=loud: choose one of calm"),
        ("method.betas=[2,3]", "method.betas=2.0: must be"),
        ("method.w_au=inf", "method.w_au=inf: must be a number"),
        ("method.au_scale=nan", "method.au_scale=nan: must be a number"),
        ("method.clip_gradient=-1", "method.clip_gradient=-1.0: must be above 0"),
        ("method.encoder_widths=[]", "method.encoder_widths=(): write at least one number"),
        ("method.encoder_widths=[-3,4]", "method.encoder_widths=-3: must be 1 or more"),
        ("method.classifier_convs=[0,0]", "method.classifier_convs=0: must be 1 or more"),
        ("data.flip=2", "data.flip=2.0: must be 1 or less"),
        ("data.jitter=-1", "data.jitter=-1.0: must be 0 or more"),
        ("data.cross_probability=7", "data.cross_probability=7.0: must be 1 or less"),
        ("data.num_workers=-1", "data.num_workers=-1: must be 0 or more"),
        ("data.prepare_workers=0", "data.prepare_workers=0: must be 1 or more"),
        ("data.image_size=-1", "data.image_size=-1: must be 16 or more"),
        ("data.cameras=90", "data.cameras: write a list, as in 'data.cameras=[a,b]'"),
        ("log.wandb=nope", "log.wandb=nope: choose one of"),
        ("data.image_size=100", "data.image_size=100 is not 4 times a power of two"),
        ("init_from=nowhere.ckpt", "init_from=nowhere.ckpt: no such checkpoint"),
        ("init_from=tergan_bu4dfe", "init_from=tergan_bu4dfe: train it first: facegan train tergan_bu4dfe"),
        ("method.encoder_widths=[4,4", "the value cannot be read"),
        ("method.betas=[0.5]", "method.betas=[0.5]: TupleConfig length 1"),
        ("trainer=3", "trainer=3: "),
        ("generate.0.people=3", "generate.0.people=3: "),
    ],
)
def test_mistakes_on_the_command_line_are_one_sentence(override, words, capsys):
    assert main(["train", "eggan_rafd", override]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.strip().splitlines()) == 1


def test_an_entry_of_a_list_is_set_by_its_place():
    config = load_config("eggan_demo", ["generate.1.people=7", "method.w_au=3"])
    assert [entry.people for entry in config.generate] == [280, 7] and config.method.w_au == 3
    with pytest.raises(UserError, match="people=-3"):
        load_config("eggan_demo", ["generate.0.people=-3"])


def test_a_yaml_on_a_base_says_only_what_differs(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("base: eggan_rafd_no_identity\nmethod: {w_au: 3}\n")
    config = load_config(str(file))
    assert (config.name, config.method.w_au, config.method.w_identity) == ("mine", 3, 0)
    file.write_text("base: eggan_nowhere\n")
    with pytest.raises(UserError, match="base=eggan_nowhere is no other experiment"):
        load_config(str(file))
