import copy
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import steps
import torch
import torch.nn.functional as F
from steps import moved, recorded, run, weights

from facegan.config import UserError
from facegan.methods.eggan import EGGAN
from facegan.methods.eggan_config import EGGANConfig

SMALL = {
    "perceptual": "classifier", "latent": 16, "encoder_widths": (8, 8, 16), "generator_widths": (16, 16, 16, 8),
    "critic_widths": (8, 16, 16, 16), "classifier_width": 0.125, "epochs": 2, "pretrain_epochs": 1,
}  # fmt: skip


def small(**changes) -> EGGANConfig:
    return EGGANConfig(**{**SMALL, **changes})


def batch(n: int = 8, people: int = 4, seed: int = 0) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    images = F.interpolate(torch.rand(n, 3, 4, 4, generator=g), 32, mode="bilinear") * 2 - 1
    au = torch.rand(n, 17, generator=g) * 5
    return {"image": images, "au": au, "target_au": au.flip(0), "identity": torch.arange(n) % people}


def build(config: EGGANConfig, people: int = 4) -> EGGAN:
    torch.manual_seed(0)
    return EGGAN(config, size=32, identities=people)


def test_stage_one_trains_the_identity_classifier_alone():
    module = build(small(ema_half_life=0))
    before = weights(module)
    run(module, batch(), epochs=1)
    assert moved(before, module) == {"C_id"}


def test_stage_one_trains_the_expression_classifier_too_if_asked():
    module = build(small(ema_half_life=0, pretrain_expression=True))
    before = weights(module)
    run(module, batch(), epochs=1)
    assert moved(before, module) == {"C_id", "C_exp"}


def test_stage_one_trains_reconstruction_too_if_asked():
    module = build(small(pretrain_reconstruction=True, pretrain_epochs=30))
    before, faces = weights(module), batch()
    distance = torch.nn.functional.l1_loss(module.edit(faces["image"], faces["au"]), faces["image"])
    run(module, faces, epochs=30)
    assert moved(before, module) == {"C_id", "editor", "editor_ema"}
    nearer = torch.nn.functional.l1_loss(module.editor(faces["image"], faces["au"]), faces["image"])
    assert nearer < 0.9 * distance


def test_adam_starts_anew_with_stage_two():
    """Else its moments, of the small gradients of eq. 6, let the first steps by eq. 7 destroy the faces."""
    module = build(small(pretrain_reconstruction=True))
    run(module, batch(), epochs=2, batches=3)
    steps = {int(state["step"]) for state in module.optimizers()[0].state.values()}
    assert steps == {3}


def test_stage_two_trains_everything_but_the_identity_classifier():
    module = build(small(pretrain_epochs=1))
    run(module, batch(), epochs=1)
    before = weights(module)
    module.batches_seen = 0
    run(module, batch(), epochs=2)  # a new Trainer starts at epoch 0: one of each stage
    assert moved(before, module) == {"C_id", "D", "D_z", "C_exp", "editor", "editor_ema"}
    fixed = build(small())
    fixed.config.pretrain_epochs = 0
    before = weights(fixed)
    run(fixed, batch(), epochs=1)
    assert moved(before, fixed) == {"D", "D_z", "C_exp", "editor", "editor_ema"}


def only(module: EGGAN, *kept: int) -> EGGAN:
    """The module in stage 2 with only the optimisers ``kept`` (0: E and G, 1: D and D_z, 2: C_exp) learning."""
    module.config.pretrain_epochs = 0
    return steps.only(module, *kept)


@pytest.mark.parametrize(
    ("weight", "loss", "part"),
    [("w_encoder_latent", "g_latent", "E"), ("w_image", "g_image", "G"), ("w_au", "g_au", "G"),
     ("w_identity", "g_identity", "G"), ("w_perceptual", "g_perceptual", "G"), ("w_rec", "g_l1", "G"),
     ("w_msssim", "g_msssim", "G")],
)  # fmt: skip
def test_each_loss_alone_lowers_itself_and_moves_the_generator(weight, loss, part):
    """Every term of eq. 7 has the right sign: training by it alone brings it down."""
    off = {key: 0.0 for key in EGGANConfig.__dataclass_fields__ if key.startswith("w_")}
    module = only(build(small(**{**off, weight: 1.0, "lr": 2e-3, "ema_half_life": 0})), 0)
    seen, before = recorded(module, loss), weights(module)
    run(module, batch(), epochs=1, batches=25)
    assert seen[-1] < seen[0] - 1e-6, f"{loss} went from {seen[0]} to {seen[-1]}"
    assert moved(before, module) == {"editor"}
    after = dict(module.editor.named_parameters())
    assert any(
        not torch.equal(value, after[name.removeprefix("editor.")])
        for name, value in before.items()
        if name.startswith(f"editor.{part}.")
    )


@pytest.mark.parametrize(("loss", "learns"), [("d", 1), ("d_z", 1), ("c_exp", 2)])
def test_critics_and_classifier_learn(loss, learns):
    module = only(build(small(w_gp=1.0, lr=1e-3, lr_classifier=1e-3)), learns)
    seen, before = recorded(module, loss), weights(module)
    run(module, batch(), epochs=1, batches=20)
    assert seen[-1] < seen[0] - 0.02
    assert moved(before, module) <= {"D", "D_z", "C_exp", "editor_ema"}
    assert "editor" not in moved(before, module)


def test_rates_fall_linearly_in_the_later_part_of_each_stage():
    """4.1: constant in the first half of the epochs, then down to 0; each stage has its own."""
    module = build(small(lr=1e-3, lr_classifier=2e-3))  # one epoch of stage 1, two of stage 2
    rates: list[list[float]] = []
    log = module.log_losses
    module.log_losses = lambda losses, rows: (
        rates.append([o.param_groups[0]["lr"] for o in module.optimizers()]) or log(losses, rows)
    )
    run(module, batch(), epochs=3, batches=4)
    joint = torch.tensor([1, 1, 1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25])
    identity = torch.tensor([1, 1, 1, 0.5] + [0] * 8)
    expected = torch.stack([1e-3 * joint, 1e-3 * joint, 2e-3 * joint, 2e-3 * identity], 1)
    assert torch.allclose(torch.tensor(rates), expected)


def test_overfits_a_few_faces():
    """Eight pictures come back from their codes and AUs."""
    wide = {"latent": 64, "generator_widths": (64, 64, 32, 32)}
    off = {"w_image": 0, "w_identity": 0, "w_perceptual": 0, "ema_half_life": 0}
    module = build(small(lr=3e-3, **wide, **off))
    data = batch()
    before = F.l1_loss(module.edit(data["image"], data["au"]), data["image"])
    run(module, data, epochs=1, batches=150)
    after = F.l1_loss(module.edit(data["image"], data["au"]), data["image"])
    assert after < 0.35 * before


def test_one_person_turns_identity_off_and_trains(capsys):
    module = build(small(), people=1)
    assert module.C_id is None
    run(module, batch(people=1), epochs=1)
    assert "One person only: L_id" in capsys.readouterr().out


@pytest.mark.parametrize(
    "changes",
    [{"gan": "eq2"}, {"gan": "lsgan-gp", "critic_fakes": "prior", "adversarial_on": "both"}, {"constrain": "edited"},
     {"view_noise": 1.0}, {"level_weights": "balanced"}, {"n_critic": 2}, {"classifier_norm": "batch"},
     {"clip_gradient": 0.1}, {"rounding": "floor"}, {"encoder_norm": "layer"},
     {"classifier_head": "flatten", "classifier_convs": (1, 1, 1)}],
)  # fmt: skip
def test_every_choice_trains_and_stays_finite(changes):
    module = build(small(**changes))
    run(module, batch(), epochs=2, batches=2)
    assert all(p.isfinite().all() for p in module.parameters())
    assert module.batches_seen == 4


def test_n_critic_updates_the_generator_every_second_batch():
    module = build(small(n_critic=2))
    module.config.pretrain_epochs = 0
    changed: list[bool] = []
    log = module.log_losses
    state = {"before": weights(module.editor)}

    def watch(losses, rows):
        changed.append(bool(moved(state["before"], module.editor)))
        state["before"] = weights(module.editor)
        log(losses, rows)

    module.log_losses = watch
    run(module, batch(), epochs=1, batches=4)
    assert changed == [True, False, True, False]


@pytest.mark.parametrize("view_noise", [0.0, 0.7])
def test_bf16_gives_the_generator_gradients(view_noise):
    module = build(small(ema_half_life=0, view_noise=view_noise, pretrain_reconstruction=True))
    before = weights(module)
    run(module, batch(), epochs=2, batches=8, precision="bf16-mixed")
    assert "editor" in moved(before, module)
    assert all(p.isfinite().all() for p in module.parameters())


def test_average_is_the_closed_form():
    module = EGGAN(small(ema_half_life=8.0), size=32, identities=4, batch_size=8)  # half after every batch
    start = copy.deepcopy(module.editor.state_dict())
    name = "G.to_rgb.weight"
    values = []
    for step in range(1, 4):
        with torch.no_grad():
            module.editor.G.to_rgb.weight.fill_(float(step))
        module.editor_ema.update_parameters(module.editor)
        values.append(module.editor_ema.module.G.to_rgb.weight.flatten()[0].item())
    assert start[name].shape == module.editor.G.to_rgb.weight.shape
    assert values == pytest.approx([1.0, 1.5, 2.25])  # the first is a copy


def test_rates_are_constant_then_fall_to_zero_over_each_stage():
    """Two epochs of C_id, four of joint training, two batches each; E and G's rate, then C_id's."""
    module = build(small(epochs=4, pretrain_epochs=2, lr=1e-4, lr_classifier=1e-4))
    rates: list[list[float]] = [[], []]

    class Note(pl.Callback):
        def on_train_batch_end(self, trainer, module, *args):
            for place, optimizer in zip(rates, (module.optimizers()[0], module.optimizers()[3]), strict=True):
                place.append(optimizer.param_groups[0]["lr"] / 1e-4)

    run(module, batch(), epochs=6, batches=2, callbacks=[Note()])
    assert rates[0] == pytest.approx([1] * 4 + [1, 1, 1, 1, 1, 0.75, 0.5, 0.25])
    assert rates[1] == pytest.approx([1, 1, 1, 0.5] + [0] * 8)


def test_interpolation_ends_at_source_and_target():
    module = build(small()).eval()
    data = batch(2)
    steps = module.interpolate(data["image"], data["au"], data["target_au"], 5)
    assert steps.shape == (5, 2, 3, 32, 32)
    assert torch.allclose(steps[0], module.edit(data["image"], data["au"]), atol=1e-5)
    assert torch.allclose(steps[-1], module.edit(data["image"], data["target_au"]), atol=1e-5)


def test_draws_of_two_ranks_are_those_of_one(monkeypatch):
    module = build(small())
    whole = None
    for world in (1, 2):
        parts = []
        for rank in range(world):
            module._trainer = SimpleNamespace(world_size=world, global_rank=rank)
            module.begin_batch(8 // world)
            parts.append((module.draws(3), module.draws(2, normal=True)))
        joined = [torch.cat(p) for p in zip(*parts, strict=True)]
        whole = whole or joined
        assert all(torch.equal(a, b) for a, b in zip(whole, joined, strict=True))
    module.batches_seen += 1
    module.begin_batch(4)
    assert not torch.equal(module.draws(3), whole[0][:4])
    module._trainer = None


def test_paper_values_are_the_defaults():
    c = EGGANConfig()
    assert (c.w_au, c.w_identity, c.w_perceptual, c.w_rec, c.w_msssim, c.w_gp) == (100, 60, 20, 100, 100, 20)
    assert (c.lr, c.lr_classifier, c.epochs) == (1e-4, 2e-4, 400)
    assert c.encoder_widths == (16, 32, 64, 128, 256)
    assert c.latent_critic_widths == (256, 128, 64, 32, 16)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"gan": "dcgan"}, "method.gan=dcgan: choose one of wgan-gp"), ({"w_au": -1}, "method.w_au=-1: must be 0"),
     ({"lr": 0}, "method.lr=0: must be above 0"), ({"decay_from": 2}, "method.decay_from=2"),
     ({"epochs": 0}, "method.epochs=0")],
)  # fmt: skip
def test_bad_values_are_one_sentence(changes, words):
    with pytest.raises(UserError, match=words):
        EGGANConfig(**changes)


def test_missing_perceptual_weights_say_both_ways_out(tmp_path):
    with pytest.raises(UserError, match=r"perceptual_weights=PATH.*perceptual=classifier"):
        EGGAN(
            EGGANConfig(**{**SMALL, "perceptual": "vgg19", "perceptual_weights": str(tmp_path / "no.pth")}),
            32,
            4,
        )
    with pytest.raises(UserError, match="pretrain_epochs above 0"):
        build(small(pretrain_epochs=0))
