"""A net's drawing as one HTML file that opens from disk: drag to move, wheel to zoom, click a layer for its details."""

from __future__ import annotations

from collections.abc import Mapping

from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.proto.printer import write
from segcaffe.viz.markup import fill, policy, script, text
from segcaffe.viz.net_drawing import Drawing
from segcaffe.viz.net_svg import STYLE, svg

_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
@POLICY@
<title>@TITLE@</title>
<style>@STYLE@</style>
<body>
<div id="view">@SVG@</div>
<aside>
  <h1>@TITLE@</h1>
  <input id="find" type="search" placeholder="Find a layer or blob" aria-label="Find a layer or blob">
  <button id="all">Show all</button>
  <div id="details"><p>Drag to move, turn the wheel to zoom, click a layer for its details.</p></div>
</aside>
<script>@SCRIPT@</script>
</body>
</html>
"""

_STYLE = """
  body { margin: 0; display: flex; height: 100vh; font: 14px Helvetica, Arial, sans-serif; }
  #view { flex: 1; overflow: hidden; cursor: grab; background: #fff; touch-action: none; }
  #view.dragging { cursor: grabbing; }
  #view > svg { width: 100%; height: 100%; }
  aside { width: 24em; overflow: auto; border-left: 1px solid #ccc; padding: 0 1em; background: #f6f8fa; }
  h1 { font-size: 1.2em; overflow-wrap: anywhere; }
  input { width: 100%; box-sizing: border-box; padding: .4em; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  dt { font-weight: bold; margin-top: .6em; }
  dd { margin: 0; overflow-wrap: anywhere; }
  .layer, .blob { cursor: pointer; }
  .chosen .cell { stroke: #d00; stroke-width: 3; }
  button { margin: .5em 0; }
"""

_SCRIPT = """
const layers = @LAYERS@, shapes = @SHAPES@;
const view = document.getElementById("view"), picture = view.querySelector("svg");
const details = document.getElementById("details");
const whole = picture.viewBox.baseVal, full = [whole.x, whole.y, whole.width, whole.height];
let box = [...full], drag = null;

function show() { picture.setAttribute("viewBox", box.join(" ")); }
// The SVG keeps its proportions inside the view: one scale for both directions.
function scale() { return Math.max(box[2] / view.clientWidth, box[3] / view.clientHeight); }
function at(event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
  return [point.x, point.y];
}
view.addEventListener("wheel", event => {
  event.preventDefault();
  const factor = Math.exp(event.deltaY / 500), [x, y] = at(event);
  box = [x - (x - box[0]) * factor, y - (y - box[1]) * factor, box[2] * factor, box[3] * factor];
  show();
}, { passive: false });
view.addEventListener("pointerdown", event => { drag = [event.clientX, event.clientY, 0]; });
window.addEventListener("pointermove", event => {
  if (!drag) return;
  const dx = event.clientX - drag[0], dy = event.clientY - drag[1], unit = scale();
  box[0] -= dx * unit; box[1] -= dy * unit;
  drag = [event.clientX, event.clientY, drag[2] + Math.abs(dx) + Math.abs(dy)];
  view.classList.add("dragging");
  show();
});
window.addEventListener("pointerup", () => { view.classList.remove("dragging"); setTimeout(() => { drag = null; }); });
view.addEventListener("click", event => {
  const group = event.target.closest("[data-layer], [data-blob]");
  if (group && !(drag && drag[2] > 4)) choose(group, false);
});

function element(tag, text) { const e = document.createElement(tag); e.textContent = text; return e; }
function choose(group, centre) {
  document.querySelectorAll(".chosen").forEach(e => e.classList.remove("chosen"));
  group.classList.add("chosen");
  const list = document.createElement("dl");
  const put = (name, text) => { if (text) list.append(element("dt", name), element("dd", text)); };
  const shaped = name => name + (shapes[name] ? "  (" + shapes[name].join(" x ") + ")" : "");
  const extra = [];
  if (group.dataset.blob !== undefined) {
    put("Blob", shaped(group.dataset.blob));
  } else {
    const layer = layers[group.dataset.layer];
    put("Layer", layer.name); put("Type", layer.type);
    put("Bottoms", layer.bottom.map(shaped).join(", ")); put("Tops", layer.top.map(shaped).join(", "));
    extra.push(element("pre", layer.text));
  }
  details.replaceChildren(list, ...extra);
  if (centre) {
    const { x, y, width, height } = group.getBBox(), w = 900;
    const h = w * view.clientHeight / view.clientWidth;
    box = [x + width / 2 - w / 2, y + height / 2 - h / 2, w, h];
    show();
  }
}
document.getElementById("all").addEventListener("click", () => { box = [...full]; show(); });
document.getElementById("find").addEventListener("change", event => {
  const text = event.target.value.toLowerCase(), groups = [...document.querySelectorAll("[data-layer], [data-blob]")];
  const name = e => (e.dataset.blob !== undefined ? e.dataset.blob : layers[e.dataset.layer].name).toLowerCase();
  const group = groups.find(e => name(e) === text) || groups.find(e => name(e).startsWith(text))
    || groups.find(e => name(e).includes(text));
  if (text && group) choose(group, true);
});
"""


def html(drawing: Drawing, net: NetParameter, shapes: Mapping[str, tuple[int, ...]] | None = None) -> str:
    """The page for a drawing of ``net``; shapes of blobs by name are shown where known."""
    layers = [
        {
            "name": layer.name,
            "type": layer.type,
            "bottom": list(layer.bottom),
            "top": list(layer.top),
            "text": write(layer),
        }
        for layer in net.layer
    ]
    own = fill(_SCRIPT, {"LAYERS": script(layers), "SHAPES": script(dict(shapes or {}))})
    return fill(
        _PAGE,
        {
            "POLICY": policy(own, _STYLE, STYLE),
            "TITLE": text(drawing.title or "net"),
            "STYLE": _STYLE,
            "SCRIPT": own,
            "SVG": svg(drawing),
        },
    )
