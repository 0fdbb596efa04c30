// Remembers who holds the ports that this host tries again and again. To find it out means to look at every descriptor of every
// process: where a port stays taken (Weave Net's, a name server on 0.0.0.0), that would cost more than all else the daemon does.

/** A holder that gave way to another is named so many tries later: a minute, at one in two seconds. */
const TRIES_PER_SEARCH = 30;

export class PortHolders {
  readonly #find: (place: string) => Promise<string | null>;
  readonly #known = new Map<string, { readonly holder: string | null; triesLeft: number }>();

  /** `find`: in words; null: nobody. */
  constructor(find: (place: string) => Promise<string | null>) {
    this.#find = find;
  }

  /** Once for each try at that place that failed. */
  async holderOf(place: string): Promise<string | null> {
    const known = this.#known.get(place);
    if (known !== undefined && known.holder !== null && known.triesLeft-- > 0) return known.holder;
    const holder = await this.#find(place);
    this.#known.set(place, { holder, triesLeft: TRIES_PER_SEARCH - 1 });
    return holder;
  }

  /** It is ours, or wanted no more. */
  forget(place: string): void {
    this.#known.delete(place);
  }
}
