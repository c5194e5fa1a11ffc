import pytest
import steps
import torch
import torch.nn.functional as F
from steps import moved, recorded, run, weights

from facegan.config import UserError
from facegan.faces import EXPRESSIONS
from facegan.methods.aipgan import AIPGAN
from facegan.methods.aipgan_config import AIPGANConfig

SMALL = {
    "widths": (8, 8, 8, 8, 8, 8, 8), "pool_blocks": 4, "head": 32, "bilinear": 16, "critic_width": 4,
    "critic_layers": 2, "recogniser": "trained", "recogniser_size": 32, "recogniser_width": 0.02,
    "recogniser_epochs": 1, "encoder_epochs": 1, "decoder_epochs": 1, "epochs": 1, "ema_half_life": 0,
}  # fmt: skip
WEIGHTS = [key for key in AIPGANConfig.__dataclass_fields__ if key.startswith("w_")]
OFF = dict.fromkeys(WEIGHTS, 0.0)
SIX = [EXPRESSIONS.index(name) for name in AIPGANConfig().expressions]


def small(**changes) -> AIPGANConfig:
    return AIPGANConfig(**{**SMALL, **changes})


def at(module: AIPGAN, stage: str) -> AIPGAN:
    """The module with every batch in one stage."""
    module._stage = lambda: (stage, 0.0)
    return module


def batch(n: int = 12, people: int = 3) -> dict[str, torch.Tensor]:
    """Half of the pairs of one person; a person is a pattern of colours, an expression one of stripes, for these
    nets see textures before they see places.
    """
    g = torch.Generator().manual_seed(0)
    look = F.interpolate(torch.rand(people, 3, 4, 4, generator=g), 32, mode="bilinear") * 2 - 1
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    stripes = torch.stack([
        (along // period % 2 * 2 - 1).float() for along in (x, y, x + y) for period in (1, 4)
    ])  # fmt: skip
    data = {}
    for side in ("source", "target"):
        expression = torch.arange(n) % 6 if side == "source" else torch.randint(6, (n,), generator=g)
        identity = torch.arange(n) % people
        if side == "target":
            identity = torch.where(torch.arange(n) < n // 2, identity, (identity + 1) % people)
        image = look[identity].clone()
        image[:, :, 16:] = 0.3 * image[:, :, 16:] + 0.7 * stripes[expression][:, None, 16:]
        data |= {
            f"{side}_image": image, f"{side}_identity": identity,
            f"{side}_expression": torch.tensor(SIX)[expression],
            f"{side}_landmark_map": (stripes[expression] > 0).float()[:, None],
            f"{side}_identity_map": look[identity],
        }  # fmt: skip
    return data | {"expression": data["source_expression"]}


def build(config: AIPGANConfig) -> AIPGAN:
    torch.manual_seed(0)
    return AIPGAN(config, size=32, identities=3, batch_size=12)


@pytest.fixture(autouse=True)
def no_data_module(monkeypatch):
    monkeypatch.setattr(AIPGAN, "on_fit_start", lambda self: None)


def test_defaults_are_the_paper_s():
    c = AIPGANConfig()
    assert (c.w_irec, c.w_if, c.w_ef, c.w_d, c.w_h, c.w_att, c.w_adv) == (20, 10, 10, 5, 5, 3, 3)
    assert (c.expression_code, c.identity_code, c.lr) == (30, 50, 2e-4)
    assert c.widths == (64, 128, 128, 256, 256, 512, 512) and c.ceb == "cbp"
    assert len(c.expressions) == 6 and c.recogniser_size == 224


def test_one_run_goes_through_the_stages_in_their_order():
    """3.2: the encoders, the decoder with resting encoders, then all; each trains what it should and nothing else."""
    module, trained = build(small()), []
    before = weights(module)

    def compare(losses, rows, log=module.log_losses):
        nonlocal before
        trained.append((module._stage()[0], moved(before, module, 2)))
        before = weights(module)
        log(losses, rows)

    module.log_losses = compare
    run(module, batch(), epochs=4, batches=2)
    parts = {"generator.G_es", "generator.G_et", "generator.landmarks", "generator.identity_map"}
    assert len(trained) == 8
    for k, (_, changed) in enumerate(trained):
        networks = {name.split(".")[0] for name in changed}
        if k < 2:
            assert networks == {"R_i", "R_e"}
        elif k < 4:
            assert changed == parts
        elif k < 6:
            assert changed == {"generator.G_de"}
        else:
            assert changed == parts | {"generator.G_de", "D.scales"}


@pytest.mark.parametrize("name", ["irec", "if", "ef", "adv"])
def test_each_loss_alone_lowers_itself_and_moves_the_whole_generator(name):
    config = small(**{**OFF, "w_if": 1e-9, "w_ef": 1e-9, f"w_{name}": 1.0, "lr": 1e-3})
    module = at(steps.only(build(config), 0), "joint")
    seen, before = recorded(module, name), weights(module)
    run(module, batch(), epochs=1, batches=40)
    assert seen[-1] < 0.9 * seen[0], f"{name} went from {seen[0]} to {seen[-1]}"
    changed = moved(before, module, 2)
    assert {"generator.G_es", "generator.G_et", "generator.G_de"} <= changed
    assert not [part for part in changed if part.startswith(("D.", "R_"))]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("d", {"generator.G_es", "generator.landmarks"}), ("att", {"generator.G_es"}),
        ("h", {"generator.G_et", "generator.identity_map"}),
    ],
)  # fmt: skip
def test_each_loss_of_stage_one_teaches_its_own_encoder(name, parts):
    module = at(
        build(small(**{**OFF, f"w_{name}": 1.0, "lr": 2e-3, "attention_norm": "sigmoid"})), "encoders"
    )
    seen, before = recorded(module, name), weights(module)
    run(module, batch(), epochs=1, batches=60)
    assert seen[-1] < (0.95 if name == "att" else 0.6) * seen[0], f"{name} went from {seen[0]} to {seen[-1]}"
    assert moved(before, module, 2) == parts


def test_attention_learns_the_expression_at_every_level():
    module, data = at(build(small(lr=2e-3, attention_norm="sigmoid")), "encoders"), batch()
    run(module, data, epochs=1, batches=200)
    y = module.classes[data["source_expression"]]
    right = [(p.argmax(1) == y).float().mean() for p in module.generator.G_es(data["source_image"]).logits]
    assert min(right) > 0.8 and sum(right) > 6.5, right
    assert (module.recognise(data["source_image"]).argmax(1) == y).float().mean() > 0.8


def test_the_losses_of_stage_one_by_hand():
    """A14, A9: mean squares to the source's landmarks and the target's map; eq. 1 is a mean over the levels."""
    module, data = build(small()), batch()
    e, (h, _) = module.generator.G_es(data["source_image"]), module.generator.G_et(data["target_image"])
    losses, y = module._encoding(e, h, data), module.classes[data["source_expression"]]
    z, drawn = module.generator.landmarks(e.code), module.generator.identity_map(h)
    by_hand = {
        "d": (z - data["source_landmark_map"]).square().mean(),
        "h": (drawn - data["target_identity_map"]).square().mean(),
        "att": sum(F.cross_entropy(logits, y) for logits in e.logits) / 7,
    }
    for name, value in by_hand.items():
        assert losses[name].item() == pytest.approx(value.item(), rel=1e-5), name


@pytest.mark.parametrize(
    ("stage", "names"),
    [
        ("encoders", ("d", "h", "att")), ("decoder", ("irec", "if", "ef")),
        ("joint", ("irec", "if", "ef", "d", "h", "att", "adv")),
    ],
)  # fmt: skip
def test_each_stage_adds_up_its_part_of_eq_2(stage, names):
    own = {"w_irec": 2.0, "w_if": 3.0, "w_ef": 5.0, "w_d": 7.0, "w_h": 11.0, "w_att": 13.0, "w_adv": 17.0}
    module = at(build(small(**own)), stage)
    given, seen = steps.totals(module)
    run(module, batch(), epochs=1)
    assert set(seen) - {"critic"} == set(names)
    assert given[-1] == pytest.approx(sum(own[f"w_{name}"] * seen[name] for name in names), rel=1e-4)


class Scales(torch.nn.Module):
    """A discriminator whose two scales answer alike of all pictures."""

    def __init__(self):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(()))

    def forward(self, images):
        return [
            torch.full((len(images), 1, side, side), value) + self.bias
            for side, value in ((4, 0.2), (2, 0.7))
        ]


def test_the_scales_of_the_discriminator_are_added_up():
    """A20: least squares of each, whatever its number of patches."""
    module = at(build(small()), "joint")
    module.D = Scales()
    adv, critic = recorded(module, "adv"), recorded(module, "critic")
    run(steps.only(module, 0), batch(), epochs=1)
    assert adv[0] == pytest.approx(0.8**2 + 0.3**2, rel=1e-5)
    assert critic[0] == pytest.approx(0.8**2 + 0.2**2 + 0.3**2 + 0.7**2, rel=1e-5)


def test_stage_two_draws_the_source_s_expression_on_the_target():
    module, data, seen = at(build(small()), "decoder"), batch(), []
    decode = module.generator.decode
    module.generator.decode = lambda e, h, maps: seen.append((e, h, maps)) or decode(e, h, maps)
    run(module, data, epochs=1)
    e, (h, maps) = module.generator.G_es(data["source_image"]), module.generator.G_et(data["target_image"])
    torch.testing.assert_close(seen[0][0].code, e.code)
    torch.testing.assert_close(seen[0][1], h)
    torch.testing.assert_close(seen[0][2][0], maps[0])


def test_the_expression_is_what_the_last_level_says():
    """A10."""
    module, x = build(small()), batch()["source_image"]
    logits = module.generator.G_es(x).logits
    torch.testing.assert_close(module.recognise(x), logits[-1].softmax(1))
    assert not torch.allclose(logits[0].softmax(1), logits[-1].softmax(1))


def test_attention_is_given_level_by_level():
    module, x = build(small()), batch()["source_image"]
    own = module.generator.G_es(x).attention
    assert [alpha.shape[-1] for alpha in own][:4] == [16, 8, 4, 2]
    assert all(torch.equal(a, b) for a, b in zip(module.attention(x), own, strict=True))


def test_the_recognisers_are_shown_the_picture_that_their_label_is_of():
    module, data, seen = at(build(small()), "recognisers"), batch(), {}
    for name in ("R_i", "R_e"):
        getattr(module, name).register_forward_hook(
            lambda _, inputs, out, name=name: seen.update({name: inputs[0]})
        )
    run(module, data, epochs=1)
    assert torch.equal(seen["R_i"], data["target_image"]) and torch.equal(seen["R_e"], data["source_image"])


def test_what_chooses_the_best_checkpoint_compares_with_the_truth():
    """Of pairs of one person that is the source's picture; a face transferred onto itself is itself."""
    module, data, logged = build(small()), batch(), {}
    module.log = lambda name, value, **options: logged.update({name: value.item()})
    with torch.no_grad():
        module.validation_step(data, 0)
        x_s, x_t = data["source_image"], data["target_image"]
        same = data["source_identity"] == data["target_identity"]
        truth = (module.transfer(x_s[same], x_t[same]) - x_s[same]).abs().mean().item()
        itself = (module.transfer(x_t, x_t) - x_t).abs().mean().item()
    assert logged["val/truth_l1"] == pytest.approx(truth, rel=1e-4)
    assert logged["val/l1"] == pytest.approx(itself, rel=1e-4)


def test_adam_has_the_betas_of_a_gan_and_for_recognisers_its_own():
    """A21."""
    betas = [optimizer.defaults["betas"] for optimizer in build(small()).configure_optimizers()]
    assert betas == [(0.5, 0.999), (0.5, 0.999), (0.9, 0.999)]


def test_unknown_expressions_and_people_without_a_map_cost_nothing():
    module, data = at(build(small()), "encoders"), batch()
    losses = module._encoding(
        module.generator.G_es(data["source_image"]), module.generator.G_et(data["target_image"])[0], data
    )
    data["source_expression"][:] = 0  # neutral: none of the six (A8)
    data["target_identity_map"][2:] = -1  # black: nobody's neutral shape
    e, h = module.generator.G_es(data["source_image"]), module.generator.G_et(data["target_image"])[0]
    rest = module._encoding(e, h, data)
    drawn = module.generator.identity_map(h)
    assert rest["att"] == 0 and losses["att"] > 1
    assert rest["h"].item() == pytest.approx(
        F.mse_loss(drawn[:2], data["target_identity_map"][:2]).item(), rel=1e-5
    )
    data["target_identity_map"][:] = -1
    assert module._encoding(e, h, data)["h"] == 0


def test_the_truth_of_pairs_of_one_person_is_the_source():
    """A19; ``target`` is the formula as written."""
    data = batch()
    same = data["source_identity"] == data["target_identity"]
    x_bar = torch.zeros_like(data["source_image"])
    to_s, to_t = (data[f"{side}_image"].abs().mean((1, 2, 3)) for side in ("source", "target"))
    truth = build(small())._synthesis(x_bar, data)["irec"].item()
    written = build(small(irec_to="target"))._synthesis(x_bar, data)["irec"].item()
    assert truth == pytest.approx(torch.where(same, to_s, to_t).mean().item(), rel=1e-5)
    assert written == pytest.approx(to_t.mean().item(), rel=1e-5)


def test_feature_losses_compare_the_right_picture_through_the_right_network():
    """L_if with x_t through the recogniser of people, L_ef with x_s through that of expressions (3.2)."""
    module, data = build(small()), batch()
    x_s, x_t = data["source_image"], data["target_image"]
    assert module._synthesis(x_t, data)["if"] == 0 and module._synthesis(x_t, data)["ef"] > 0
    assert module._synthesis(x_s, data)["ef"] == 0 and module._synthesis(x_s, data)["if"] > 0
    by_hand = sum(
        (a - b).abs().mean() for a, b in zip(module.R_i.taps(x_s), module.R_i.taps(x_t), strict=True)
    )
    assert module._synthesis(x_s, data)["if"].item() == pytest.approx(by_hand.item(), rel=1e-5)
    scaled = build(small(exprgan_scale=True))
    scaled.load_state_dict(module.state_dict())
    by_hand = sum(
        (a - b).abs().mean() / (a.shape[2] * a.shape[3])
        for a, b in zip(module.R_i.taps(x_s), module.R_i.taps(x_t), strict=True)
    )
    assert scaled._synthesis(x_s, data)["if"].item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_the_discriminator_learns_which_pictures_are_real():
    module = at(steps.only(build(small(lr=2e-3)), 1), "joint")
    seen, before = recorded(module, "critic"), weights(module)
    run(module, batch(), epochs=1, batches=40)
    assert seen[-1] < 0.6 * seen[0]
    assert moved(before, module) == {"D"}
    data = batch()
    real = torch.cat([s.flatten() for s in module.D(data["target_image"])]).mean()
    fake = torch.cat(
        [s.flatten() for s in module.D(module.transfer(data["source_image"], data["target_image"]))]
    ).mean()
    assert real > fake


def test_the_discriminator_compares_the_target_with_the_synthesised_picture():
    """A20: neither of them is the source's."""
    module, data, seen = at(build(small()), "joint"), batch(), []
    module.D.register_forward_hook(lambda _, inputs, out: seen.append(inputs[0]))
    with torch.no_grad():
        made = module.generator(data["source_image"], data["target_image"])
    run(module, data, epochs=1, batches=1)
    assert torch.equal(seen[0], data["target_image"])
    assert torch.allclose(seen[1], made, atol=1e-5)


def test_users_get_the_moving_average_from_the_first_stage_on():
    module, data = build(small(ema_half_life=24, recogniser_epochs=0, w_if=0, w_ef=0)), batch()
    wanted, beta = {}, 0.5 ** (12 / 24)

    def follow(losses, rows, log=module.log_losses):
        for name, value in weights(module.generator).items():  # the first is taken as it is
            wanted[name] = beta * wanted.get(name, value) + (1 - beta) * value
        log(losses, rows)

    module.log_losses = follow
    run(module, data, epochs=3, batches=2)
    for name, value in module.generator_ema.module.named_parameters():
        torch.testing.assert_close(value.data, wanted[name], atol=1e-6, rtol=1e-5)
    own = module.generator(data["source_image"], data["target_image"])
    averaged = module.transfer(data["source_image"], data["target_image"])
    assert not torch.allclose(own, averaged)
    assert torch.equal(averaged, module.generator_ema.module(data["source_image"], data["target_image"]))


def test_rates_fall_over_the_second_half_of_stage_three():
    """A21."""
    module, seen = build(small(lr=1e-3)), []

    def note(losses, rows, log=module.log_losses):
        seen.append([optimizer.param_groups[0]["lr"] for optimizer in module.optimizers()[:2]])
        log(losses, rows)

    module.log_losses = note
    run(module, batch(), epochs=4, batches=4)
    assert seen[:15] == [[1e-3, 1e-3]] * 15
    assert seen[15] == pytest.approx([5e-4, 5e-4])


def test_the_recognisers_learn_people_and_expressions():
    module = at(build(small(lr_recogniser=2e-3)), "recognisers")
    who, what = recorded(module, "recogniser_identity"), recorded(module, "recogniser_expression")
    run(module, batch(), epochs=1, batches=40)
    assert who[-1] < 0.5 * who[0] and what[-1] < 0.8 * what[0]


def test_published_recognisers_are_frozen_and_need_no_place_to_be_used(tmp_path, monkeypatch):
    import facegan.nets.vgg_face as vgg

    monkeypatch.setattr(vgg, "STAGES", ((8, 2), (8, 2), (8, 3), (8, 3), (8, 3)))
    state = {k.removeprefix("convs."): v for k, v in vgg.VGGFace(None, 32).state_dict().items()}
    path = tmp_path / "vgg_face_dag.pth"
    torch.save(state, path)
    config = small(recogniser="published", identity_weights=str(path), expression_weights=str(path))
    assert config.stages["recognisers"] == 0
    module = at(build(config), "joint")
    before = weights(module)
    run(module, batch(), epochs=1, batches=2)
    assert not {"R_i", "R_e"} & moved(before, module) and len(module.trainer.optimizers) == 2
    path.unlink()
    used = AIPGAN.for_use(dict(module.hparams))
    used.load_state_dict({key: module.state_dict()[key] for key in used.state_dict()})
    data = batch()
    torch.testing.assert_close(
        used.transfer(data["source_image"], data["target_image"]),
        module.transfer(data["source_image"], data["target_image"]),
    )
    with pytest.raises(UserError, match="no VGG-Face weights"):
        build(config)


def test_table_1_sees_through_the_published_network_and_the_one_taught_from_it(tmp_path, monkeypatch):
    import facegan.nets.vgg_face as vgg

    monkeypatch.setattr(vgg, "STAGES", ((8, 2), (8, 2), (8, 3), (8, 3), (8, 3)))
    monkeypatch.setattr(vgg.VGGFace.__init__, "__defaults__", (vgg.PUBLISHED_PEOPLE, 224, 1 / 64, False))
    whole = vgg.VGGFace()
    path = tmp_path / "vgg_face_dag.pth"
    torch.save({k.removeprefix("convs."): v for k, v in whole.state_dict().items()}, path)
    config = small(recogniser="published", identity_weights=str(path), recogniser_size=32)
    module = at(build(config), "recognisers")
    run(module, batch(), epochs=1, batches=2)
    used = AIPGAN.for_use(dict(module.hparams))
    assert used.R_i is None and used.R_e is None
    used.take_recognisers(config, module.state_dict())
    images = batch()["source_image"]
    # of people: the published one with its linear layers; of expressions: as this training left it
    torch.testing.assert_close(used.R_i.embed(images), whole.embed(images))
    torch.testing.assert_close(used.R_e(images), module.R_e(images))
    assert (used.R_e.convs["conv1_1"].weight != whole.convs["conv1_1"].weight).any()
    assert not any(p.requires_grad for p in used.parameters())
    again = AIPGAN.for_use(dict(module.hparams))
    given = small(
        recogniser="published", identity_weights=str(path), expression_weights=str(tmp_path / "none.pth")
    )
    with pytest.raises(UserError, match=r"no VGG-Face weights at .*none\.pth"):
        again.take_recognisers(given, module.state_dict())
    assert again.R_i is None and again.R_e is None


def test_without_weights_for_l_ef_its_recogniser_is_to_be_trained_first():
    with pytest.raises(UserError, match=r"method\.recogniser_epochs=0.*L_ef"):
        AIPGANConfig(recogniser_epochs=0)
    assert AIPGANConfig(expression_weights="affectnet.pth", recogniser_epochs=0).stages["recognisers"] == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ceb", "sum"),
        ("merge", "mean"),
        ("pool_blocks", 8),
        ("bilinear", 0),
        ("recogniser_size", 16),
        ("w_h", -1),
    ],
)
def test_values_out_of_range_are_named(key, value):
    with pytest.raises(UserError, match=f"method.{key}"):
        AIPGANConfig(**{key: value})


def test_bfloat16_trains_every_stage_to_finite_losses():
    module = build(small())
    seen = []
    log = module.log_losses
    module.log_losses = lambda losses, rows: seen.extend(losses.values()) or log(losses, rows)
    run(module, batch(), epochs=4, batches=2, precision="bf16-mixed")
    assert len(seen) > 20 and all(torch.isfinite(value) for value in seen)
