"""The numbers that the papers print, by paper and table."""

from collections.abc import Mapping

# EGGAN Table 1 (RaFD, 128x128, judged by OpenFace; AUs in the order of ``faces.AUS``): MSE, then PCC.
EGGAN_TABLE1_MSE: Mapping[str, tuple[float, ...]] = {
    "HomoInterpGAN": (
        0.56, 0.86, 0.88, 1.68, 0.23, 1.26, 0.60, 0.08, 0.03, 0.11, 0.17, 0.08, 0.25, 0.01, 0.10, 0.13, 0.02,
    ),
    "StarGAN": (
        0.85, 1.59, 0.66, 1.62, 0.43, 1.04, 0.59, 0.26, 0.77, 0.27, 0.21, 0.14, 0.30, 0.01, 1.09, 0.39, 0.00,
    ),
    "EGGAN": (
        0.13, 0.13, 0.49, 0.35, 0.21, 0.49, 0.33, 0.14, 0.41, 0.16, 0.15, 0.18, 0.26, 0.01, 0.51, 0.14, 0.00,
    ),
}  # fmt: skip
EGGAN_TABLE1_PCC: Mapping[str, tuple[float, ...]] = {
    "HomoInterpGAN": (
        0.64, 0.68, 0.69, 0.35, 0.83, 0.41, 0.55, 0.83, 0.98, 0.76, 0.71, 0.78, 0.55, 0.32, 0.93, 0.79, 0.26,
    ),
    "StarGAN": (
        0.34, 0.00, 0.64, 0.08, 0.24, 0.27, 0.34, 0.31, 0.33, 0.15, 0.40, 0.57, 0.48, 0.20, 0.45, 0.15, 0.19,
    ),
    "EGGAN": (
        0.92, 0.95, 0.69, 0.85, 0.75, 0.72, 0.73, 0.70, 0.78, 0.65, 0.64, 0.33, 0.50, 0.22, 0.67, 0.76, 0.34,
    ),
}  # fmt: skip
EGGAN_TABLE1_AVERAGE: Mapping[str, tuple[float, float]] = {
    "HomoInterpGAN": (0.41, 0.65),
    "StarGAN": (0.60, 0.30),
    "EGGAN": (0.24, 0.66),
}
"""MSE and PCC as printed in the column Avg."""

# EGGAN Table 2 (RaFD): face verification accuracy in %, judged by LightCNN.
EGGAN_TABLE2: Mapping[str, float] = {"HomoInterpGAN": 76.54, "StarGAN": 93.32, "EGGAN": 97.04, "Real": 99.63}

# TER-GAN Table 1 (Oulu-CASIA, six expressions): setting and accuracy in %.
TERGAN_TABLE1: Mapping[str, tuple[str, float]] = {
    "LBP-TOP": ("dynamic", 68.13), "HOG 3D": ("dynamic", 70.63), "STM-Explet": ("dynamic", 74.59),
    "Atlases": ("dynamic", 75.52), "DTAGN": ("dynamic", 81.46), "FN2EN": ("static", 87.71), "PPDN": ("static", 84.59),
    "DeRL": ("static", 88.0), "CNN (baseline)": ("static", 73.14), "TER-GAN": ("static", 89.65),
}  # fmt: skip

# AIP-GAN Table 1: Face-Verf and Exp-Sim of the same distribution, then across data sets.
AIPGAN_TABLE1: Mapping[str, tuple[float, float, float, float]] = {
    "CAAE": (0.616, 0.795, 0.548, 0.737),
    "PG2": (0.709, 0.927, 0.594, 0.906),
    "ExprGAN": (0.849, 0.919, 0.761, 0.828),
    "ReenactGAN": (0.832, 0.867, 0.752, 0.773),
    "AIP-GAN without L_att and CEB": (0.816, 0.841, 0.725, 0.753),
    "AIP-GAN": (0.907, 0.903, 0.856, 0.841),
}

# ICface Table 1 (VoxCeleb): CNNIQA and DeepIQA, both lower is better.
ICFACE_TABLE1: Mapping[str, tuple[float, float]] = {"X2Face": (28.89, 39.49), "ICface": (25.02, 33.08)}

# ICface Table 2 (VoxCeleb): presence of 17 AUs in driver and result, balanced accuracy in % and F-score.
ICFACE_TABLE2: Mapping[str, tuple[float, float]] = {
    "DAE": (59.86, 0.3734),
    "ICface without neutraliser": (59.88, 0.3759),
    "GANimation": (61.77, 0.3944),
    "ICface": (62.86, 0.4185),
    "X2Face": (64.76, 0.4476),
}

# What the papers' ablations show: by the variant's name, the statement, the figures that measure it here (the starts
# of headlines' names), and whether they are lower or higher without the part.
ABLATION_CLAIMS: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "no_identity": ("EGGAN, Fig. 4: without L_id identities are not kept well", ("cosine by",), "lower"),
    "no_msssim": (
        "EGGAN, Fig. 4: without MS-SSIM the expected expressions do not come",
        ("AU PCC",),
        "lower",
    ),
    "no_perceptual": ("EGGAN, Fig. 4: without L_per there are artefacts", ("FID",), "higher"),
    "no_attention_no_ceb": (
        "AIP-GAN, Table 1: without L_att and CEB Face-Verf and Exp-Sim are lower",
        ("Face-Verf", "Exp-Sim"),
        "lower",
    ),
    "no_neutralizer": ("ICface, Table 2: without G_N fewer AUs are the driver's", ("AU presence",), "lower"),
}
