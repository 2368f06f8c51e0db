"""How the page looks, light and dark, on a screen of any width and on paper."""

__all__ = ["CSS"]

CSS = """\
:root {
  --paper: #fcfcfb; --card: #ffffff; --ink: #1c2024; --soft: #5c646c; --muted: #9aa1a8;
  --rule: #e4e6e8; --accent: #2f6da8; --second: #c2702b; --warn: #c0392b; --warn-soft: #fbeceb;
  --note: #7a6a1f; --note-soft: #faf5df; --fine: #2d7d46; --fine-soft: #e9f5ed;
  --ring: #ff2fd0;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #15181b; --card: #1c2024; --ink: #e6e8ea; --soft: #a2a9b0; --muted: #6f777f;
    --rule: #2d3238; --accent: #6fb1e8; --second: #e8a05f; --warn: #ff7b6b; --warn-soft: #3a2220;
    --note: #e0cb6c; --note-soft: #322d18; --fine: #74cf93; --fine-soft: #1b3024;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui,
  -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 1180px; margin: 0 auto; padding: 2rem 1.25rem 3rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .7rem; }
h3 { font-size: .9rem; font-weight: 600; margin: 0 0 .5rem; }
p { margin: .2rem 0 .8rem; max-width: 46rem; color: var(--soft); font-size: .9rem; }
.summary { font-size: 1.02rem; margin: .3rem 0 0; }
.findings h2 { position: absolute; left: -9999px; }
.findings ul { list-style: none; margin: 1.3rem 0 0; padding: 0; display: grid; gap: .4rem; }
.findings li {
  display: flex; gap: .7rem; padding: .5rem .8rem; border-radius: 6px; align-items: baseline;
}
.mark {
  flex: none; width: 1.25rem; height: 1.25rem; border-radius: 50%; color: var(--paper);
  font-weight: 700; font-size: .8rem; line-height: 1.25rem; text-align: center;
}
.warning { background: var(--warn-soft); } .warning .mark { background: var(--warn); }
.note { background: var(--note-soft); } .note .mark { background: var(--note); }
.fine { background: var(--fine-soft); } .fine .mark { background: var(--fine); }
.pictures, .lines { display: grid; gap: 1rem; grid-template-columns: repeat(2, minmax(0, 1fr)); }
.active { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); }
figure {
  margin: 0; padding: .9rem 1rem; background: var(--card); border: 1px solid var(--rule);
  border-radius: 8px; break-inside: avoid; min-width: 0;
}
.active figure { padding: .6rem .7rem; }
.active h3 { font-size: .85rem; margin: 0 0 .2rem; }
figcaption { margin-top: .5rem; color: var(--soft); font-size: .82rem; line-height: 1.4; }
.active figcaption { margin-top: .2rem; font-size: .8rem; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font-family: inherit; font-size: 11.5px; fill: var(--ink); }
svg text.soft, svg text.label { fill: var(--soft); }
svg text.warn { fill: var(--warn); }
svg text.key { paint-order: stroke; stroke: var(--card); stroke-width: 3px; }
svg image { image-rendering: pixelated; }
.grid { stroke: var(--rule); stroke-width: 1; }
.axis { stroke: var(--muted); stroke-width: 1; }
.zero { stroke: var(--muted); stroke-width: 1; }
.dashed { stroke: var(--warn); stroke-width: 1.4; stroke-dasharray: 5 4; }
.line { fill: none; stroke-width: 1.3; stroke-linejoin: round; stroke-linecap: round; }
.small .line { stroke-width: 1; }
svg .dots { stroke-width: 4; }
.band { stroke-width: .8; stroke-linejoin: round; }
.line.ink, .band.ink { stroke: var(--ink); } .band.ink { fill: var(--ink); }
.line.accent, .band.accent { stroke: var(--accent); } .band.accent { fill: var(--accent); }
.line.second, .band.second { stroke: var(--second); } .band.second { fill: var(--second); }
.bars { fill: var(--accent); }
.shade { fill: var(--warn); fill-opacity: .25; }
.selected { fill: var(--accent); fill-opacity: .2; }
.edge { fill: none; stroke: var(--rule); stroke-width: 1; }
.halo, .ring { fill: none; stroke: #fff; stroke-width: 3.4; }
.ring { stroke: var(--ring); stroke-width: 1.6; }
svg text.number {
  font-weight: 700; fill: #fff; paint-order: stroke; stroke: #000; stroke-width: 3px;
}
.plot[data-frames] { touch-action: pan-y; user-select: none; -webkit-user-select: none; }
.zoom { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; margin: 0 0 .8rem; }
.zoom span { color: var(--soft); font-size: .85rem; margin-left: .3rem; }
button {
  font: inherit; font-size: .85rem; color: var(--ink); background: var(--card); cursor: pointer;
  border: 1px solid var(--muted); border-radius: 6px; min-width: 2.2rem; padding: .25rem .6rem;
}
button:hover { border-color: var(--accent); }
.zoomed button:last-of-type { border-color: var(--accent); color: var(--accent); }
.frames { max-height: 22rem; overflow: auto; max-width: 60rem; }
.frames table { max-width: none; }
.frames th {
  position: sticky; top: 0; background: var(--paper); width: auto; white-space: nowrap;
}
.frames th, .frames td { overflow-wrap: break-word; }
.frames td:first-child, .frames .time { white-space: nowrap; }
table { border-collapse: collapse; font-size: .9rem; width: 100%; max-width: 46rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem 1rem .3rem 0;
  border-bottom: 1px solid var(--rule); overflow-wrap: anywhere; }
th { font-weight: 500; color: var(--soft); white-space: nowrap; width: 9rem; }
section + table { margin-top: 1rem; }
footer { margin-top: 2.5rem; color: var(--soft); font-size: .8rem; }
@media (max-width: 760px) {
  main { padding: 1.2rem .8rem 2rem; }
  .pictures, .lines { grid-template-columns: minmax(0, 1fr); }
  .active { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .5rem; }
  figure { padding: .7rem; }
}
@media (max-width: 560px) {
  .active { grid-template-columns: minmax(0, 1fr); }
  .lines svg text, .pictures svg text { font-size: 15px; }
  th { width: auto; }
  th, td { padding-right: .7rem; }
  .frames thead { display: none; }
  .frames tr { display: block; padding: .4rem 0; border-bottom: 1px solid var(--rule); }
  .frames td { display: inline-block; border: 0; padding: 0 .8rem 0 0; overflow-wrap: anywhere; }
  .frames td:first-child::before { content: "Frame "; }
  .frames td:last-child { display: block; }
}
@media print {
  :root { --paper: #fff; --card: #fff; --ink: #000; --soft: #444; --rule: #ddd; }
  main { max-width: none; padding: 0; }
  .zoom { display: none; }
  .frames { max-height: none; overflow: visible; }
  figure, li, tr { break-inside: avoid; }
}
"""
