import pytest
import steps
import torch
import torch.nn.functional as F
from small_aipgan import OFF, at, batch, build, small
from steps import moved, recorded, run, weights


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
