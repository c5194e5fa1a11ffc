import math

import pytest
import steps
import torch
import torch.nn.functional as F
from small_icface import OFF, batch, build, joint, small
from steps import moved, recorded, run, weights

from facegan.nets.lightcnn import to_grey


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


@pytest.mark.parametrize("stage", ["joint", "supervised"])
def test_each_step_adds_up_its_terms_with_their_weights(stage):
    weigh = {"w_fa": 3.0, "w_identity": 5.0, "w_reconstruction": 7.0, "w_direct": 11.0, "w_r1": 13.0}
    epochs = {"epochs": 1} if stage == "joint" else {"epochs": 0, "supervised_epochs": 1}
    module = joint(build(small(**weigh, **epochs)))
    given, losses = steps.totals(module)
    run(module, batch(), epochs=1, batches=1)
    if stage == "supervised":
        assert given == pytest.approx([3 * losses["d_fa"], 7 * losses["reconstruction"]], rel=1e-5)
        return
    d = losses["d"] + 3 * losses["d_fa"] + 13 * losses["r1"]
    g = sum(
        weight * losses[name + of]
        for name, weight in (("adv", 1), ("fa", 3), ("identity", 5), ("reconstruction", 7))
        for of in ("", "_n")
    )
    assert losses["r1"] > 0 and given == pytest.approx([d, g + 11 * losses["direct"]], rel=1e-4)


@pytest.mark.parametrize("seen", ["source", "neutral"])
def test_the_pseudo_truth_is_made_of_the_source_or_of_the_neutral_face_and_learns_nothing(seen):
    """I7."""
    module = build(small(w_identity=0, pseudo_truth=seen))
    data, fa_n = batch(), module.neutral_attributes(4)
    faces = {"source": data["source_image"], "neutral": data["target_image"].clone().requires_grad_()}
    found = module._to_pseudo_truth(faces["neutral"], faces["source"], fa_n)
    G_A = module.reenactor.G_A
    assert G_A.training, "it goes on learning"
    with torch.no_grad():
        truth = G_A.eval()(faces[seen], fa_n)
    assert found.item() == pytest.approx((faces["neutral"] - truth).abs().mean().item(), rel=1e-5)
    found.backward()
    assert faces["neutral"].grad is not None and all(p.grad is None for p in G_A.parameters())
