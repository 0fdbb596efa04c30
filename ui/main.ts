// The map as a page: joins what the daemon says to what is drawn, and what the reader does to what is shown. Nothing is drawn
// while nothing changes.

import type { Rates } from '../src/cli/status/rates.ts';
import type { Status } from '../src/daemon/status-types.ts';
import { Camera } from './camera.ts';
import { Feed } from './feed.ts';
import { buildModel, type HostNode, type MapModel, Places, SPACING, search } from './model.ts';
import { Panel } from './panel.ts';
import { Scene } from './scene.ts';
import { Strip } from './strip.ts';
import { readTheme, watchTheme } from './theme.ts';

const FOUND_MAX = 20;

const canvas = document.querySelector<HTMLCanvasElement>('#map')!;
const input = document.querySelector<HTMLInputElement>('#search')!;
const places = new Places();
const panel = new Panel();
let theme = readTheme();
let model: MapModel = { hosts: [], byId: new Map(), blocks: [] };
let self = '';
let selected: string | null = null;
let found: ReadonlySet<string> = new Set();
let isDue = false;

const camera = new Camera(canvas, redraw, (at) => select(scene.hostAt(model, at)));
const scene = new Scene(canvas, camera);
const strip = new Strip(
  document.querySelector<HTMLCanvasElement>('#strip')!,
  document.querySelector<HTMLElement>('#block')!,
  (peer) => select(model.byId.get(peer) ?? null),
);

/** In the next frame, however often it is asked for. */
function redraw(): void {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    scene.draw(model, theme, { selected, found });
  });
}

function redrawAll(): void {
  strip.draw(model, theme, self, selected);
  redraw();
}

function select(host: HostNode | null): void {
  selected = host?.id ?? null;
  panel.details(host);
  redrawAll();
}

function show(status: Status, rates: Rates | null): void {
  const isFirst = self === '';
  self = status.self.id;
  model = buildModel(status, rates, places);
  panel.health(status);
  if (selected !== null) panel.details(model.byId.get(selected) ?? null);
  canvas.dataset.hosts = String(model.hosts.length);
  canvas.dataset.containers = String(model.hosts.reduce((sum, { containers }) => sum + containers.length, 0));
  if (isFirst && self !== '') showAll();
  redrawAll();
}

function showAll(): void {
  camera.fit(SPACING * (Math.sqrt(Math.max(2, model.hosts.length)) + 0.9));
}

function find(): void {
  const hits = search(model, input.value, FOUND_MAX);
  found = new Set(hits.map(({ host }) => host.id));
  panel.found(hits, goTo);
  redraw();
}

function goTo(host: HostNode): void {
  select(host);
  camera.moveTo(host, Math.max(camera.scale, 1));
}

/** From host to host, in the order of their names. */
function step(by: 1 | -1): void {
  const order = model.hosts;
  const at = order.findIndex(({ id }) => id === selected);
  const next = order[(at + by + order.length) % Math.max(1, order.length)];
  if (next !== undefined) goTo(next);
}

function keyPressed(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === 'Escape') {
    input.value = '';
    find();
    select(null);
    canvas.focus();
    return;
  }
  if (event.target === input) {
    const [first] = search(model, input.value, 1);
    if (event.key === 'Enter' && first !== undefined) goTo(first.host);
    return;
  }
  const actions: Readonly<Record<string, () => void>> = {
    '/': () => input.focus(),
    '0': showAll,
    n: () => step(1),
    p: () => step(-1),
  };
  const action = actions[event.key];
  if (action === undefined) return;
  event.preventDefault();
  action();
}

document.addEventListener('keydown', keyPressed);
input.addEventListener('input', find);
new ResizeObserver(redrawAll).observe(canvas);
watchTheme(() => {
  theme = readTheme();
  redrawAll();
});
new Feed({
  status: show,
  events: (events) => panel.happened(events),
  lost: () => panel.lost(),
}).start();
