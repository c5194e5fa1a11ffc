import torch

from facegan.judges import AUJudge


def test_au_judge_answers_alike_alone_and_in_a_batch_and_at_any_size(au_weights):
    judge = AUJudge(au_weights)
    images = torch.rand(3, 3, 64, 64) * 2 - 1
    answer = judge(images)
    assert answer.shape == (3, 17) and answer.min() >= 0 and answer.max() <= 5
    torch.testing.assert_close(answer[1:2], judge(images[1:2]), atol=1e-5, rtol=1e-4)
    assert "10 generated pictures (procedural head)" in judge.description
    assert judge.about["sha256"][:12] in judge.description


def test_au_judge_cuts_to_the_range_of_openface(au_weights):
    judge = AUJudge(au_weights)
    with torch.no_grad():
        judge.net.head[-1].bias.copy_(torch.linspace(-20, 20, 17))
    answer = judge(torch.zeros(1, 3, 128, 128))
    assert answer[0, 0] == 0 and answer[0, -1] == 5
