// Where the map is looked at from: a point and a scale, moved by mouse, wheel, fingers and keys. It only says that something
// changed; drawing is the scene's.

const SCALE_MIN = 0.02;
const SCALE_MAX = 6;
const KEY_STEP = 60;
const ZOOM_STEP = 1.25;
/** A press that moves less is a click. */
const CLICK_PIXELS = 5;

export interface Point {
  readonly x: number;
  readonly y: number;
}

export class Camera {
  /** The point of the map in the middle of the view. */
  x = 0;
  y = 0;
  /** Pixels per unit of the map. */
  scale = 1;
  readonly #canvas: HTMLCanvasElement;
  readonly #changed: () => void;
  readonly #clicked: (at: Point) => void;
  /** Pointers that are down, by id. */
  readonly #down = new Map<number, Point>();
  #moved = 0;

  constructor(canvas: HTMLCanvasElement, changed: () => void, clicked: (at: Point) => void) {
    this.#canvas = canvas;
    this.#changed = changed;
    this.#clicked = clicked;
    canvas.addEventListener('pointerdown', (event) => this.#press(event));
    canvas.addEventListener('pointermove', (event) => this.#drag(event));
    for (const name of ['pointerup', 'pointercancel'] as const) {
      canvas.addEventListener(name, (event) => this.#release(event));
    }
    canvas.addEventListener('wheel', (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener('keydown', (event) => this.#key(event));
  }

  toView({ x, y }: Point): Point {
    const { clientWidth, clientHeight } = this.#canvas;
    return { x: (x - this.x) * this.scale + clientWidth / 2, y: (y - this.y) * this.scale + clientHeight / 2 };
  }

  toMap({ x, y }: Point): Point {
    const { clientWidth, clientHeight } = this.#canvas;
    return { x: (x - clientWidth / 2) / this.scale + this.x, y: (y - clientHeight / 2) / this.scale + this.y };
  }

  moveTo(point: Point, scale = this.scale): void {
    this.x = point.x;
    this.y = point.y;
    this.scale = Math.min(SCALE_MAX, Math.max(SCALE_MIN, scale));
    this.#changed();
  }

  /** Shows a circle of that radius around the middle. */
  fit(radius: number): void {
    const { clientWidth, clientHeight } = this.#canvas;
    this.moveTo({ x: 0, y: 0 }, Math.min(2, Math.min(clientWidth, clientHeight) / (2 * radius)));
  }

  #zoom(by: number, at: Point): void {
    const before = this.toMap(at);
    this.scale = Math.min(SCALE_MAX, Math.max(SCALE_MIN, this.scale * by));
    const after = this.toMap(at);
    this.moveTo({ x: this.x + before.x - after.x, y: this.y + before.y - after.y });
  }

  #press(event: PointerEvent): void {
    this.#canvas.setPointerCapture(event.pointerId);
    if (this.#down.size === 0) this.#moved = 0;
    this.#down.set(event.pointerId, at(event));
  }

  #drag(event: PointerEvent): void {
    const before = this.#down.get(event.pointerId);
    if (before === undefined) return;
    const now = at(event);
    const others = [...this.#down].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
    this.#down.set(event.pointerId, now);
    this.#moved += distance(before, now);
    const [other] = others;
    if (other !== undefined)
      this.#zoom(distance(now, other) / Math.max(1, distance(before, other)), middle(now, other));
    const share = this.#down.size; // two fingers that move alike move the map once
    const [dx, dy] = [(now.x - before.x) / share, (now.y - before.y) / share];
    this.moveTo({ x: this.x - dx / this.scale, y: this.y - dy / this.scale });
  }

  #release(event: PointerEvent): void {
    const wasDown = this.#down.delete(event.pointerId);
    if (wasDown && this.#down.size === 0 && this.#moved < CLICK_PIXELS && event.type === 'pointerup') {
      this.#clicked(at(event));
    }
  }

  #wheel(event: WheelEvent): void {
    event.preventDefault();
    this.#zoom(Math.exp(-event.deltaY / 500), at(event));
  }

  #key(event: KeyboardEvent): void {
    const step = KEY_STEP / this.scale;
    const { clientWidth, clientHeight } = this.#canvas;
    const center = { x: clientWidth / 2, y: clientHeight / 2 };
    const moves: Readonly<Record<string, () => void>> = {
      ArrowLeft: () => this.moveTo({ x: this.x - step, y: this.y }),
      ArrowRight: () => this.moveTo({ x: this.x + step, y: this.y }),
      ArrowUp: () => this.moveTo({ x: this.x, y: this.y - step }),
      ArrowDown: () => this.moveTo({ x: this.x, y: this.y + step }),
      '+': () => this.#zoom(ZOOM_STEP, center),
      '=': () => this.#zoom(ZOOM_STEP, center),
      '-': () => this.#zoom(1 / ZOOM_STEP, center),
    };
    const move = moves[event.key];
    if (move === undefined) return;
    event.preventDefault();
    move();
  }
}

function at(event: MouseEvent): Point {
  return { x: event.offsetX, y: event.offsetY };
}

function middle(a: Point, b: Point): Point {
  return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
}

function distance(a: Point, b: Point): number {
  return Math.hypot(a.x - b.x, a.y - b.y);
}
