import json
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from facegan.config import UserError
from facegan.judges import AUJudge
from facegan.judges.weights import AU_WEIGHTS
from facegan.methods.judge_au import JudgeAU, JudgeAUConfig


class Bars(pl.LightningDataModule):
    """Pictures whose AU12 and AU26 are the brightness of their upper and lower half; the other AUs are 0."""

    generated = "procedural"

    def __init__(self, pictures=256, size=32):
        super().__init__()
        self.train, self.val, self.test = (self._split(n, size, k) for k, n in enumerate((pictures, 64, 96)))

    def _split(self, pictures, size, seed):
        rng = np.random.default_rng(seed)
        au = np.zeros((pictures, 17), np.float32)
        au[:, [8, 15]] = rng.uniform(0, 5, (pictures, 2))
        image = rng.normal(0, 0.05, (pictures, 3, size, size)).astype(np.float32)
        image[:, :, : size // 2] += (au[:, 8] / 5 - 0.5)[:, None, None, None]
        image[:, :, size // 2 :] += (au[:, 15] / 5 - 0.5)[:, None, None, None]
        rows = [
            {"image": torch.from_numpy(i), "au": torch.from_numpy(a)} for i, a in zip(image, au, strict=True)
        ]

        def batch(index):
            chosen = [rows[k] for k in index]
            return {key: torch.stack([row[key] for row in chosen]) for key in ("image", "au")}

        return SimpleNamespace(rows=rows, au=au, identity=np.arange(pictures) % 8, batch=batch)

    def train_dataloader(self):
        return DataLoader(self.train.rows, 32)

    def val_dataloader(self):
        return DataLoader(self.val.rows, 32)


def trainer(epochs, **options):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    options |= {"accelerator": "cpu", "enable_checkpointing": False, "num_sanity_val_steps": 0}
    return pl.Trainer(max_epochs=epochs, **quiet, **options)


@pytest.fixture(autouse=True)
def judges_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEGAN_JUDGES", str(tmp_path / "judges"))
    torch.manual_seed(0)
    return tmp_path / "judges"


CONFIG = JudgeAUConfig(channels=[4, 8, 8, 16], epochs=10, augment=False)


def test_learns_exports_itself_and_the_judge_gives_the_same_answers(judges_folder):
    module, data = JudgeAU(CONFIG), Bars()
    trainer(10).fit(module, datamodule=data)
    judge = AUJudge()
    images = torch.stack([row["image"] for row in data.val.rows])
    with torch.no_grad():
        torch.testing.assert_close(judge(images), module.eval()(images), atol=1e-5, rtol=1e-4)
    about = json.loads((judges_folder / AU_WEIGHTS).with_suffix(".json").read_text())
    assert about["trained_on"] == "256 generated pictures (procedural head) of 8 people"
    assert about["batches"] == 80
    measured = about["measured"]
    assert set(measured["pcc"]) == {"AU12", "AU26"} and measured["pictures"] == 96 and measured["people"] == 8
    assert measured["pcc_mean"] > 0.9
    truth = data.test.au[:, 8]
    answer = judge(torch.stack([row["image"] for row in data.test.rows]))[:, 8]
    assert measured["pcc"]["AU12"] == pytest.approx(np.corrcoef(truth, answer)[0, 1], abs=1e-3)


def test_weights_go_where_the_config_says(tmp_path):
    config = JudgeAUConfig(channels=[4, 8, 8, 16], weights=str(tmp_path / "clip.safetensors"))
    trainer(1, limit_train_batches=1).fit(JudgeAU(config), datamodule=Bars(64))
    assert AUJudge(tmp_path / "clip.safetensors").about["batches"] == 1


def test_step_is_weighted_squared_error_that_spares_rare_aus():
    module, data = JudgeAU(CONFIG), Bars()
    trainer(1, limit_train_batches=1).fit(module, datamodule=data)
    assert module.weight.mean() == pytest.approx(1, abs=1e-5)
    assert module.weight[8] < module.weight[0] / 5, "AU12 varies, AU1 does not"
    batch = next(iter(data.train_dataloader()))
    module.log = lambda *args, **options: None
    loss = module.training_step(batch)
    module.train()
    large = torch.nn.functional.interpolate(batch["image"], (128, 128), mode="bilinear", antialias=True)
    error = (module.net(large) - batch["au"]) ** 2
    torch.testing.assert_close(loss, (error * module.weight).mean(), rtol=1e-4, atol=1e-5)


def test_augmentation_of_a_batch_depends_on_its_number_not_on_history():
    module = JudgeAU(CONFIG, seed=3)
    draws = []
    for step in (5, 5, 6):
        torch.rand(step + len(draws))  # other draws of the process must not matter
        module._trainer = SimpleNamespace(global_step=step, world_size=1, global_rank=0)
        draws.append(torch.rand(4, generator=module.generator()))
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_impossible_values_are_refused_in_words():
    with pytest.raises(UserError, match=r"method\.lr"):
        JudgeAUConfig(lr=0)
    with pytest.raises(UserError, match="four numbers"):
        JudgeAUConfig(channels=[8, 8])
