#!/usr/bin/env python3
"""Draws the dashboard's panels, by its own queries, from a running Prometheus: picture.py URL SECONDS FILE.png (needs matplotlib)."""
import json
import math
import pathlib
import sys
import time
import urllib.parse
import urllib.request

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

url, seconds, out = sys.argv[1].rstrip("/"), float(sys.argv[2]), sys.argv[3]
dashboard = json.loads((pathlib.Path(__file__).parent / "xks-proxy.json").read_text())
end = time.time()


def series(expr):
    """Points of each series of the query over the last `seconds`."""
    query = {"query": expr.replace("$__rate_interval", "5s"), "start": end - seconds, "end": end, "step": 0.5}
    with urllib.request.urlopen(f"{url}/api/v1/query_range?{urllib.parse.urlencode(query)}") as answer:
        return json.load(answer)["data"]["result"]


def legend(form, labels):
    for name, value in labels.items():
        form = form.replace("{{" + name + "}}", value)
    return form


panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
columns = 4
figure, axes = plt.subplots(math.ceil(len(panels) / columns), columns, figsize=(20, 19))
for axis in axes.flat[len(panels):]:
    axis.set_visible(False)
for axis, panel in zip(axes.flat, panels):
    for target in panel["targets"]:
        for found in series(target["expr"]):
            times, values = zip(*((float(t) - end + seconds, float(v)) for t, v in found["values"]))
            axis.plot(times, values, label=legend(target.get("legendFormat") or panel["title"], found["metric"]))
    unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "")
    axis.set_title(f"{panel['title']} [{unit}]" if unit not in ("", "short") else panel["title"], fontsize=9)
    axis.set_xlim(0, seconds)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=6, loc="best", framealpha=0.6)
figure.tight_layout()
figure.savefig(out, dpi=70)
