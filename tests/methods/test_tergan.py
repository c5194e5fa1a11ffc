import pytest
import steps
import torch
import torch.nn.functional as F
from steps import moved, recorded, run, weights

from facegan.config import UserError
from facegan.faces import EXPRESSIONS
from facegan.methods.tergan import TERGAN
from facegan.methods.tergan_config import TERGANConfig

SMALL = {
    "encoder_widths": (8, 8, 16, 16, 16), "critic_widths": (4, 8, 8, 8), "critic_shared": 32, "epochs": 1,
    "pretrain_epochs": 0, "critic_norm": "group",
}  # fmt: skip
WEIGHTS = [key for key in TERGANConfig.__dataclass_fields__ if key.startswith("w_")]
FAKE = 6
SIX = [EXPRESSIONS.index(name) for name in TERGANConfig().expressions]


def small(**changes) -> TERGANConfig:
    return TERGANConfig(**{**SMALL, **changes})


def batch(n: int = 12, people: int = 3, seed: int = 0) -> dict[str, torch.Tensor]:
    """Half of the pairs of one person; a person is a pattern, an expression a bright place."""
    g = torch.Generator().manual_seed(seed)
    people_look = F.interpolate(torch.rand(people, 3, 4, 4, generator=g), 32, mode="bilinear") * 2 - 1
    pairs = {}
    for side in ("source", "target"):
        expression = torch.arange(n) % 6 if side == "source" else torch.randint(6, (n,), generator=g)
        identity = torch.arange(n) % people
        if side == "target":
            identity = torch.where(torch.arange(n) < n // 2, identity, (identity + 1) % people)
        image = people_look[identity]
        for row, place in enumerate(expression.tolist()):
            image[
                row, :, 8 * (place // 3) + 8 : 8 * (place // 3) + 16, 10 * (place % 3) : 10 * (place % 3) + 8
            ] = 1
        pairs |= {
            f"{side}_image": image, f"{side}_identity": identity,
            f"{side}_expression": torch.tensor(SIX)[expression],
        }  # fmt: skip
    return pairs | {"expression": pairs["source_expression"]}


def build(config: TERGANConfig, people: int = 3) -> TERGAN:
    torch.manual_seed(0)
    return TERGAN(config, size=32, identities=people, batch_size=12)


def test_defaults_are_the_paper_s():
    c = TERGANConfig()
    assert (c.w_if, c.w_ef, c.w_irec, c.w_erec, c.w_det, c.w_des, c.w_adv) == (1, 1, 1, 1, 0.3, 0.3, 0.5)
    assert c.layer_weights == (0.5, 0.6, 0.7, 0.88, 0.99) and c.lr == 2e-4
    assert (c.expression_code, c.identity_code, c.critic_shared) == (30, 50, 1024)
    assert c.encoder_widths == (64, 128, 256, 512, 1024) and c.critic_widths == (16, 32, 64, 128)


def test_stage_one_trains_the_classifiers_alone_and_ends_with_attaching_them():
    module = build(small(pretrain_epochs=1, epochs=0, lr_pretrain=5e-4))
    before, losses = weights(module), recorded(module, "pretrain_e_accuracy")
    run(module, batch(), epochs=1, batches=60)
    assert losses[-1] == 1 and {"D", "D_es", "D_et"}.isdisjoint(moved(before, module))
    data = batch()
    assert torch.equal(
        module.generator.G_et(data["target_image"]), module.pretrained.G_et(data["target_image"])
    )
    assert torch.equal(
        module.expression_codes(data["source_image"]), module.expression_codes(data["source_image"], True)
    )
    assert (
        module.recognise(data["source_image"]).argmax(1) == module.classes[data["source_expression"]]
    ).all()
    people = module.pretrained(data["source_image"], data["target_image"])[1].argmax(1)
    assert torch.equal(people, data["target_identity"]), "G_et has learnt who the target is, not the source"


def test_the_baseline_is_the_encoder_as_stage_one_left_it():
    module, x = build(small(pretrain_epochs=1, lr=1e-3)), batch()["source_image"]
    run(module, batch(), epochs=2, batches=3)
    codes, baseline = module.expression_codes(x), module.expression_codes(x, baseline=True)
    assert torch.equal(baseline, module.pretrained.G_es(x)) and not torch.equal(codes, baseline)
    assert torch.equal(codes, module.generator_ema.module.G_es(x))


def test_without_attaching_stage_one_leaves_the_generator_as_it_was():
    module = build(small(pretrain_epochs=1, epochs=0, attach="none"))
    before = weights(module)
    run(module, batch(), epochs=1, batches=2)
    assert moved(before, module) == {"pretrained"}


def test_attaching_the_expression_alone_keeps_who_people_are():
    module = build(small(pretrain_epochs=1, epochs=0, attach="expression"))
    before = weights(module)
    run(module, batch(), epochs=1, batches=2)
    assert {name for name in moved(before, module, 2) if name.startswith("generator.")} == {
        "generator.G_es", "generator.recogniser",
    }  # fmt: skip


def test_the_decoder_can_learn_alone_before_stage_two():
    module = build(small(decoder_epochs=1, epochs=0, lr=1e-3, ema_half_life=0))
    before = weights(module)
    seen = {name: recorded(module, name) for name in ("g_if", "g_ef", "g_irec", "g_erec")}
    run(module, batch(), epochs=1, batches=30)
    assert moved(before, module, 2) == {"generator.G_de"}
    assert sum(values[-1] for values in seen.values()) < 0.8 * sum(values[0] for values in seen.values())


def test_the_polish_moves_the_decoder_of_the_averaged_networks_alone():
    module = build(small(epochs=1, polish_epochs=1, lr=1e-3, ema_half_life=100))
    before: dict[str, torch.Tensor] = {}
    step = module.decoder_step

    def first(data, weights):
        if not before:
            before.update(steps.weights(module))
        return step(data, weights)

    module.decoder_step = first
    run(module, batch(), epochs=2, batches=4)
    assert moved(before, module, 2) == {"generator.G_de", "generator_ema.module"}
    averaged = dict(module.generator_ema.module.named_parameters())
    for name, value in before.items():
        if name.startswith("generator."):
            assert torch.equal(value, before[f"generator_ema.module.{name.removeprefix('generator.')}"])
    for name, value in module.generator.named_parameters():
        assert torch.equal(averaged[name], value)


def test_a_polish_alone_begins_on_the_averaged_networks():
    module = build(small(epochs=0, polish_epochs=1, ema_half_life=100))
    with torch.no_grad():
        for value in module.generator.parameters():
            value.mul_(1.1)
    wanted = weights(module.generator_ema.module.G_es)
    run(module, batch(), epochs=1, batches=2)
    for part in (module.generator, module.generator_ema.module):
        assert all(torch.equal(value, wanted[name]) for name, value in part.G_es.named_parameters())


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


@pytest.mark.parametrize("encoder", ["G_es", "G_et"])
def test_codes_of_any_size_give_pictures_that_can_still_learn(encoder):
    G = build(small()).generator
    x = batch()["source_image"]
    with torch.no_grad():
        getattr(G, encoder).fc.weight *= 100
        before = G(x, x)
        getattr(G, encoder).fc.weight *= 100
        after = G(x, x)
    assert after.abs().mean() < 0.6 and (after - before).abs().mean() < 0.01


def test_stage_two_trains_everything_but_the_feature_networks():
    module = build(small())
    before = weights(module)
    run(module, batch(), epochs=1, batches=2)
    assert moved(before, module) == {"generator", "generator_ema", "D", "D_es", "D_et"}
    assert moved(before, module, 2) >= {
        "generator.G_es", "generator.G_et", "generator.G_de", "generator.recogniser",
    }  # fmt: skip


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


def test_the_recogniser_leaves_no_gradient_in_the_encoder():
    module = build(small(**dict.fromkeys(WEIGHTS, 0.0), ema_half_life=0))
    before = weights(module)
    run(steps.only(module, 0), batch(), epochs=1, batches=3)
    assert moved(before, module, 2) == {"generator.recogniser"}


def test_reversal_ramps_up_over_stage_two():
    module = build(small(reversal="ramp"))
    seen = []
    strength = module._reversal_strength
    module._reversal_strength = lambda: seen.append(strength()) or seen[-1]
    run(module, batch(), epochs=1, batches=4)
    assert seen[0] == 0 and seen[2] < seen[4] < seen[6] < 1 and seen[6] > 0.99


def test_each_stage_has_its_rate_and_may_let_it_fall():
    epochs = {"pretrain_epochs": 1, "epochs": 1, "polish_epochs": 1}
    module = build(small(**epochs, lr=1e-4, lr_pretrain=1e-3, decay_from=0.5))
    seen, decay = [], module._decay_rates
    module._decay_rates = lambda: (
        decay() or seen.append([o.param_groups[0]["lr"] for o in module.optimizers()])
    )
    run(module, batch(), epochs=3, batches=4)
    assert [rates[2] for rates in seen[:4]] == pytest.approx([1e-3, 1e-3, 1e-3, 5e-4])
    assert [rates[0] for rates in seen[4:8]] == pytest.approx([1e-4, 1e-4, 1e-4, 5e-5])
    assert [rates[0] for rates in seen[8:]] == pytest.approx([1e-4, 1e-4, 1e-4, 5e-5])
    assert all(rates[0] == rates[1] for rates in seen[:8])


def test_learns_to_transfer_on_a_few_faces():
    """Overfit: nearer to the person with that expression than either of the pictures that were given."""
    data = batch()
    light = {
        "w_if": 0.02,
        "w_ef": 0.02,
        "w_adv": 0.01,
        "w_irec": 0.5,
        "encoder_share": 0.1,
        "identity_share": 0.1,
        "lr": 2e-3,
        "irec_on": "cross_identity",
    }
    module = build(small(**light, encoder_widths=(16, 16, 16, 32, 32), ema_half_life=100))
    run(module, data, epochs=1, batches=600)
    same = data["source_identity"] == data["target_identity"]
    x_s, x_t = data["source_image"][same], data["target_image"][same]
    assert F.l1_loss(module.transfer(x_s, x_t), x_s) < 0.9 * F.l1_loss(x_t, x_s)
    assert (
        module.recognise(data["source_image"]).argmax(1) == module.classes[data["source_expression"]]
    ).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"expressions": ["anger", "joy"]}, "method.expressions"),
        ({"expressions": ["anger"]}, "name two or more"),
        ({"layer_weights": (1.0,)}, "method.layer_weights"),
        ({"polish_weights": (1.0,)}, "method.polish_weights"),
        ({"down": "pool"}, "method.down"),
        ({"w_adv": -1.0}, "method.w_adv"),
    ],
)
def test_values_out_of_range_are_named(change, words):
    with pytest.raises(UserError, match=words):
        TERGANConfig(**change)


def test_pictures_without_one_of_the_expressions_are_refused():
    data = batch()
    data["expression"] = data["expression"].clone()
    data["expression"][0] = EXPRESSIONS.index("neutral")
    with pytest.raises(UserError, match=r"data.expressions=\[anger,disgust"):
        run(build(small()), data, epochs=1)
    data["expression"] = torch.full((12,), SIX[0])
    with pytest.raises(UserError, match="no training picture shows disgust"):
        run(build(small()), data, epochs=1)
