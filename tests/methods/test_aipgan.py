import pytest
import torch
from small_aipgan import at, batch, build, small
from steps import moved, recorded, run, weights

from facegan.config import UserError
from facegan.methods.aipgan import AIPGAN
from facegan.methods.aipgan_config import AIPGANConfig


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


def test_attention_learns_the_expression_at_every_level():
    module, data = at(build(small(lr=2e-3, attention_norm="sigmoid")), "encoders"), batch()
    run(module, data, epochs=1, batches=200)
    y = module.classes[data["source_expression"]]
    right = [(p.argmax(1) == y).float().mean() for p in module.generator.G_es(data["source_image"]).logits]
    assert min(right) > 0.8 and sum(right) > 6.5, right
    assert (module.recognise(data["source_image"]).argmax(1) == y).float().mean() > 0.8


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
    optimizers = build(small()).configure_optimizers()
    assert [o.defaults["betas"] for o in optimizers] == [(0.5, 0.999), (0.5, 0.999), (0.9, 0.999)]


def test_without_a_share_g_has_one_group_as_runs_from_before_there_was_one():
    """Their checkpoints hold one, in the order of G's parameters."""
    module = build(small())
    (group,) = module.configure_optimizers()[0].param_groups
    assert list(map(id, group["params"])) == list(map(id, module.generator.parameters()))


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
    """A21; the encoders and their heads have their share of the rate in every stage, the decoder and D the whole."""
    module, seen = build(small(lr=1e-3, encoder_share=0.2)), []

    def note(losses, rows, log=module.log_losses):
        groups = [group for optimizer in module.optimizers()[:2] for group in optimizer.param_groups]
        seen.append([group["lr"] for group in groups])
        log(losses, rows)

    module.log_losses = note
    run(module, batch(), epochs=4, batches=4)
    assert seen[:15] == [pytest.approx([1e-3, 2e-4, 1e-3])] * 15
    assert seen[15] == pytest.approx([5e-4, 1e-4, 5e-4])
    decoder, encoders = (set(group["params"]) for group in module.optimizers()[0].param_groups)
    G = module.generator
    assert decoder == set(G.G_de.parameters()) and decoder | encoders == set(G.parameters())


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
    with pytest.raises(UserError, match=r"method\.expression_weights.*trains both here"):
        AIPGANConfig(recogniser="trained", expression_weights="affectnet.pth")


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
