import math

import pytest
import torch
import torch.nn.functional as F
from small_icface import batch, build, joint, small
from steps import moved, recorded, run, weights

from facegan.config import UserError
from facegan.methods.icface import ICface
from facegan.methods.icface_config import ICfaceConfig
from facegan.nets.lightcnn import LightCNN29v2


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


def test_the_rate_s_batches_are_counted_from_the_end_of_the_recogniser_s():
    module = build(small(recogniser_epochs=1, step_at=2, lr=4e-4))
    rates, log = [], module.log_losses

    def noted(losses, rows):
        rates.append(module.optimizers()[0].param_groups[0]["lr"])
        log(losses, rows)

    module.log_losses = noted
    run(module, batch(), epochs=2, batches=3)
    assert rates[3:] == pytest.approx([4e-4, 4e-4, 4e-5])


def test_users_get_the_average():
    module, data = joint(build(small(w_identity=0, lr=2e-3, optimizer="adam", ema_half_life=400))), batch()
    run(module, data, epochs=1, batches=4)
    module.eval()
    x, pose, au = data["source_image"], data["target_pose"], data["target_au"]
    fa, fa_n = module.attributes(pose, au), module.neutral_attributes(4)
    average: torch.nn.Module = module.reenactor_ema.module
    with torch.no_grad():
        torch.testing.assert_close(module.reenact(x, pose, au), average(x, fa, fa_n))
        torch.testing.assert_close(module.neutralise(x), average.G_N(x, fa_n))
        assert F.l1_loss(module.reenact(x, pose, au), module.reenactor(x, fa, fa_n)) > 1e-4


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
    assert "C" not in moved(before, module) and all(p.grad is None for p in module.C.parameters())
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


def test_validation_drives_by_the_frame_and_not_by_the_source():
    """It chooses the best checkpoint."""
    module, data, logged = build(small(w_identity=0)), batch(), {}

    def perfect(images, pose, au):
        asked = torch.equal(pose, data["target_pose"]) and torch.equal(au, data["target_au"])
        return data["target_image"] if asked and torch.equal(images, data["source_image"]) else images * 0

    module.reenact = perfect
    module.estimate = lambda images: (data["target_pose"] + 0.1, data["target_au"] + 0.5)
    module.log_dict = lambda values, **options: logged.update(values)
    module.validation_step(data, 0)
    assert logged["val/l1"] == 0 < logged["val/copy_l1"]
    assert logged["val/pose_error_own"].item() == pytest.approx(math.degrees(0.1), rel=1e-4)
    assert logged["val/au_error_own"].item() == pytest.approx(0.5, rel=1e-4)


def test_the_average_s_statistics_are_of_sources_with_their_drivers_attributes():
    module, data, given = joint(build(small(w_identity=0, ema_half_life=400))), batch(), []
    average = module.reenactor_ema.module
    average.register_forward_pre_hook(lambda _, inputs: given.append(inputs))
    run(module, data, epochs=1, batches=1)
    fa_d = module.attributes(data["target_pose"], data["target_au"])
    ((source, driver, neutral),) = given
    assert torch.equal(source, data["source_image"]) and torch.equal(driver, fa_d)
    assert torch.equal(neutral, module.neutral_attributes(4))
