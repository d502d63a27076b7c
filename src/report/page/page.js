'use strict';
// Reads the figures of docs/plan-json.md and draws one phase at a time.

const $ = id => document.getElementById(id);
const { headline, report } = JSON.parse($('data').textContent);
const SHOWN = 200; // rows of a list; more are counted only, or the page would stutter
const MARGIN = 70; // pixels left of the drawings, for labels
const LIFETIMES = ['scratch', 'state', 'io', 'derived'];
const BARS = ['flops', 'bytes', 'time'];

const makers = new Map(report.phases.flatMap(p => p.rows.map(r => [r.number, r])));
const view = {
  phase: 0, card: 0, from: 0, to: 1, words: [], order: 'number', down: false, hover: null, drag: null,
};

// ---- words

function unit(value, units) {
  const [size, name] = units.find(([size]) => value >= size) || units[units.length - 1];
  return size === 1 ? `${value} ${name}` : `${(value / size).toFixed(2)} ${name}`;
}
const bytesText = n => unit(n, [[1e9, 'GB'], [1e6, 'MB'], [1e3, 'kB'], [1, 'B']]);
const flopsText = n => unit(n, [[1e15, 'PF'], [1e12, 'TF'], [1e9, 'GF'], [1e6, 'MF'], [1e3, 'kF'], [1, 'F']]);
const gibText = n => `${(n / 2 ** 30).toFixed(1)} GiB`;
const timeText = s => s >= 120 ? `${(s / 60).toFixed(1)} min` : s >= 1 ? `${s.toFixed(2)} s` : s >= 1e-3 ? `${(s * 1e3).toFixed(2)} ms` : `${(s * 1e6).toFixed(2)} us`;
const phase = () => report.phases[view.phase];
const end = () => phase().first + phase().launches;
// What an unnamed buffer is called.
const made = b => b.made_by === null ? '' : `(${makers.get(b.made_by).kernel})`;
const pathOf = row => [row.path, ...(row.more_paths || [])].join(', ');

function launchText(row) {
  const loop = row.loop ? `, loop ${row.loop}` : '';
  return `launch ${row.number}: ${row.kernel}\n${pathOf(row) || '(no path)'}\n` +
    `segment ${row.segment}${loop}, queue ${row.queue}, executed ${row.count} times\n` +
    `${flopsText(row.flops)}, ${bytesText(row.bytes)}, at least ${timeText(row.seconds[view.card])} on ${report.cards[view.card].name}`;
}

function bufferText(b) {
  const maker = b.made_by === null ? null : makers.get(b.made_by);
  const origin = maker ? `made by launch ${maker.number}: ${maker.kernel}\n${pathOf(maker) || '(no path)'}` : 'written by the host';
  return `${b.name || made(b) || '(no name)'}\n${bytesText(b.bytes)} (${b.bytes} bytes) at 0x${b.offset.toString(16)}\n` +
    `${b.lifetime}, alive from launch ${b.first} to ${b.last}\n${origin}`;
}

// ---- search: every word must be somewhere in the text

function searchable(thing) {
  if (!thing.words) {
    const text = 'kernel' in thing
      ? `${thing.number} ${thing.kernel} ${pathOf(thing)} ${thing.segment} ${thing.loop || ''}`
      : `${bufferText(thing)} 0x${thing.offset.toString(16)}`;
    Object.defineProperty(thing, 'words', { value: text.toLowerCase() });
  }
  return thing.words;
}
const found = thing => view.words.every(word => searchable(thing).includes(word));

// ---- drawing

function style(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function prepare(canvas) {
  const scale = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext('2d');
  pen.scale(scale, scale);
  pen.font = '11px system-ui, sans-serif';
  return [pen, width, height];
}

const xOf = (launch, width) => MARGIN + (launch - view.from) / (view.to - view.from) * (width - MARGIN);
const launchAt = (x, width) => view.from + (x - MARGIN) / (width - MARGIN) * (view.to - view.from);

/** Where a buffer is drawn: left, top, width, height in pixels of the canvas's box; null outside the picture. */
function place(b, width, height) {
  const from = Math.max(b.first, phase().first, view.from), to = Math.min(b.last + 1, end(), view.to);
  if (to <= from) return null;
  const room = height - 16, arena = Math.max(phase().arena_bytes, 1);
  const left = xOf(from, width), top = 8 + room * (1 - (b.offset + b.bytes) / arena);
  return [left, top, Math.max(xOf(to, width) - left, 1), Math.max(room * b.bytes / arena, 1)];
}

function drawMemory() {
  const [pen, width, height] = prepare($('memory'));
  const ink = style('ink'), back = style('panel'), colours = Object.fromEntries(LIFETIMES.map(l => [l, style(l)]));
  for (const b of phase().buffers) {
    const box = place(b, width, height);
    if (!box) continue;
    pen.globalAlpha = view.words.length && !found(b) ? 0.15 : 1;
    pen.fillStyle = colours[b.lifetime] || ink;
    pen.fillRect(...box);
    if (box[2] > 3 && box[3] > 3) {
      pen.strokeStyle = back;
      pen.strokeRect(...box);
    }
  }
  pen.globalAlpha = 1;
  if (view.hover && 'offset' in view.hover) {
    const box = place(view.hover, width, height);
    pen.strokeStyle = ink;
    pen.lineWidth = 2;
    if (box) pen.strokeRect(...box);
  }
  pen.fillStyle = style('faint');
  pen.textAlign = 'right';
  for (const part of [0, 0.25, 0.5, 0.75, 1]) {
    pen.fillText(bytesText(Math.round(part * phase().arena_bytes)), MARGIN - 6, 8 + (height - 16) * (1 - part) + 4);
  }
}

const cost = (row, bar) => bar === 'time' ? row.seconds[view.card] : row[bar];

function drawBars() {
  const [pen, width, height] = prepare($('bars'));
  const room = height / BARS.length, texts = { flops: flopsText, bytes: bytesText, time: timeText };
  const rows = phase().rows.filter(r => r.number + 1 > view.from && r.number < view.to);
  const step = (width - MARGIN) / (view.to - view.from);
  BARS.forEach((bar, i) => {
    const most = rows.reduce((most, row) => Math.max(most, cost(row, bar)), 0);
    const base = room * (i + 1) - 4, tall = room - 14;
    pen.fillStyle = style(bar);
    for (const row of rows) {
      const high = most ? tall * cost(row, bar) / most : 0;
      const left = Math.max(xOf(row.number, width), MARGIN), right = xOf(row.number + 1, width);
      pen.globalAlpha = view.words.length && !found(row) ? 0.2 : row === view.hover ? 0.6 : 1;
      pen.fillRect(left, base - high, Math.max(right - left - (step > 4 ? 1 : 0), 1), high);
    }
    pen.globalAlpha = 1;
    pen.fillStyle = style('faint');
    pen.textAlign = 'right';
    pen.fillText(texts[bar](most), MARGIN - 6, base - tall + 8);
    pen.fillText(bar, MARGIN - 6, base);
  });
}

let waiting = false;
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    drawMemory();
    drawBars();
  });
}

// ---- tables

function fill(table, titles, rows, each) {
  const cell = (kind, [text, how]) => {
    const made = document.createElement(kind);
    made.textContent = text;
    made.className = how || '';
    return made;
  };
  const line = (kind, cells) => {
    const made = document.createElement('tr');
    made.append(...cells.map(c => cell(kind, c)));
    return made;
  };
  const head = document.createElement('thead'), body = document.createElement('tbody');
  head.append(line('th', titles));
  rows.forEach((row, i) => {
    const made = line('td', row);
    if (each) each(made, i);
    body.append(made);
  });
  table.replaceChildren(head, body);
}

function tables() {
  const chosen = (which, at, pick) => (made, i) => {
    made.classList.toggle('chosen', i === at);
    made.onclick = () => pick(i);
  };
  const n = text => [text, 'number'];
  fill($('phases'), [['phase'], n('launches'), n('work'), n('weights'), n('tables'), n('arena'), n('at least')],
    report.phases.map(p => [[p.image === null ? p.name : `${p.name}, only with an image`], n(String(p.executed_launches)), n(flopsText(p.flops)), n(bytesText(p.weight_bytes)),
      n(bytesText(p.table_bytes)), n(bytesText(p.arena_bytes)), n(timeText(p.seconds[view.card]))]),
    chosen('phase', view.phase, setPhase));
  fill($('cards'), [['card'], n('memory'), ['fits'], n('a run takes at least')],
    report.cards.map(c => [[c.name], n(gibText(c.memory_bytes)), [c.fits ? 'yes' : 'no'], n(timeText(c.seconds))]),
    chosen('card', view.card, setCard));
  const [first] = report.footprints;
  $('footprints').hidden = !first;
  if (!first) return;
  fill($('footprints'), [['weights in'], n('peak'), ...first.sizes.map(s => [gibText(s.memory_bytes)])],
    report.footprints.map(f => [[f.weights], n(bytesText(f.peak_bytes)), ...f.sizes.map(s => [s.fits])]),
    (made, i) => made.classList.toggle('chosen', report.footprints[i].chosen));
}

function lists() {
  const n = text => [text, 'number'];
  const titles = [['number', '#'], ['kernel', 'kernel'], ['path', 'path'], ['count', 'times'], ['flops', 'work'],
    ['bytes', 'bytes'], ['time', 'at least']];
  const key = row => view.order === 'time' ? row.seconds[view.card] : row[view.order];
  const rows = phase().rows.filter(found).sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0) * (view.down ? -1 : 1));
  const buffers = phase().buffers.filter(found);
  $('launch-count').textContent = count(rows.length, phase().rows.length);
  $('buffer-count').textContent = count(buffers.length, phase().buffers.length);
  fill($('launches'), titles.map(([, title], i) => [title, i > 2 ? 'number sorts' : 'sorts']),
    rows.slice(0, SHOWN).map(r => [[String(r.number)], [r.kernel], [pathOf(r), 'text'], n(String(r.count)), n(flopsText(r.flops)),
      n(bytesText(r.bytes)), n(timeText(r.seconds[view.card]))]),
    (line, i) => { line.title = launchText(rows[i]); });
  $('launches').querySelectorAll('th').forEach((head, i) => {
    head.onclick = () => {
      view.down = view.order === titles[i][0] ? !view.down : i > 2;
      view.order = titles[i][0];
      lists();
    };
  });
  fill($('buffers'), [['buffer'], n('bytes'), n('at'), n('launches'), ['life']],
    buffers.slice(0, SHOWN).map(b => [[b.name || made(b), 'text'], n(bytesText(b.bytes)), n(`0x${b.offset.toString(16)}`),
      n(`${b.first}-${b.last}`), [b.lifetime]]),
    (line, i) => { line.title = bufferText(buffers[i]); });
}
const count = (matching, all) => `${matching} of ${all}` + (matching > SHOWN ? `, the first ${SHOWN} listed` : '');

// ---- choosing

function setPhase(i) {
  view.phase = i;
  view.hover = null;
  $('phase').value = i;
  reset();
  tables();
  lists();
}

function setCard(i) {
  view.card = i;
  $('card').value = i;
  tables();
  lists();
  redraw();
}

function reset() {
  [view.from, view.to] = [phase().first, Math.max(end(), phase().first + 1)];
  redraw();
}

function move(from, size) {
  const first = phase().first, last = Math.max(end(), first + 1);
  size = Math.min(Math.max(size, 2), last - first);
  view.from = Math.min(Math.max(from, first), last - size);
  view.to = view.from + size;
  redraw();
}

// ---- pointing

/** What lies under a point of a canvas's box. */
function under(canvas, x, y) {
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (x < MARGIN) return null;
  if (canvas.id === 'bars') {
    return phase().rows[Math.floor(launchAt(x, width)) - phase().first] || null;
  }
  const hit = b => {
    const box = place(b, width, height);
    return box && x >= box[0] && x < box[0] + box[2] && y >= box[1] && y < box[1] + box[3];
  };
  return phase().buffers.find(hit) || null;
}

function point(event) {
  const canvas = event.currentTarget, box = canvas.getBoundingClientRect(), tip = $('tip');
  const x = event.clientX - box.left - canvas.clientLeft, y = event.clientY - box.top - canvas.clientTop;
  if (view.drag !== null) {
    const perPixel = (view.to - view.from) / (canvas.clientWidth - MARGIN), size = view.to - view.from;
    move(view.drag.from - (event.clientX - view.drag.x) * perPixel, size);
  }
  const thing = under(canvas, x, y);
  if (thing !== view.hover) {
    view.hover = thing;
    redraw();
  }
  tip.hidden = !thing;
  if (!thing) return;
  tip.textContent = 'kernel' in thing ? launchText(thing) : bufferText(thing);
  tip.style.left = `${Math.max(Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8), 0)}px`;
  const below = event.clientY + 18;
  tip.style.top = `${below + tip.offsetHeight > innerHeight ? Math.max(event.clientY - tip.offsetHeight - 10, 0) : below}px`;
}

function leave() {
  view.hover = null;
  $('tip').hidden = true;
  redraw();
}

function start() {
  const options = (select, names, pick) => {
    select.replaceChildren(...names.map((name, i) => new Option(name, i)));
    select.onchange = () => pick(Number(select.value));
  };
  options($('phase'), report.phases.map(p => p.name), setPhase);
  options($('card'), report.cards.map(c => c.name), setCard);
  document.title = `${report.target}: plan`;
  $('target').textContent = report.target;
  $('headline').textContent = headline;
  $('notes').replaceChildren(...report.notes.map(text => {
    const note = document.createElement('p');
    note.className = 'note';
    note.textContent = text;
    return note;
  }));
  $('needs').textContent = `needs ${bytesText(report.peak_bytes)} of memory (${report.peak_bytes} bytes) and leaves ` +
    `${gibText(report.reserve_bytes)} to the driver${report.vram_bytes ? `; made for ${gibText(report.vram_bytes)}` : ''}`;
  for (const lifetime of LIFETIMES) {
    const entry = document.createElement('span'), colour = document.createElement('i');
    colour.style.background = `var(--${lifetime})`;
    entry.append(colour, lifetime);
    $('legend').append(entry);
  }
  $('search').oninput = () => {
    view.words = $('search').value.toLowerCase().split(/\s+/).filter(Boolean);
    lists();
    redraw();
  };
  $('reset').onclick = reset;
  for (const canvas of [$('memory'), $('bars')]) {
    canvas.onpointermove = point;
    canvas.onpointerleave = leave;
    canvas.onpointerdown = event => {
      view.drag = { x: event.clientX, from: view.from };
      canvas.setPointerCapture(event.pointerId);
    };
    canvas.onpointerup = canvas.onpointercancel = () => { view.drag = null; };
    canvas.ondblclick = reset;
    canvas.addEventListener('wheel', event => {
      event.preventDefault();
      const at = launchAt(event.clientX - canvas.getBoundingClientRect().left, canvas.clientWidth);
      const size = (view.to - view.from) * (event.deltaY > 0 ? 1.25 : 0.8);
      move(at - (at - view.from) / (view.to - view.from) * size, size);
    }, { passive: false });
  }
  addEventListener('resize', redraw);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  setPhase(0);
}

start();
