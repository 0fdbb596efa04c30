// Draws the map: lines by datapath and width by what flows, hosts, around each its containers, and names where there is room.
// What is outside the view costs nothing, and what is too small to be read is left out, so that a thousand hosts are as smooth
// as three.

import type { Camera, Point } from './camera.ts';
import type { HostNode, MapModel } from './model.ts';
import { type Theme, tunnelColour } from './theme.ts';

const HOST_RADIUS = 9;
const CONTAINER_RADIUS = 2.5;
/** Around one host; more are a number. */
const CONTAINERS_MAX = 48;
const CONTAINERS_PER_RING = 16;
/** Below that many pixels per unit containers are no more than noise. */
const CONTAINERS_FROM_SCALE = 0.7;
const NAMES_FROM_SCALE = 0.55;
const WIDTH_MAX = 10;
const SELF_PIXELS_MIN = 6;
/** Pixels of line and gap. */
const RELAYED_DASH = [6, 5];
/** Lines on which nothing flows stand back behind the others, the more so where there are many. */
const QUIET = 0.75;
const QUIET_IN_CROWD = 0.3;
const CROWD = 100;

export interface Marks {
  readonly selected: string | null;
  readonly found: ReadonlySet<string>;
}

export class Scene {
  readonly #canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  readonly #camera: Camera;

  constructor(canvas: HTMLCanvasElement, camera: Camera) {
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d', { alpha: false })!;
    this.#camera = camera;
  }

  draw(model: MapModel, theme: Theme, marks: Marks): void {
    const context = this.#context;
    const { scale } = this.#camera;
    this.#resize();
    context.fillStyle = theme.ground;
    context.fillRect(0, 0, this.#canvas.clientWidth, this.#canvas.clientHeight);
    const middle = this.#camera.toView({ x: 0, y: 0 });
    const peers = model.hosts.filter(({ isSelf }) => !isSelf);
    const quiet = peers.length > CROWD ? QUIET_IN_CROWD : QUIET;
    for (const host of peers) if (host.flow === 0) this.#tunnel(host, middle, theme, quiet);
    for (const host of peers) if (host.flow > 0) this.#tunnel(host, middle, theme, 1);
    for (const host of model.hosts) {
      const at = this.#camera.toView(host);
      if (!this.#isVisible(at)) continue;
      if (scale >= CONTAINERS_FROM_SCALE) this.#containers(host, at, theme);
      this.#host(host, at, theme, marks);
    }
  }

  /** The host at that place of the view; null when none is near. */
  hostAt(model: MapModel, view: Point): HostNode | null {
    const { x, y } = this.#camera.toMap(view);
    const reach = Math.max(HOST_RADIUS * 2, 12 / this.#camera.scale);
    let best: HostNode | null = null;
    let bestDistance = reach;
    for (const host of model.hosts) {
      const distance = Math.hypot(host.x - x, host.y - y);
      if (distance < bestDistance) [best, bestDistance] = [host, distance];
    }
    return best;
  }

  #resize(): void {
    const { clientWidth, clientHeight } = this.#canvas;
    const ratio = Math.min(2, devicePixelRatio);
    const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      this.#canvas.width = width;
      this.#canvas.height = height;
    }
    this.#context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  #isVisible({ x, y }: Point): boolean {
    const margin = 60 * Math.max(1, this.#camera.scale);
    const { clientWidth, clientHeight } = this.#canvas;
    return x > -margin && y > -margin && x < clientWidth + margin && y < clientHeight + margin;
  }

  /** Dashed: by a relay. */
  #tunnel(host: HostNode, middle: Point, theme: Theme, opacity: number): void {
    const context = this.#context;
    const at = this.#camera.toView(host);
    if (!crosses(middle, at, this.#canvas)) return;
    context.strokeStyle = tunnelColour(theme, host);
    context.lineWidth = flowWidth(host.flow);
    context.globalAlpha = host.state === 'dead' || host.tunnel?.state === 'failed' ? 1 : opacity;
    context.beginPath();
    context.moveTo(middle.x, middle.y);
    context.lineTo(at.x, at.y);
    context.setLineDash(host.tunnel?.relay == null ? [] : RELAYED_DASH);
    context.stroke();
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  #host(host: HostNode, at: Point, theme: Theme, { selected, found }: Marks): void {
    const context = this.#context;
    const { scale } = this.#camera;
    const size = (host.isSelf ? HOST_RADIUS * 1.4 : HOST_RADIUS) * Math.min(1.5, scale);
    const radius = Math.max(host.isSelf ? SELF_PIXELS_MIN : 2, size);
    const isMarked = host.id === selected || found.has(host.id);
    if (isMarked) {
      context.fillStyle = host.id === selected ? theme.self : theme.found;
      circle(context, at, radius + 4);
    }
    context.fillStyle = host.isSelf ? theme.self : host.state === 'alive' ? theme.host : theme.ground;
    circle(context, at, radius);
    if (host.state !== 'alive') {
      context.strokeStyle = host.state === 'dead' ? theme.bad : theme.aside;
      context.lineWidth = 2;
      context.stroke();
    }
    if (scale < NAMES_FROM_SCALE && !isMarked && !host.isSelf) return;
    context.fillStyle = theme.ink;
    context.font = '12px system-ui, sans-serif';
    context.textAlign = 'center';
    const below = at.y + radius + 14 + (scale >= CONTAINERS_FROM_SCALE && host.containers.length > 0 ? 18 * scale : 0);
    context.fillText(host.nickname, at.x, below);
  }

  /** In rings; what does not fit is a number in their place. */
  #containers({ containers }: HostNode, at: Point, theme: Theme): void {
    const context = this.#context;
    const { scale } = this.#camera;
    const shown = Math.min(containers.length, CONTAINERS_MAX);
    context.fillStyle = theme.container;
    for (let index = 0; index < shown; index++) {
      const ring = Math.floor(index / CONTAINERS_PER_RING);
      const angle = ((index % CONTAINERS_PER_RING) / CONTAINERS_PER_RING) * 2 * Math.PI - Math.PI / 2;
      const radius = (HOST_RADIUS + 8 + ring * 7) * scale;
      const point = { x: at.x + radius * Math.cos(angle), y: at.y + radius * Math.sin(angle) };
      circle(context, point, CONTAINER_RADIUS * Math.min(1.5, scale));
    }
    if (containers.length <= shown) return;
    context.font = '11px system-ui, sans-serif';
    context.textAlign = 'left';
    context.fillText(`+${containers.length - shown}`, at.x + 32 * scale, at.y);
  }
}

/** 1 pixel for nothing, one more for each factor of ten above 100 bytes a second. */
function flowWidth(bytesPerSecond: number): number {
  return Math.min(WIDTH_MAX, 1 + Math.max(0, Math.log10(Math.max(1, bytesPerSecond)) - 2) * 1.4);
}

/** False when the line lies on one side of the view. */
function crosses(a: Point, b: Point, { clientWidth, clientHeight }: HTMLCanvasElement): boolean {
  if (Math.max(a.x, b.x) < 0 || Math.min(a.x, b.x) > clientWidth) return false;
  return Math.max(a.y, b.y) >= 0 && Math.min(a.y, b.y) <= clientHeight;
}

function circle(context: CanvasRenderingContext2D, { x, y }: Point, radius: number): void {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}
