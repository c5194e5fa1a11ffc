import pytest
import steps
import torch
import torch.nn.functional as F
from small_tergan import FAKE, SIX, WEIGHTS, batch, build, small
from steps import moved, recorded, run, weights


@pytest.mark.parametrize(
    "place, loss", [(0, "g_if"), (1, "g_ef"), (2, "g_irec"), (3, "g_erec")], ids=lambda x: str(x)
)
def test_the_polish_has_weights_of_its_own(place, loss):
    off: dict = dict.fromkeys(WEIGHTS, 0.0) | {"lr": 2e-3, "ema_half_life": 0}
    weights = tuple(1.0 if k == place else 0.0 for k in range(4))
    module = build(small(epochs=0, polish_epochs=1, polish_weights=weights, **off))
    seen = recorded(module, loss)
    run(module, batch(), epochs=1, batches=25)
    assert seen[-1] < 0.9 * seen[0]


@pytest.mark.parametrize(
    ("weight", "loss"),
    [("w_if", "g_if"), ("w_ef", "g_ef"), ("w_irec", "g_irec"), ("w_erec", "g_erec"), ("w_adv", "g_adv")],
)
def test_each_loss_alone_lowers_itself_and_moves_the_whole_generator(weight, loss):
    """The terms of eq. 10 that G minimises have the right sign."""
    off = dict.fromkeys(WEIGHTS, 0.0)
    module = steps.only(build(small(**{**off, weight: 1.0, "lr": 5e-4, "ema_half_life": 0})), 0)
    seen, before = recorded(module, loss), weights(module)
    run(module, batch(), epochs=1, batches=70)  # InstanceNorm makes much of the first grey pictures
    assert seen[-1] < seen[0] - 0.03, f"{loss} went from {seen[0]} to {seen[-1]}"
    changed = moved(before, module, 2)
    assert {"generator.G_es", "generator.G_et", "generator.G_de"} <= changed
    assert not [name for name in changed if name.startswith(("D.", "pretrained"))], "D and h rest"


@pytest.mark.parametrize(
    ("weight", "loss", "critic", "encoder"),
    [("w_des", "d_es", "D_es", "G_es"), ("w_det", "d_et", "D_et", "G_et")],
)
def test_consistency_moves_one_encoder_and_its_critic_never_the_decoder(weight, loss, critic, encoder):
    """Eq. 4, 5: min over the encoder, max over its critic, on a picture that is not traced back (T10)."""
    module = build(small(**{**dict.fromkeys(WEIGHTS, 0.0), weight: 1.0, "ema_half_life": 0}))
    before = weights(module)
    run(steps.only(module, 0), batch(), epochs=1, batches=2)
    assert moved(before, module, 2) == {f"{critic}.layers", f"generator.{encoder}", "generator.recogniser"}


@pytest.mark.parametrize(("critic", "encoder"), [("D_es", "G_es"), ("D_et", "G_et")])
def test_the_critic_lowers_the_consistency_loss_and_the_encoder_raises_it(critic, encoder):
    name, weight = critic.lower(), f"w_{critic.lower().replace('_', '')}"
    results = {}
    for who in ("critic", "encoder"):
        module = build(small(**{**dict.fromkeys(WEIGHTS, 0.0), weight: 1.0, "lr": 2e-3, "ema_half_life": 0}))
        frozen = getattr(module.generator, encoder) if who == "critic" else getattr(module, critic)
        fixed = {id(p) for p in frozen.parameters()}
        make = module.configure_optimizers

        def configure(make=make, fixed=fixed):
            optimizers = make()
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["params"] = [p for p in group["params"] if id(p) not in fixed]
            return optimizers

        module.configure_optimizers = configure
        seen = recorded(module, name)
        run(steps.only(module, 0), batch(), epochs=1, batches=30)
        results[who] = seen[-1] - seen[0]
    assert results["critic"] < -1e-3 < 1e-4 < results["encoder"], results


def test_the_discriminator_learns_expressions_people_and_fakes():
    """Eq. 1: all three terms go down when D alone learns."""
    module = steps.only(build(small(lr=2e-3)), 1)
    seen = {name: recorded(module, name) for name in ("d_real", "d_identity", "d_fake")}
    before = weights(module)
    run(module, batch(), epochs=1, batches=80)
    for name, values in seen.items():
        assert values[-1] < 0.7 * values[0], name
    assert moved(before, module) <= {"D", "generator_ema"}


def test_eq_4_is_low_where_the_critic_tells_real_codes_from_fakes():
    real, fake = torch.full((4, 1), 5.0), torch.full((4, 1), -5.0)
    for codes, low in (((real, fake), True), ((fake, real), False), ((real, real), False)):
        loss, right = build(small())._consistency(lambda seen, strength: seen, *codes)
        assert loss < 0.02 if low else loss > 4
        assert (right == 1) == low


class Tells(torch.nn.Module):
    """A discriminator that is right of each picture in what eq. 1 asks of it, and wrong in the rest."""

    def __init__(self, data):
        super().__init__()
        self.data, self.bias = data, torch.nn.Parameter(torch.zeros(()))

    def forward(self, images):
        right = torch.tensor([SIX.index(e) for e in self.data["source_expression"].tolist()])
        expression, person = torch.full_like(right, FAKE), (self.data["target_identity"] + 1) % 3
        if torch.equal(images, self.data["source_image"]):
            expression = right
        if torch.equal(images, self.data["target_image"]):
            expression, person = (right + 1) % 6, self.data["target_identity"]
        return F.one_hot(expression, 7) * 20.0 + self.bias, F.one_hot(person, 3) * 20.0 + self.bias


def test_eq_1_reads_the_expression_off_the_source_and_the_person_off_the_target():
    data, module = batch(), build(small())
    module.D = Tells(data)
    seen = [recorded(module, name) for name in ("d_real", "d_identity", "d_fake")]
    run(module, data, epochs=1)
    assert all(values[0] < 1e-3 for values in seen)


@pytest.mark.parametrize("stage", [{"epochs": 1}, {"epochs": 0, "decoder_epochs": 1}], ids=str)
def test_eq_10_adds_up_with_the_weight_of_each(stage):
    wanted = {
        "w_if": 2.0,
        "w_ef": 3.0,
        "w_irec": 5.0,
        "w_erec": 7.0,
        "w_det": 11.0,
        "w_des": 13.0,
        "w_adv": 17.0,
    }
    names = ["g_if", "g_ef", "g_irec", "g_erec", "d_et", "d_es", "g_adv"]
    module = build(small(**{**stage, **wanted}))
    given, seen = steps.totals(module)
    run(module, batch(), epochs=1)
    by_hand = sum(w * seen.get(name, 0.0) for name, w in zip(names, wanted.values(), strict=True))
    assert given[-1] == pytest.approx(by_hand + seen.get("recogniser", 0.0), rel=1e-4)


@pytest.mark.parametrize("fake_head", ["expression", "separate"])
def test_what_d_calls_fake_g_must_not_be(fake_head):
    """Logits that say "real and of this expression" cost G nothing, "fake" costs much; for D it is the other way."""
    module = build(small(fake_head=fake_head))
    real = torch.full((2, 7), -20.0)
    real[:, 2], real[:, 6] = 20, -20
    fake = torch.full((2, 7), -20.0)
    fake[:, 6] = 20
    wanted = torch.tensor([2, 2])
    assert module._as_real(real, wanted) < 1e-6 and module._as_real(fake, wanted) > 10
    assert module._as_fake(fake) < 1e-6 and module._as_fake(real) > 10


def test_reconstructions_hold_for_the_pairs_that_they_are_true_of():
    """T11: by default eq. 7 counts pairs of one person, eq. 6 all; over the whole batch."""
    data = batch()
    same = data["source_identity"] == data["target_identity"]
    assert same.sum() == 6
    got = {}
    for erec_on, irec_on in (("same_identity", "all"), ("all", "cross_identity")):
        module = build(small(erec_on=erec_on, irec_on=irec_on))
        x_bar = module.generator(data["source_image"], data["target_image"])
        to_s = (x_bar - data["source_image"]).abs().mean((1, 2, 3))
        to_t = (x_bar - data["target_image"]).abs().mean((1, 2, 3))
        erec, irec = recorded(module, "g_erec"), recorded(module, "g_irec")
        run(module, data, epochs=1)
        got[erec_on] = erec[0], to_s
        got[irec_on] = irec[0], to_t
        assert erec[0] == pytest.approx((to_s * (same if erec_on != "all" else 1)).mean().item(), rel=1e-5)
        assert irec[0] == pytest.approx((to_t * (~same if irec_on != "all" else 1)).mean().item(), rel=1e-5)


def test_feature_losses_are_weighted_means_of_the_layers():
    """Eq. 8, 9 by hand."""
    module, data = build(small()), batch()
    x, y, network = data["source_image"], data["target_image"], module.pretrained.G_es
    by_hand, a, b = 0.0, x, y
    for weight, block in zip((0.5, 0.6, 0.7, 0.88, 0.99), network.blocks, strict=True):
        a, b = block(a), block(b)
        by_hand += weight * (a - b).abs().mean().item()
        a, b = F.avg_pool2d(a, 2, ceil_mode=True), F.avg_pool2d(b, 2, ceil_mode=True)
    assert module._feature_distance(network, x, y).item() == pytest.approx(by_hand, rel=1e-5)


class Says(torch.nn.Module):
    """A discriminator that is sure of these classes, whatever it sees."""

    def __init__(self, expression, identity):
        super().__init__()
        self.logits = torch.nn.ParameterList(
            [F.one_hot(expression, 7).float() * 20, F.one_hot(identity, 3).float() * 20]
        )

    def forward(self, images):
        return self.logits[0], self.logits[1]


@pytest.mark.parametrize(
    ("expression", "person", "wanted"),
    [
        (lambda right: right, "target", True),
        (lambda right: (right + 1) % 6, "target", False),
        (lambda right: torch.full_like(right, FAKE), "target", False),
        (lambda right: right, "source", False),  # T5: not x_s's person, as the formula is printed
    ],
)
def test_eq_2_asks_for_the_source_s_expression_and_the_target_s_person(expression, person, wanted):
    data, module = batch(), build(small())
    right = torch.tensor([SIX.index(e) for e in data["source_expression"].tolist()])
    module.D = Says(expression(right), data[f"{person}_identity"])
    seen = recorded(module, "g_adv")
    run(module, data, epochs=1)
    assert seen[0] < 0.01 if wanted else seen[0] > 5  # half of the pairs are of two people


def test_features_are_stage_one_s_of_the_right_picture():
    """Eq. 8 compares with x_s through h_1, eq. 9 with x_t through h_2; the encoders in training have no part."""
    data, module = batch(), build(small())
    x_s, x_t = data["source_image"], data["target_image"]
    with torch.no_grad():
        like_source, like_target = (module._reconstruction(x, data) for x in (x_s, x_t))
        assert like_source["g_ef"] == 0 < like_source["g_if"]
        assert like_target["g_if"] == 0 < like_target["g_ef"]
        for encoder in (module.generator.G_es, module.generator.G_et):
            for p in encoder.parameters():
                p.mul_(3).add_(0.1)
        assert module._reconstruction(x_s, data)["g_if"] == like_source["g_if"]
        assert module._reconstruction(x_t, data)["g_ef"] == like_target["g_ef"]
        module.pretrained.G_et.blocks[0][0].weight.add_(torch.randn(1))
        assert module._reconstruction(x_s, data)["g_if"] != like_source["g_if"]
