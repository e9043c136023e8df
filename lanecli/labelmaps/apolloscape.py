"""Baidu / ApolloScape lane marks: the official ids, and the groups the competition made of them."""

from __future__ import annotations

from lanecli.labels import LabelClass, LabelMap

# Official name, id, colour, in train id order (ApolloScape toolkit, laneMarkDetection). Colour is for viewing only.
OFFICIAL: tuple[tuple[str, int, tuple[int, int, int]], ...] = (
    ("void", 0, (0, 0, 0)),
    ("s_w_d", 200, (70, 130, 180)),
    ("s_y_d", 204, (220, 20, 60)),
    ("ds_w_dn", 213, (128, 0, 128)),
    ("ds_y_dn", 209, (255, 0, 0)),
    ("sb_w_do", 206, (0, 0, 60)),
    ("sb_y_do", 207, (0, 60, 100)),
    ("b_w_g", 201, (0, 0, 142)),
    ("b_y_g", 203, (119, 11, 32)),
    ("db_w_g", 211, (244, 35, 232)),
    ("db_y_g", 208, (0, 0, 160)),
    ("db_w_s", 216, (153, 153, 153)),
    ("s_w_s", 217, (220, 220, 0)),
    ("ds_w_s", 215, (250, 170, 30)),
    ("s_w_c", 218, (102, 102, 156)),
    ("s_y_c", 219, (128, 0, 0)),
    ("s_w_p", 210, (128, 64, 128)),
    ("s_n_p", 232, (238, 232, 170)),
    ("c_wy_z", 214, (190, 153, 153)),
    ("a_w_u", 202, (0, 0, 230)),
    ("a_w_t", 220, (128, 128, 0)),
    ("a_w_tl", 221, (128, 78, 160)),
    ("a_w_tr", 222, (150, 100, 100)),
    ("a_w_tlr", 231, (255, 165, 0)),
    ("a_w_l", 224, (180, 165, 180)),
    ("a_w_r", 225, (107, 142, 35)),
    ("a_w_lr", 226, (201, 255, 229)),
    ("a_n_lu", 230, (0, 191, 255)),
    ("a_w_tu", 228, (51, 255, 51)),
    ("a_w_m", 229, (250, 128, 114)),
    ("a_y_t", 233, (127, 255, 0)),
    ("b_n_sr", 205, (255, 128, 0)),
    ("d_wy_za", 212, (0, 255, 255)),
    ("r_wy_np", 227, (178, 132, 190)),
    ("vom_wy_n", 223, (128, 128, 64)),
    ("om_n_n", 250, (102, 0, 204)),
)
NOISE, IGNORED = 249, 255

FULL = LabelMap(
    "apolloscape-full",
    tuple(LabelClass(name, color, (value,)) for name, value, color in OFFICIAL),
    (IGNORED, NOISE),
    swaps=((21, 22), (24, 25)),  # the arrows ahead-left and ahead-right, left and right
)

EIGHT = LabelMap(
    "apolloscape-8",
    (
        LabelClass(
            "background",
            (0, 0, 0),
            (
                *(0, 249, 255, 202, 206, 207, 208, 211, 212, 213),
                *(215, 216, 218, 219, 223, 228, 229, 230, 231, 232, 233),
            ),
            0,
        ),
        LabelClass("dividing", (70, 130, 180), (200, 204, 209), 204),
        LabelClass("guiding", (0, 0, 142), (201, 203), 203),
        LabelClass("stopping", (153, 153, 153), (217,), 217),
        LabelClass("parking", (128, 64, 128), (210,), 210),
        LabelClass("zebra", (190, 153, 153), (214,), 214),
        LabelClass("arrows", (0, 0, 230), (220, 221, 222, 224, 225, 226), 224),
        LabelClass("other", (255, 128, 0), (205, 227, 250), 227),
    ),
    (),
)

NINE = LabelMap(
    "apolloscape-9",
    (
        LabelClass("background", (0, 0, 0), (0, 249, 255), 0),
        LabelClass("dividing", (70, 130, 180), (200, 204, 206, 207, 209, 213), 200),
        LabelClass("guiding", (0, 0, 142), (201, 203, 208, 211), 201),
        LabelClass("stopping", (153, 153, 153), (215, 216, 217), 216),
        LabelClass("chevron", (102, 102, 156), (218, 219), 218),
        LabelClass("parking", (128, 64, 128), (210, 232), 210),
        LabelClass("zebra", (190, 153, 153), (214,), 214),
        LabelClass("arrows", (0, 0, 230), (202, 220, 221, 222, 224, 225, 226, 228, 229, 230, 231, 233), 202),
        LabelClass("other", (255, 128, 0), (205, 212, 223, 227, 250), 205),
    ),
    (),
)
