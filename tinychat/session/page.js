
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const text = document.getElementById("text");
const panel = document.getElementById("odds");
const spans = Array.from(text.querySelectorAll("span.t"));
let here = -1, pinned = false;

function add(parent, tag, words, kind) {
  const node = document.createElement(tag);
  if (words !== undefined) node.textContent = words;
  if (kind) node.className = kind;
  parent.appendChild(node);
  return node;
}
function share(p) { return p === null ? "" : p > 0 && p < 0.0001 ? p.toExponential(1) : (100 * p).toFixed(2) + "%"; }
function table(heads, rows) {
  const node = add(panel, "table");
  const top = add(node, "tr");
  heads.forEach((head, i) => add(top, "th", head, i ? "n" : ""));
  for (const [kind, cells] of rows) {
    const row = add(node, "tr", undefined, kind);
    cells.forEach((cell, i) => add(row, "td", cell, i ? "n" : ""));
  }
}
function show(index) {
  if (index < 0 || index >= spans.length) return;
  if (here >= 0) spans[here].classList.remove("here");
  here = index;
  spans[here].classList.add("here");
  const odds = data.tokens[spans[here].dataset.at];
  panel.replaceChildren();
  if (!odds) { add(panel, "p", "There is no record of this choice."); return; }
  const label = id => data.labels[id] === undefined ? "#" + id : data.labels[id];
  add(panel, "p", `position ${spans[here].dataset.at}: ${label(odds.id)}  (id ${odds.id})`);
  add(panel, "p", `raw ${share(odds.raw[0])}, rank ${odds.raw[1]}; final ${share(odds.final[0])}` +
    (odds.final[1] ? `, rank ${odds.final[1]}` : ", cut by the settings"));
  add(panel, "p", `surprisal ${odds.bits.toFixed(2)} bits; entropy ${odds.entropy[0].toFixed(2)} raw, ` +
    `${odds.entropy[1].toFixed(2)} final; ` +
    `${odds.kept[0]} of ${odds.kept[1]} tokens kept`);
  add(panel, "p", odds.draw === null ? "chosen by a person, not drawn"
    : `u ${odds.draw[0]} fell into [${odds.draw[1]}, ${odds.draw[2]})`);
  add(panel, "p", `settings: ${data.settings[odds.set] || ""}; seed ${data.seeds[odds.set] || ""}`);
  table(["candidate", "rank", "raw", "final", ""], odds.rows.map(([id, rank, raw, final, cut]) =>
    [id === odds.id ? "chosen" : cut ? "cut" : "", [label(id), rank, share(raw), cut ? "cut by " + cut : share(final)]]));
  table(["stage", "kept", "mass", "bits", "token"], odds.stages.map(([name, kept, mass, bits, chosen]) =>
    ["", [name, kept, share(mass), bits.toFixed(2), share(chosen)]]));
}
text.addEventListener("mouseover", event => {
  const span = event.target.closest("span.t");
  if (span && !pinned) show(spans.indexOf(span));
});
text.addEventListener("click", event => {
  const span = event.target.closest("span.t");
  pinned = Boolean(span) && !(pinned && spans[here] === span);
  if (span) show(spans.indexOf(span));
});
document.addEventListener("keydown", event => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  show(Math.min(Math.max(here + step, 0), spans.length - 1));
  spans[here].scrollIntoView({ block: "nearest" });
});
show(0);
