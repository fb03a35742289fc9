#!/usr/bin/env python3
"""Draws the dashboard from a running Prometheus, with the dashboard's own queries: picture.py URL SECONDS FILE.png (needs matplotlib)."""
import json
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
COLORS = {"green": "#56a64b", "orange": "#ff9830", "red": "#e02f44"}


def series(expr):
    """Returns the points of each series of the query over the last `seconds`."""
    step = max(seconds / 400, 0.5)
    variables = {"$__rate_interval": f"{max(4 * step, 5):.0f}s", "$__range": f"{seconds:.0f}s", "$store": ".*", "$instance": ".*"}
    for name, value in variables.items():
        expr = expr.replace(name, value)
    query = {"query": expr, "start": end - seconds, "end": end, "step": step}
    with urllib.request.urlopen(f"{url}/api/v1/query_range?{urllib.parse.urlencode(query)}") as answer:
        return json.load(answer)["data"]["result"]


# Do not draw the time before the first scrape.
first = min(float(found["values"][0][0]) for found in series("up"))
seconds = min(seconds, end - first)


def legend(form, labels):
    for name, value in labels.items():
        form = form.replace("{{" + name + "}}", value)
    return form


def shown(value, unit):
    """Returns a value with its unit, for a stat panel."""
    return {"percentunit": f"{value:.2%}", "s": f"{value * 1000:.1f} ms"}.get(unit, f"{value:g}")


def draw_stat(axis, panel, defaults):
    found = series(panel["targets"][0]["expr"])
    values = [float(v) for _, v in found[0]["values"] if v != "NaN"] if found else []
    axis.set_xticks([])
    axis.set_yticks([])
    if not values:
        axis.text(0.5, 0.4, defaults.get("noValue", "no data"), ha="center", fontsize=14)
        return
    last = values[-1]
    mapping = defaults.get("mappings", [{}])[0].get("options", {}).get(f"{last:g}")
    steps = defaults["thresholds"]["steps"]
    color = [s["color"] for s in steps if s["value"] is None or last >= s["value"]][-1]
    axis.set_facecolor(COLORS[color])
    axis.text(0.5, 0.4, mapping["text"] if mapping else shown(last, defaults["unit"]), ha="center", fontsize=18, color="white")


def draw_lines(axis, panel, defaults):
    for target in panel["targets"]:
        for found in series(target["expr"]):
            times, values = zip(*((float(t) - end, float(v)) for t, v in found["values"]))
            axis.plot(times, values, linewidth=1, label=legend(target.get("legendFormat") or panel["title"], found["metric"]))
    axis.set_xlim(-seconds, 0)
    axis.set_ylabel(defaults["unit"], fontsize=7)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3)
    if axis.lines:
        axis.legend(fontsize=6, loc="best", framealpha=0.6)


height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
figure = plt.figure(figsize=(24, 0.42 * height))
for panel in dashboard["panels"]:
    grid = panel["gridPos"]
    left, bottom = grid["x"] / 24, 1 - (grid["y"] + grid["h"]) / height
    if panel["type"] == "row":
        figure.text(left + 0.005, bottom + 0.3 / height, panel["title"], fontsize=13, weight="bold")
        continue
    axis = figure.add_axes((left + 0.025, bottom + 1.0 / height, grid["w"] / 24 - 0.035, (grid["h"] - 2.0) / height))
    axis.set_title(panel["title"], fontsize=9)
    draw = draw_stat if panel["type"] == "stat" else draw_lines
    draw(axis, panel, panel["fieldConfig"]["defaults"])
figure.savefig(out, dpi=60)
