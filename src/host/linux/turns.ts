// Changes of the kernel that must not overlap: one after the other, in the order of the calls, whatever became of the one before.

export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Resolves, or rejects, as `work` does. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work, work);
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Resolves when the work under way, if any, has ended. */
  async settled(): Promise<void> {
    await this.#last;
  }
}
