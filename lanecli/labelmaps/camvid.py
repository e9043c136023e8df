"""CamVid: 32 classes by colour, and the 11 classes of SegNet's copy of the data set."""

from __future__ import annotations

from lanecli.labels import LabelClass, LabelMap, pack_color

COLORS: dict[str, tuple[int, int, int]] = {
    "Animal": (64, 128, 64),
    "Archway": (192, 0, 128),
    "Bicyclist": (0, 128, 192),
    "Bridge": (0, 128, 64),
    "Building": (128, 0, 0),
    "Car": (64, 0, 128),
    "CartLuggagePram": (64, 0, 192),
    "Child": (192, 128, 64),
    "Column_Pole": (192, 192, 128),
    "Fence": (64, 64, 128),
    "LaneMkgsDriv": (128, 0, 192),
    "LaneMkgsNonDriv": (192, 0, 64),
    "Misc_Text": (128, 128, 64),
    "MotorcycleScooter": (192, 0, 192),
    "OtherMoving": (128, 64, 64),
    "ParkingBlock": (64, 192, 128),
    "Pedestrian": (64, 64, 0),
    "Road": (128, 64, 128),
    "RoadShoulder": (128, 128, 192),
    "Sidewalk": (0, 0, 192),
    "SignSymbol": (192, 128, 128),
    "Sky": (128, 128, 128),
    "SUVPickupTruck": (64, 128, 192),
    "TrafficCone": (0, 0, 64),
    "TrafficLight": (0, 64, 64),
    "Train": (192, 64, 128),
    "Tree": (128, 128, 0),
    "Truck_Bus": (192, 128, 192),
    "Tunnel": (64, 0, 64),
    "VegetationMisc": (192, 192, 0),
    "Wall": (64, 192, 0),
}
VOID = (0, 0, 0)

_GROUPS: tuple[tuple[str, tuple[int, int, int], tuple[str, ...]], ...] = (
    ("Sky", (128, 128, 128), ("Sky",)),
    ("Building", (128, 0, 0), ("Building", "Archway", "Bridge", "Tunnel", "Wall")),
    ("Pole", (192, 192, 128), ("Column_Pole", "TrafficCone")),
    ("Road", (128, 64, 128), ("Road", "LaneMkgsDriv", "LaneMkgsNonDriv")),
    ("Pavement", (60, 40, 222), ("Sidewalk", "ParkingBlock", "RoadShoulder")),
    ("Tree", (128, 128, 0), ("Tree", "VegetationMisc")),
    ("SignSymbol", (192, 128, 128), ("SignSymbol", "Misc_Text", "TrafficLight")),
    ("Fence", (64, 64, 128), ("Fence",)),
    ("Car", (64, 0, 128), ("Car", "SUVPickupTruck", "Truck_Bus", "Train", "OtherMoving")),
    ("Pedestrian", (64, 64, 0), ("Pedestrian", "Child", "CartLuggagePram", "Animal")),
    ("Bicyclist", (0, 128, 192), ("Bicyclist", "MotorcycleScooter")),
)

ALL = LabelMap(
    "camvid-32",
    tuple(LabelClass(name, color, (pack_color(color),)) for name, color in COLORS.items()),
    (pack_color(VOID),),
    "colors",
    background=None,
)

ELEVEN = LabelMap(
    "camvid-11",
    tuple(LabelClass(name, color, (i,)) for i, (name, color, _) in enumerate(_GROUPS)),
    (11,),
    background=None,
)

ELEVEN_BY_COLOR = LabelMap(
    "camvid-11",
    tuple(
        LabelClass(name, color, tuple(pack_color(COLORS[member]) for member in members))
        for name, color, members in _GROUPS
    ),
    (pack_color(VOID),),
    "colors",
    background=None,
)
