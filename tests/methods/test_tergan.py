import pytest
import steps
import torch
import torch.nn.functional as F
from small_tergan import SIX, WEIGHTS, batch, build, small
from steps import moved, recorded, run, weights

from facegan.config import UserError
from facegan.faces import EXPRESSIONS
from facegan.methods.tergan_config import TERGANConfig


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


def test_the_encoders_have_their_shares_of_the_rate():
    module = build(small(lr=1e-3, encoder_share=0.5, identity_share=0.1))
    run(module, batch(), epochs=1, batches=1)
    groups = {
        frozenset(map(id, group["params"])): group["lr"] for group in module.optimizers()[0].param_groups
    }
    G = module.generator
    for part, rate in ((G.G_es, 5e-4), (G.G_et, 1e-4)):
        assert groups.pop(frozenset(map(id, part.parameters()))) == pytest.approx(rate)
    assert list(groups.values()) == pytest.approx([1e-3])


def test_learns_to_transfer_on_a_few_faces():
    """Overfit: nearer to the person with that expression than the picture of the person that was given."""
    data = batch()
    light = {
        "w_if": 0.02,
        "w_ef": 0.02,
        "w_adv": 0.01,
        "w_irec": 0.5,
        "encoder_share": 0.1,
        "identity_share": 0.1,
        "lr": 2e-3,
        "lr_pretrain": 1e-3,
        "irec_on": "cross_identity",
    }
    stages = {"pretrain_epochs": 1, "decoder_epochs": 1, "epochs": 2}
    module = build(small(**light, **stages, encoder_widths=(16, 16, 16, 32, 32), ema_half_life=100))
    run(module, data, epochs=4, batches=120)
    same = data["source_identity"] == data["target_identity"]
    x_s, x_t = data["source_image"][same], data["target_image"][same]
    assert F.l1_loss(module.transfer(x_s, x_t), x_s) < 0.85 * F.l1_loss(x_t, x_s)  # 0.95 before stage 2
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
