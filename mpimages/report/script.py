"""What makes the plots over time show a part of the recording: a script inside the page.

It fetches nothing. A page whose script does not run shows the whole recording, and nothing that
would need the script.
"""

__all__ = ["SCRIPT"]

SCRIPT = """\
(() => {
  "use strict";
  const given = document.getElementById("frames");
  const plots = [...document.querySelectorAll("svg[data-frames]")];
  if (!given || !plots.some(svg => svg.querySelector("[data-y]"))) return;
  const frames = JSON.parse(given.textContent);
  const places = frames.places ||
    Array.from({length: frames.count}, (_, i) => frames.first + i * frames.step);
  const [first, last] = frames.ends;
  const least = Math.max(4, 4 * (frames.step || 1));
  const NOTHING = 65535, FULL = 65534;
  let a = first, b = last;

  const numbers = text => {
    if (!text) return null;
    const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
    const view = new DataView(bytes.buffer), out = new Float64Array(bytes.length / 2);
    for (let i = 0; i < out.length; i++) {
      const n = view.getUint16(2 * i, true);
      out[i] = n === NOTHING ? NaN : n / FULL;
    }
    return out;
  };
  plots.forEach((svg, number) => {
    svg.box = svg.dataset.box.split(" ").map(Number);
    const [left, right, top, bottom] = svg.box;
    svg.insertAdjacentHTML("afterbegin", `<clipPath id="axes-${number}"><rect x="${left}" ` +
      `y="${top - 2}" width="${right - left}" height="${bottom - top + 4}"/></clipPath>`);
    for (const path of svg.querySelectorAll(".curve"))
      path.setAttribute("clip-path", `url(#axes-${number})`);
    svg.curves = [...svg.querySelectorAll(".curve[data-y]")].map(path => {
      const low = numbers(path.dataset.y);
      return {path, low, high: numbers(path.dataset.z) || low};
    });
    svg.lines = [...svg.querySelectorAll(".dashed[data-x]")].map(path => {
      const [x0, x1] = path.dataset.x.split(" ").map(Number);
      const [y0, y1] = [...path.getAttribute("d").matchAll(/[\\d.]+ ([\\d.]+)/g)].map(m => +m[1]);
      return {path, x0, x1, y0, y1};
    });
  });
  const find = x => {  // the first place from x on
    let i = 0, j = places.length;
    while (i < j) { const k = (i + j) >> 1; if (places[k] < x) i = k + 1; else j = k; }
    return i;
  };
  const round = (low, high, most, whole) => {
    let step = 10 ** Math.floor(Math.log10((high - low) / most));
    if (whole) step = Math.max(1, step);
    for (const f of [1, 2, 5, 10, 20, 50]) {
      const from = Math.ceil(low / (f * step)), to = Math.floor(high / (f * step) + 1e-9);
      if (to - from + 1 <= most || f === 50) {
        const digits = Math.max(0, -Math.floor(Math.log10(f * step) + 1e-9));
        return Array.from({length: to - from + 1}, (_, i) => (from + i) * f * step)
          .map(value => [value, value.toLocaleString("en", {minimumFractionDigits: digits,
            maximumFractionDigits: digits}).replace("-", "\\u2212")]);
      }
    }
  };
  const path = (svg, curve) => {
    const [left, right, top, bottom] = svg.box;
    const x = p => (left + (p - a) / (b - a) * (right - left)).toFixed(1);
    const y = v => (bottom - v * (bottom - top)).toFixed(1);
    const from = Math.max(0, find(a) - 1), to = Math.min(places.length, find(b) + 2);
    let runs = [[]];
    const pieces = Math.round(right - left);
    const put = (p, low, high) => {
      if (Number.isNaN(low)) { if (runs.at(-1).length) runs.push([]); }
      else runs.at(-1).push([x(p), y(low), y(high)]);
    };
    const many = to - from > 2 * pieces;
    if (!many) for (let i = from; i < to; i++) put(places[i], curve.low[i], curve.high[i]);
    else for (let k = 0; k < pieces; k++) {
      const i0 = from + Math.floor((to - from) * k / pieces);
      const i1 = from + Math.floor((to - from) * (k + 1) / pieces);
      let low = NaN, high = NaN;
      for (let i = i0; i < i1; i++) {
        if (!(low <= curve.low[i])) low = Number.isNaN(curve.low[i]) ? low : curve.low[i];
        if (!(high >= curve.high[i])) high = Number.isNaN(curve.high[i]) ? high : curve.high[i];
      }
      put((places[i0] + places[i1 - 1]) / 2, low, high);
    }
    const band = many || curve.high !== curve.low;
    curve.path.classList.toggle("band", band);
    curve.path.classList.toggle("line", !band);
    runs = runs.filter(run => run.length);
    return runs.map(run => band
      ? "M" + run.map(q => q[0] + " " + q[2]).join("L") +
        "L" + run.reverse().map(q => q[0] + " " + q[1]).join("L") + "Z"
      : "M" + run.map(q => q[0] + " " + q[1]).join("L") + (run.length === 1 ? "h0" : "")).join("");
  };
  const axis = (svg, name, each, most, whole) => {
    const group = svg.querySelector("." + name);
    if (!group) return;
    const [left, right, top, bottom] = svg.box, below = name === "along";
    group.innerHTML = round(a * each, b * each, most, whole).map(([value, text]) => {
      const x = (left + (value / each - a) / (b - a) * (right - left)).toFixed(1);
      return `<path class="axis" d="M${x} ${below ? bottom : top - 4}v4"/>` +
        `<text ${below ? "" : 'class="soft" '}x="${x}" y="${below ? bottom + 17 : top - 10}" ` +
        `text-anchor="middle">${text}</text>`;
    }).join("");
  };
  const draw = () => {
    for (const svg of plots) {
      const [left, right, top, bottom] = svg.box;
      for (const curve of svg.curves) curve.path.setAttribute("d", path(svg, curve));
      const small = svg.classList.contains("small");
      axis(svg, "along", frames.each, small ? 4 : 6, frames.unit === "frame");
      axis(svg, "above", 1, 5, true);
      for (const rect of svg.querySelectorAll("rect[data-a]")) {
        const at = p => left + (Math.min(b, Math.max(a, p)) - a) / (b - a) * (right - left);
        const from = at(rect.dataset.a - 0.5), to = at(+rect.dataset.b + 0.5);
        rect.setAttribute("x", from);
        rect.setAttribute("width", to > from ? Math.max(1, to - from) : 0);
      }
      for (const {path, x0, x1, y0, y1} of svg.lines) {
        const from = Math.max(a, x0), to = Math.min(b, x1);
        const x = p => left + (p - a) / (b - a) * (right - left);
        const y = p => y0 + (y1 - y0) * (p - x0) / (x1 - x0);
        path.setAttribute("d", `M${x(from)} ${y(from)}L${x(to)} ${y(to)}`);
      }
    }
    bar.classList.toggle("zoomed", a > first || b < last);
  };
  const show = (from, to) => {
    const width = Math.min(last - first, Math.max(least, to - from));
    a = Math.min(Math.max(first, (from + to - width) / 2), last - width);
    b = a + width;
    draw();
  };
  const bar = document.createElement("div");
  bar.className = "zoom";
  const button = (text, label, action) => {
    const made = document.createElement("button");
    made.type = "button"; made.textContent = text; made.title = label;
    made.setAttribute("aria-label", label);
    made.addEventListener("click", action);
    bar.append(made);
  };
  const by = (move, factor) => () => {
    const middle = (a + b) / 2 + move * (b - a), half = (b - a) / 2 * factor;
    show(middle - half, middle + half);
  };
  button("\\u2212", "Zoom out", by(0, 2));
  button("+", "Zoom in", by(0, 0.5));
  button("\\u2190", "Earlier", by(-0.5, 1));
  button("\\u2192", "Later", by(0.5, 1));
  button("Whole", "Show the whole recording", () => show(first, last));
  const hint = document.createElement("span");
  hint.textContent = "Drag across a plot to zoom into all of them; double-click for the whole.";
  bar.append(hint);
  plots[0].closest("section").querySelector("h2").after(bar);

  for (const svg of plots) {
    const [left, right, top, bottom] = svg.box;
    const place = event => {
      const point = new DOMPoint(event.clientX, event.clientY)
        .matrixTransform(svg.getScreenCTM().inverse());
      return a + (Math.min(right, Math.max(left, point.x)) - left) / (right - left) * (b - a);
    };
    let from = null, mark = null;
    const at = p => left + (p - a) / (b - a) * (right - left);
    svg.addEventListener("pointerdown", event => {
      if (event.button) return;
      from = place(event);
      svg.setPointerCapture(event.pointerId);
      mark = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      mark.setAttribute("class", "selected");
      mark.setAttribute("y", top);
      mark.setAttribute("height", bottom - top);
      svg.append(mark);
    });
    svg.addEventListener("pointermove", event => {
      if (from === null) return;
      const to = place(event);
      mark.setAttribute("x", at(Math.min(from, to)));
      mark.setAttribute("width", Math.abs(at(to) - at(from)));
    });
    const end = event => {
      if (from === null) return;
      const to = place(event), wide = Math.abs(at(to) - at(from)) > 4;
      if (wide && event.type === "pointerup") show(Math.min(from, to), Math.max(from, to));
      mark.remove();
      from = null;
    };
    svg.addEventListener("pointerup", end);
    svg.addEventListener("pointercancel", end);
    svg.addEventListener("dblclick", () => show(first, last));
  }
})();
"""
