"""How the page looks, light and dark, on a screen of any width and on paper."""

__all__ = ["CSS"]

CSS = """\
:root {
  --paper: #fcfcfb; --card: #ffffff; --ink: #1c2024; --soft: #5c646c; --muted: #9aa1a8;
  --rule: #e4e6e8; --accent: #2f6da8; --second: #c2702b; --warn: #c0392b; --warn-soft: #fbeceb;
  --note: #7a6a1f; --note-soft: #faf5df; --fine: #2d7d46; --fine-soft: #e9f5ed;
}
@media (prefers-color-scheme: dark) {
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
.active { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); }
figure {
  margin: 0; padding: .9rem 1rem; background: var(--card); border: 1px solid var(--rule);
  border-radius: 8px; break-inside: avoid; min-width: 0;
}
.active figure { padding: .6rem .7rem; }
.active h3 { font-size: .8rem; margin: 0 0 .2rem; }
figcaption { margin-top: .5rem; color: var(--soft); font-size: .8rem; line-height: 1.4; }
.active figcaption { margin-top: .2rem; font-size: .75rem; }
svg { display: block; width: 100%; height: auto; }
svg text { font-family: inherit !important; }
svg image { image-rendering: pixelated; }
table { border-collapse: collapse; font-size: .9rem; width: 100%; max-width: 46rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem 1rem .3rem 0;
  border-bottom: 1px solid var(--rule); overflow-wrap: anywhere; }
th { font-weight: 500; color: var(--soft); white-space: nowrap; width: 9rem; }
footer { margin-top: 2.5rem; color: var(--soft); font-size: .8rem; }
@media (max-width: 760px) {
  main { padding: 1.2rem .8rem 2rem; }
  .pictures, .lines { grid-template-columns: minmax(0, 1fr); }
  .active { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .5rem; }
  figure { padding: .7rem; }
}
@media (max-width: 460px) { .active { grid-template-columns: minmax(0, 1fr); } }
@media print { main { max-width: none; padding: 0; } }
"""
