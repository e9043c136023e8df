"""From a frame's mask or probabilities to its lane lines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lanecli.lanes.curves import Curves, fit_curves
from lanecli.lanes.grouping import Observations, group
from lanecli.lanes.lane import Lane
from lanecli.lanes.perspective import Perspective, find_perspective
from lanecli.lanes.runs import find_runs

Floats = NDArray[np.float64]
P=dict(minrows=0.012, far=0.04, kup=3)

def find(mask, prior=None, debug=False):
    h, w = mask.shape
    runs = find_runs(mask)
    view = find_perspective(runs, (w, h), prior)
    seen = group(runs, view, h)
    if not seen.count: return []
    c = fit_curves(seen, view, h)
    first = np.flatnonzero(np.diff(seen.chain, prepend=-1)); last=np.append(first[1:],len(seen.y))-1
    near, far = seen.y[first], seen.y[last]
    count = np.diff(first, append=len(seen.y))*runs.step
    kept = count >= max(3, P['minrows']*h)
    # bundle far
    s_far = far - view.vy
    good = kept & (count > 0.04*h)
    common = np.min(s_far[good]) if good.any() else np.min(s_far[kept]) if kept.any() else 0
    lanes=[]
    for k in np.flatnonzero(kept):
        top = far[k]
        if view.certain: top = min(top, view.vy+min(common,P['far']*h))
        else: top=min(top, far[good].min()) if good.any() else top
        y = np.linspace(h-1, top, max(2,int((h-1-top)/4)+1))
        x = c.x(k, y)
        inside = (x>=-0.5)&(x<=w-0.5)
        # the run of inside rows that contains evidence
        ymid = seen.y[first[k]:last[k]+1]
        idx=np.flatnonzero(inside)
        if len(idx)<2: continue
        i=np.argmin(np.abs(y-np.median(ymid)))
        a=b=i
        while a>0 and inside[a-1]: a-=1
        while b<len(y)-1 and inside[b+1]: b+=1
        if b-a<1: continue
        lanes.append((np.stack([x,y],1)[a:b+1], dict(count=count[k],res=c.residual[k],u=c.offset[k],near=near[k],far=far[k])))
    return lanes
