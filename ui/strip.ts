// The address range as a strip: every block in its owner's colour. What is under the pointer is named below.

import type { Block, MapModel } from './model.ts';
import { ownerColour, type Theme } from './theme.ts';

export class Strip {
  readonly #canvas: HTMLCanvasElement;
  readonly #caption: HTMLElement;
  #model: MapModel | null = null;

  /** `picked`: the owner of the block that was clicked. */
  constructor(canvas: HTMLCanvasElement, caption: HTMLElement, picked: (peer: string) => void) {
    this.#canvas = canvas;
    this.#caption = caption;
    canvas.addEventListener('pointermove', ({ offsetX }) => this.#name(this.#blockAt(offsetX)));
    canvas.addEventListener('pointerleave', () => this.#name(null));
    canvas.addEventListener('click', ({ offsetX }) => {
      const block = this.#blockAt(offsetX);
      if (block !== null) picked(block.lease.peer);
    });
  }

  draw(model: MapModel, theme: Theme, self: string, selected: string | null): void {
    this.#model = model;
    const { clientWidth, clientHeight } = this.#canvas;
    const ratio = Math.min(2, devicePixelRatio);
    this.#canvas.width = Math.round(clientWidth * ratio);
    this.#canvas.height = Math.round(clientHeight * ratio);
    const context = this.#canvas.getContext('2d')!;
    context.scale(ratio, ratio);
    context.fillStyle = theme.line;
    context.fillRect(0, 0, clientWidth, clientHeight);
    for (const { from, to, lease } of model.blocks) {
      const isDimmed = selected !== null && lease.peer !== selected;
      context.globalAlpha = isDimmed ? 0.25 : lease.state === 'spare' ? 0.6 : 1;
      context.fillStyle = ownerColour(theme, lease.peer, self);
      context.fillRect(from * clientWidth, 0, Math.max(0.5, (to - from) * clientWidth - 0.5), clientHeight);
    }
    context.globalAlpha = 1;
  }

  #blockAt(x: number): Block | null {
    const at = x / Math.max(1, this.#canvas.clientWidth);
    return this.#model?.blocks.find(({ from, to }) => at >= from && at < to) ?? null;
  }

  #name(block: Block | null): void {
    if (block === null) {
      this.#caption.textContent = '';
      return;
    }
    const { cidr, peer, used, size, state } = block.lease;
    const owner = this.#model?.byId.get(peer)?.nickname ?? peer;
    const share = used === null ? `${size} addresses` : `${used} of ${size} addresses in use`;
    this.#caption.textContent = `${cidr}  ${owner}, ${share}, ${state}`;
  }
}
