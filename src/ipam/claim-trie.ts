// A binary trie over one range that finds what covers an address, and cuts the range into regions that the same blocks
// cover. Each node is one aligned block; items hang at the node of their own block. No answer is stored: it is computed
// from the items on the path, so adding and removing cost one walk and order of arrival can't matter.

import { addressBits, type Cidr, cidrContains, cidrHalves } from '../base/address.ts';
import { assert } from '../base/errors.ts';

interface Node<T> {
  items: T[];
  low: Node<T> | null;
  high: Node<T> | null;
}

export class ClaimTrie<T> {
  readonly #range: Cidr;
  readonly #bits: number;
  #root: Node<T> = emptyNode();

  constructor(range: Cidr) {
    this.#range = range;
    this.#bits = addressBits(range.family);
  }

  /** The caller adds an item once. */
  add(block: Cidr, item: T): void {
    assert(cidrContains(this.#range, block), 'a claim lies inside its range');
    let node = this.#root;
    for (let depth = this.#range.prefix; depth < block.prefix; depth++) {
      if (this.#bit(block.base, depth)) {
        node.high ??= emptyNode();
        node = node.high;
      } else {
        node.low ??= emptyNode();
        node = node.low;
      }
    }
    node.items.push(item);
  }

  /** False when the item was not there. Nodes that became empty are freed. */
  remove(block: Cidr, item: T): boolean {
    const path: Node<T>[] = [this.#root];
    for (let depth = this.#range.prefix; depth < block.prefix; depth++) {
      const next = this.#child(path.at(-1)!, block.base, depth);
      if (next === null) return false;
      path.push(next);
    }
    const items = path.at(-1)!.items;
    const index = items.indexOf(item);
    if (index < 0) return false;
    items.splice(index, 1);
    for (let i = path.length - 1; i > 0 && isEmpty(path[i]!); i--) {
      const parent = path[i - 1]!;
      if (parent.low === path[i]) parent.low = null;
      else parent.high = null;
    }
    return true;
  }

  /** Items whose block holds the address, shorter prefixes first. */
  covering(value: bigint): T[] {
    const found = [...this.#root.items];
    let node: Node<T> | null = this.#root;
    for (let depth = this.#range.prefix; depth < this.#bits; depth++) {
      node = this.#child(node, value, depth);
      if (node === null) break;
      found.push(...node.items);
    }
    return found;
  }

  /**
   * Calls `visit` for disjoint aligned regions that together make up `within` (a block of the range), in ascending order,
   * each with all items that cover it. `items` is valid during the call only.
   */
  regions(within: Cidr, visit: (region: Cidr, items: readonly T[]) => void): void {
    const items: T[] = [...this.#root.items];
    let node: Node<T> | null = this.#root;
    for (let depth = this.#range.prefix; depth < within.prefix && node !== null; depth++) {
      node = this.#child(node, within.base, depth);
      if (node !== null) items.push(...node.items);
    }
    if (node === null) visit(within, items);
    else descend(node, within, items, visit);
  }

  #child(node: Node<T>, value: bigint, depth: number): Node<T> | null {
    return this.#bit(value, depth) ? node.high : node.low;
  }

  #bit(value: bigint, depth: number): boolean {
    return ((value >> BigInt(this.#bits - 1 - depth)) & 1n) === 1n;
  }
}

/** `items` holds those of the node already. */
function descend<T>(node: Node<T>, block: Cidr, items: T[], visit: (region: Cidr, items: readonly T[]) => void): void {
  if (node.low === null && node.high === null) {
    visit(block, items);
    return;
  }
  const halves = cidrHalves(block)!;
  for (const [half, child] of [[halves[0], node.low] as const, [halves[1], node.high] as const]) {
    if (child === null) {
      visit(half, items);
      continue;
    }
    const length = items.length;
    items.push(...child.items);
    descend(child, half, items, visit);
    items.length = length;
  }
}

function emptyNode<T>(): Node<T> {
  return { items: [], low: null, high: null };
}

function isEmpty<T>(node: Node<T>): boolean {
  return node.items.length === 0 && node.low === null && node.high === null;
}
