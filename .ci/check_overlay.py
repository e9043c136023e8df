"""The README's overlay is the clip again, frame for frame, with lane markings drawn and the sky left alone."""

import sys

import av

overlay, clip = sys.argv[1:]
count = drawn = above = 0
with av.open(overlay) as one, av.open(clip) as other:
    if one.streams.video[0].codec_context.name != "h264":
        sys.exit(f"{overlay}: not H.264")
    for painted, plain in zip(one.decode(video=0), other.decode(video=0), strict=True):
        if painted.pts * painted.time_base != plain.pts * plain.time_base:
            sys.exit(f"{overlay}: frame {count} stands at another time")
        # the overlay's green pulls both chroma planes down; compression alone does not by this much
        planes = [f.reformat(format="yuv444p").to_ndarray().astype(int)[2] for f in (painted, plain)]
        green = planes[1] - planes[0] > 20
        third = green.shape[0] // 3
        drawn += green[third:].mean() > 0.002
        above += green[:third].mean() > 0.002
        count += 1
print(f"{count} frames, markings drawn in {drawn}, something in the sky in {above}")
if count < 50 or drawn < 0.9 * count or above > 0.02 * count:
    sys.exit("the overlay is not what it should be")
