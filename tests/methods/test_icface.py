import math

import pytest
import steps
import torch
import torch.nn.functional as F
from steps import moved, recorded, run, weights

from facegan.config import UserError
from facegan.methods.icface import ICface
from facegan.methods.icface_config import ICfaceConfig
from facegan.nets.lightcnn import LightCNN29v2, to_grey

SMALL = {
    "generator_width": 8, "generator_blocks": 1, "critic_width": 8, "recogniser": "trained", "recogniser_width": 1 / 16,
    "recogniser_epochs": 1, "epochs": 1, "dropout": 0.0, "ema_half_life": 0,
}  # fmt: skip
WEIGHTS = [key for key in ICfaceConfig.__dataclass_fields__ if key.startswith("w_")]
OFF = dict.fromkeys(WEIGHTS, 0.0)


def small(**changes) -> ICfaceConfig:
    return ICfaceConfig(**{**SMALL, **changes})


def batch(n: int = 4) -> dict[str, torch.Tensor]:
    """A person is a colour, the yaw a bright column, the first AU a bright row."""
    g = torch.Generator().manual_seed(0)
    looks = torch.rand(3, 3, 1, 1, generator=g) - 0.5
    data: dict[str, torch.Tensor] = {}
    for side in ("source", "target"):
        image = looks[torch.arange(n) % 3].expand(-1, -1, 64, 64).clone()
        pose, au = torch.zeros(n, 3), torch.zeros(n, 17)
        pose[:, 1] = (torch.rand(n, generator=g) - 0.5) * 1.2
        au[:, 0] = torch.rand(n, generator=g) * 5
        for row in range(n):
            column = int(32 + 40 * pose[row, 1])
            image[row, :, :, column - 3 : column + 3] = 1
            image[row, :, int(8 + 8 * au[row, 0]) :][:, :6] = -1
        data |= {
            f"{side}_image": image, f"{side}_pose": pose, f"{side}_au": au, f"{side}_identity": torch.arange(n) % 3,
        }  # fmt: skip
    return data | {"au": data["source_au"]}


def build(config: ICfaceConfig) -> ICface:
    torch.manual_seed(0)
    return ICface(config, size=64, identities=3, batch_size=4)


def joint(module: ICface) -> ICface:
    """Past the recogniser's stage."""
    module.config.recogniser_epochs = 0
    return module


def test_defaults_are_the_released_ones():
    c = ICfaceConfig()
    assert (c.generator_width, c.generator_blocks, c.generator_norm, c.dropout) == (128, 6, "batch", 0.5)
    assert (c.w_fa, c.w_identity, c.w_reconstruction) == (10, 1, 10)
    assert (c.optimizer, c.lr, c.lr_critic, c.alpha) == ("rmsprop", 2e-4, 2e-4, 0.99)
    assert c.pose_range == [0.70] * 3 and c.neutralizer and c.update == "joint"


def test_attributes_are_scaled_to_0_to_1_and_back():
    module = build(small(w_identity=0))
    pose, au = torch.tensor([[0.0, 0.7, -0.35], [-0.7, 2.0, 0.0]]), torch.zeros(2, 17)
    au[0, 3] = 5
    fa = module.attributes(pose, au)
    torch.testing.assert_close(fa[:, :3], torch.tensor([[0.5, 1.0, 0.25], [0.0, 1.0, 0.5]]))
    assert fa[0, 6] == 1 and fa[:, 3:].sum() == 1
    back = module.from_attributes(fa)
    torch.testing.assert_close(back[0][0], pose[0])
    torch.testing.assert_close(back[1], au)
    neutral = module.neutral_attributes(2)
    assert (neutral[:, :3] == 0.5).all() and (neutral[:, 3:] == 0).all()
    assert torch.equal(ICface.for_use(module.hparams).pose_range, module.pose_range), (
        "a checkpoint has it in its config"
    )
    assert "pose_range" not in module.state_dict(), "and gives it to no other training"


def test_a_range_of_whole_radians_is_a_number_like_others():
    module = build(small(w_identity=0, pose_range=1))
    pose, au = torch.tensor([[0.3, -0.4, 0.2]]), torch.full((1, 17), 2.7)
    fa = module.attributes(pose, au)
    torch.testing.assert_close(fa[:, :3], torch.tensor([[0.65, 0.3, 0.6]]))
    torch.testing.assert_close(fa[:, 3:], torch.full((1, 17), 0.54))


def test_each_angle_may_have_its_own_range():
    module = build(small(w_identity=0, pose_range=[0.4, 0.5, 0.2]))
    pose, au = torch.tensor([[0.4, -0.25, 0.1], [-0.8, 0.0, -0.2]]), torch.zeros(2, 17)
    fa = module.attributes(pose, au)
    torch.testing.assert_close(fa[:, :3], torch.tensor([[1.0, 0.25, 0.75], [0.0, 0.5, 0.0]]))
    torch.testing.assert_close(module.from_attributes(fa)[0][0], pose[0])
    assert (module.neutral_attributes(2)[:, :3] == 0.5).all()


def test_lightcnn_first_then_both_generators_and_d():
    module, seen = build(small()), []
    before = weights(module)

    def compare(losses, rows, log=module.log_losses):
        nonlocal before
        seen.append(moved(before, module, 2))
        before = weights(module)
        log(losses, rows)

    module.log_losses = compare
    run(module, batch(), epochs=2, batches=2)
    for changed in seen[:2]:
        assert {name.split(".")[0] for name in changed} == {"C", "people"}
    for changed in seen[2:]:
        assert changed == {"reenactor.G_N", "reenactor.G_A", "D.trunk", "D.realness", "D.attributes"}


def test_supervised_epochs_teach_what_needs_no_adversary():
    """I17: G_A's L1 and C_2's error on real frames fall, C_1 rests, and G_N is where eq. 4's second term is 0."""
    module = build(small(w_identity=0, epochs=0, supervised_epochs=1, lr=1e-3, lr_critic=1e-3))
    l1, fa, before = recorded(module, "reconstruction"), recorded(module, "d_fa"), weights(module)
    run(module, batch(), epochs=1, batches=40)
    assert moved(before, module, 2) == {"reenactor.G_N", "reenactor.G_A", "D.trunk", "D.attributes"}
    assert l1[-1] < 0.6 * l1[0] and fa[-1] < 0.7 * fa[0]
    source, fa_n = batch()["source_image"], module.neutral_attributes(4)
    neutral = module.reenactor.eval().neutral(source, fa_n)
    assert module._to_pseudo_truth(neutral, source, fa_n) == 0


def test_the_adversaries_meet_after_the_supervised_epochs():
    module, seen = build(small(w_identity=0, supervised_epochs=1)), []
    log = module.log_losses
    module.log_losses = lambda losses, rows: (seen.append("adv" in losses), log(losses, rows))
    run(module, batch(), epochs=2, batches=2)
    assert seen == [False, False, True, True]


def test_the_direct_term_keeps_the_animator_at_work_on_sources_themselves():
    """I17; where there is no neutraliser it would be the first term of eq. 4 a second time."""
    module = joint(steps.only(build(small(**{**OFF, "w_direct": 100.0, "lr": 1e-3})), 0))
    l1 = recorded(module, "direct")
    run(module, batch(), epochs=1, batches=40)
    assert l1[-1] < 0.7 * l1[0], (l1[0], l1[-1])
    data = batch()
    source, x, fa = data["source_image"], data["target_image"], module.neutral_attributes(4)
    found = module._direct(source, x, fa)["direct"]
    assert found == (module.reenactor.G_A(source, fa) - x).abs().mean()
    assert build(small(w_identity=0, w_direct=1.0, neutralizer=False))._direct(source, x, fa) == {}


@pytest.mark.parametrize("update", ["joint", "alternating"])
@pytest.mark.parametrize("name", ["adv", "fa", "reconstruction", "identity"])
def test_each_loss_alone_lowers_itself_for_both_generators(name, update):
    alone = {} if name == "adv" else {f"w_{name}": 100.0}  # eq. 1 is always there
    config = small(
        **{**OFF, "w_identity": 1e-9, **alone, "lr": 3e-4, "update": update, "generator_norm": "instance"}
    )
    module = joint(steps.only(build(config), 0))
    animated, neutral = recorded(module, name), recorded(module, f"{name}_n")
    before = weights(module)
    run(module, batch(), epochs=1, batches=40)
    assert animated[-1] < 0.95 * animated[0], (animated[0], animated[-1])
    assert min(neutral[-5:]) < 0.95 * max(neutral[:5]), neutral
    assert moved(before, module, 2) == {"reenactor.G_N", "reenactor.G_A"}


@pytest.mark.parametrize("update", ["joint", "alternating"])
def test_eq_5_adds_up_both_generators_terms_against_their_own_attributes(update, monkeypatch):
    """From D's answers and the pictures by hand: eq. 1 on logits, eq. 2 with FA_D and FA_N, eq. 4, the weights."""
    module = joint(build(small(w_identity=0, w_fa=3.0, w_reconstruction=7.0, update=update)))
    data, totals, judged = batch(), [], []
    monkeypatch.setattr(module, "take_step", lambda optimizer, loss: totals.append(loss.item()))
    module.D.register_forward_hook(lambda _, inputs, out: judged.append((inputs[0], *out)))
    run(module, data, epochs=1, batches=1)

    fa_d = module.attributes(data["target_pose"], data["target_au"])
    fa_n = torch.tensor([0.5] * 3 + [0.0] * 17).expand(4, -1)

    def log_term(logits: torch.Tensor, real: bool) -> float:
        return -torch.log(torch.sigmoid(logits if real else -logits)).mean().item()

    def squares(attributes: torch.Tensor, wanted: torch.Tensor) -> float:
        return (attributes - wanted).square().sum(1).mean().item()

    (x, *of_x), (_, fake_a, _), (_, fake_n, _), *of_generators = judged
    assert torch.equal(x, data["target_image"]) and len(of_generators) == 2
    d = 2 * log_term(of_x[0], True) + log_term(fake_a, False) + log_term(fake_n, False)
    assert totals[0] == pytest.approx(d + 3 * squares(of_x[1], fa_d), rel=1e-5)

    (animated, *of_a), (neutral, *of_n) = of_generators
    g_a = log_term(of_a[0], True) + 3 * squares(of_a[1], fa_d) + 7 * F.l1_loss(animated, x).item()
    module.reenactor.G_A.eval()
    truth = module.reenactor.G_A(data["source_image"], fa_n)
    far = F.l1_loss(neutral, truth).item()
    g_n = log_term(of_n[0], True) + 3 * squares(of_n[1], fa_n) + 7 * far
    wanted = [g_a + g_n] if update == "joint" else [g_a, g_n]
    assert totals[1:] == pytest.approx(wanted, rel=1e-4)


def test_joint_lets_the_animator_teach_the_neutraliser_and_alternating_does_not():
    """I8: G_A's losses reach G_N through the neutral face in one graph."""
    for update, reached in (("joint", True), ("alternating", False)):
        module = joint(steps.only(build(small(**{**OFF, "update": update, "w_reconstruction": 1.0})), 0))
        module._neutraliser_losses = lambda neutral, features, source, fa: {
            "reconstruction_n": neutral.sum() * 0
        }
        before = weights(module)
        run(module, batch(), epochs=1, batches=2)
        drift = max((p - before[n]).abs().max() for n, p in module.named_parameters() if "G_N" in n)
        assert (drift > 1e-6) == reached, update


def test_d_learns_what_is_real_and_regresses_real_pictures_alone():
    """Eq. 1, 2; I6."""
    module = joint(steps.only(build(small(lr=5e-4)), 1))
    d, fa, before = recorded(module, "d"), recorded(module, "d_fa"), weights(module)
    run(module, batch(), epochs=1, batches=30)
    assert d[-1] < 0.7 * d[0] and fa[-1] < 0.7 * fa[0]
    assert {name.split(".")[0] for name in moved(before, module)} == {"D"}


def test_signs_of_the_log_terms():
    """Sure that a picture is real: costs D nothing on real ones, G nothing; a fool of D, both much."""
    from facegan.methods.icface import _bce

    sure = torch.full((2, 1, 3, 3), 20.0)
    assert _bce(sure, 1) < 1e-6 and _bce(sure, 0) > 19 and _bce(-sure, 0) < 1e-6
    p = torch.tensor([[0.3]])
    assert _bce(p, 1).item() == pytest.approx(-math.log(torch.sigmoid(p).item()), rel=1e-5)


def test_attribute_loss_is_a_sum_over_the_twenty():
    from facegan.methods.icface import _squares

    a, b = torch.zeros(3, 20), torch.full((3, 20), 0.5)
    assert _squares(a, b).item() == pytest.approx(20 * 0.25)


def test_identity_compares_the_pooled_map_and_the_features():
    module = build(small())
    a, b = torch.rand(2, 2, 3, 64, 64) * 2 - 1
    maps = []
    module.C.fc.register_forward_hook(lambda m, inputs, out: maps.append((inputs[0], out)))
    found = module._identity(module._features(a), b)
    (pooled_a, fc_a), (pooled_b, fc_b) = maps
    by_hand = (pooled_a - pooled_b).abs().mean() + (fc_a - fc_b).abs().mean()
    assert found.item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert module._identity(module._features(a), a) == 0 and module.C(to_grey(a)).shape == (2, 256)


@pytest.mark.parametrize("of", ["source", "driver"])
def test_the_animated_face_has_the_features_of_the_source_or_of_the_frame(of, monkeypatch):
    """I18; the neutral face has the source's either way."""
    module, data, asked = joint(build(small(identity_of=of))), batch(), []
    monkeypatch.setattr(module, "_features", lambda images: [images])
    monkeypatch.setattr(
        module, "_identity", lambda wanted, generated: asked.append(wanted[0]) or generated.sum() * 0
    )
    run(module, data, epochs=1, batches=1)
    for wanted, name in zip(
        asked, (f"{'target' if of == 'driver' else 'source'}_image", "source_image"), strict=True
    ):
        assert torch.equal(wanted, data[name])


def test_r1_is_the_squared_gradient_of_the_mean_realness():
    module = build(small(w_r1=1.0))
    x = batch()["target_image"]
    eps, base = 1e-2, module._r1(x).item()
    module.double()
    x = x.double().requires_grad_()
    (gradient,) = torch.autograd.grad(module.D(x)[0].mean((1, 2, 3)).sum(), x)
    assert base == pytest.approx(gradient.square().sum((1, 2, 3)).mean().item(), rel=1e-3)
    step = eps * gradient / gradient.norm()
    slope = (module.D(x + step)[0].mean((1, 2, 3)).sum() - module.D(x - step)[0].mean((1, 2, 3)).sum()) / (
        2 * eps
    )
    assert slope.item() == pytest.approx(gradient.norm().item(), rel=1e-2)


def test_without_a_neutraliser_the_animator_works_on_the_source():
    """Table 2's ablation."""
    module = joint(build(small(neutralizer=False)))
    before = weights(module)
    run(module, batch(), epochs=1, batches=2)
    assert "reenactor.G_N" not in moved(before, module, 2)
    x = batch()["source_image"]
    assert torch.equal(module.neutralise(x), x)


@pytest.mark.parametrize(
    ("optimizer", "kind"), [("rmsprop", torch.optim.RMSprop), ("adam", torch.optim.Adam)]
)
def test_rates_of_generators_and_critic_fall_to_a_tenth(optimizer, kind):
    module = joint(build(small(step_at=3, lr=4e-4, optimizer=optimizer)))
    rates = []
    log = module.log_losses

    def noted(losses, rows):
        both = [o.optimizer if hasattr(o, "optimizer") else o for o in module.optimizers()[:2]]
        assert all(isinstance(o, kind) for o in both)
        rates.append([o.param_groups[0]["lr"] for o in both])
        log(losses, rows)

    module.log_losses = noted
    run(module, batch(), epochs=1, batches=5)
    assert rates == [pytest.approx(r) for r in [[4e-4, 2e-4]] * 3 + [[4e-5, 2e-5]] * 2]


def test_the_average_has_statistics_of_its_own():
    """The trained networks' BatchNorm statistics, or averages of them, are not those of averaged weights."""
    module, data = joint(build(small(w_identity=0, lr=2e-3, optimizer="adam", ema_half_life=400))), batch()
    run(module, data, epochs=1, batches=200)
    average = module.reenactor_ema.module
    fa, fa_n = module.attributes(data["target_pose"], data["target_au"]), module.neutral_attributes(4)
    with torch.no_grad():
        used = average(data["source_image"], fa, fa_n)
        for part in average.modules():
            part.train(isinstance(part, torch.nn.BatchNorm2d))
        wanted = average(data["source_image"], fa, fa_n)
        average.eval()
        own = {name: b for name, b in average.named_buffers() if name.endswith("running_mean")}
        for name, live in module.reenactor.named_buffers():
            if name in own:
                own[name].copy_(live)
        with_live = average(data["source_image"], fa, fa_n)
    assert F.l1_loss(used, wanted) < 0.5 * F.l1_loss(with_live, wanted)


def test_dropout_draws_by_the_number_of_the_batch():
    """A run that is resumed draws what the whole run drew."""
    results = []
    for noise in (1, 2):
        module = joint(build(small(dropout=0.5)))
        seen = recorded(module, "adv")
        torch.manual_seed(noise)
        run(module, batch(), epochs=1, batches=3)
        results.append(seen)
    assert results[0] == results[1]


def test_published_lightcnn_is_frozen_and_not_needed_in_use(tmp_path, monkeypatch):
    import facegan.nets.lightcnn as lightcnn

    whole = LightCNN29v2.__init__
    monkeypatch.setattr(LightCNN29v2, "__init__", lambda self, width=1.0: whole(self, 1 / 16))
    path = tmp_path / "LightCNN_29Layers_V2_checkpoint.pth.tar"
    torch.save(
        {"state_dict": {f"module.{k}": v for k, v in lightcnn.LightCNN29v2().state_dict().items()}}, path
    )
    config = small(recogniser="published", identity_weights=str(path), recogniser_epochs=0)
    module = build(config)
    before = weights(module)
    run(module, batch(), epochs=1, batches=2)
    assert "C" not in moved(before, module)
    path.unlink()
    used = ICface.for_use(dict(module.hparams))
    used.load_state_dict({key: module.state_dict()[key] for key in used.state_dict()})
    module.eval(), used.eval()
    data = batch()
    args = (data["source_image"], data["target_pose"], data["target_au"])
    torch.testing.assert_close(used.reenact(*args), module.reenact(*args))
    with pytest.raises(UserError, match="LightCNN-29v2: looked for"):
        build(config)


def test_learns_to_reenact_a_few_faces():
    """Overfit: nearer to the driven frame than the source is."""
    adam = {"optimizer": "adam", "lr": 1e-3, "lr_critic": 5e-4}
    module, data = build(small(w_fa=1.0, w_identity=0.0, generator_norm="instance", **adam)), batch()
    run(module, data, epochs=1, batches=220)
    module.eval()
    result = module.reenact(data["source_image"], data["target_pose"], data["target_au"])
    copy = F.l1_loss(data["source_image"], data["target_image"])
    assert F.l1_loss(result, data["target_image"]) < 0.4 * copy


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("update", "both"),
        ("critic", "big"),
        ("pose_range", 0),
        ("pose_range", [0.4, 0.5]),
        ("pose_range", [0.4, 0.5, -1]),
        ("pose_range", "wide"),
        ("pose_range", True),
        ("dropout", 1),
        ("generator_norm", "layer"),
        ("optimizer", "sgd"),
    ],
)
def test_values_out_of_range_are_named(key, value):
    with pytest.raises(UserError, match=f"method.{key}"):
        ICfaceConfig(**{key: value})


def test_pictures_without_aus_are_refused():
    data = batch()
    data["au"] = torch.full_like(data["au"], torch.nan)
    with pytest.raises(UserError, match=r"data\.needs_au=true"):
        run(build(small()), data, epochs=1)


def test_the_pseudo_truth_knows_its_attributes():
    """All of its batch has the same ones, which BatchNorm would take for nothing (eq. 4, I7)."""
    module = build(small(w_identity=0))
    data = batch()
    fa_d = module.attributes(data["target_pose"], data["target_au"])
    with torch.no_grad():
        for _ in range(60):  # running statistics of batches with different attributes
            module.reenactor.G_A(data["source_image"], fa_d)
    neutral = torch.zeros_like(data["source_image"])
    found = [
        module._neutraliser_losses(neutral, [], data["source_image"], torch.full((4, 20), value))[
            "reconstruction_n"
        ]
        for value in (0.0, 1.0)
    ]
    assert abs(found[0] - found[1]) > 1e-4 and module.reenactor.G_A.training
