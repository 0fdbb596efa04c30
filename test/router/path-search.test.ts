import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PATH_MTU_BASE, PathSearch } from '../../src/router/path-search.ts';

const TOP = 1500;
const STEP_MS = 20;

/** A search over a path that carries `limit` bytes, after `rttMs`; data is always being sent. */
class Path {
  readonly search = new PathSearch();
  limit: number;
  nowMs = 0;
  sending = true;
  readonly probes: number[] = [];
  #answers: { atMs: number; bytes: number }[] = [];
  readonly #rttMs: number;
  /** True: this probe gets lost whatever its size. */
  loses: (bytes: number) => boolean = () => false;

  constructor(limit: number, rttMs = 40) {
    this.limit = limit;
    this.#rttMs = rttMs;
    this.search.agree({ topBytes: TOP, asks: true }, 0);
  }

  run(ms: number): void {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; this.nowMs += STEP_MS) {
      const due = this.#answers.filter(({ atMs }) => atMs <= this.nowMs);
      this.#answers = this.#answers.filter(({ atMs }) => atMs > this.nowMs);
      for (const { bytes } of due) this.search.answered(bytes, this.nowMs);
      const bytes = this.search.tick(this.nowMs, this.sending ? this.nowMs : null);
      if (bytes === null) continue;
      this.probes.push(bytes);
      if (bytes <= this.limit && !this.loses(bytes)) this.#answers.push({ atMs: this.nowMs + this.#rttMs, bytes });
    }
  }
}

describe('path search', () => {
  it('asks once where the path carries all, and again only while data is sent', () => {
    const path = new Path(TOP);
    path.run(4_900);
    expect(path.probes).toEqual([TOP]);
    path.run(10_200);
    expect(path.probes).toEqual([TOP, TOP, TOP]);
    path.sending = false;
    path.run(60_000);
    expect(path.probes).toHaveLength(3);
    expect(path.search.dueMs).toBe(Number.POSITIVE_INFINITY);
  });

  it('uses the smallest size about a second after the top got lost, and then comes close to what passes', () => {
    const path = new Path(700);
    path.run(1_000);
    expect(path.search.bytes).toBe(TOP);
    path.run(200);
    expect(path.search.bytes).toBe(PATH_MTU_BASE);
    path.run(8_000);
    expect(path.search.bytes).toBeLessThanOrEqual(700);
    expect(path.search.bytes).toBeGreaterThan(700 - 9);
  });

  it('comes within eight bytes below any limit', () => {
    fc.assert(
      fc.property(fc.integer({ min: PATH_MTU_BASE, max: TOP }), (limit) => {
        const path = new Path(limit);
        path.run(12_000);
        expect(path.search.bytes).toBeLessThanOrEqual(limit);
        expect(path.search.bytes).toBeGreaterThan(limit - 9);
        expect(path.probes.length).toBeLessThan(45);
      }),
    );
  });

  it('notices a path that shrinks within six seconds and a half', () => {
    const path = new Path(TOP);
    path.run(20_000);
    path.limit = 1_280;
    path.run(6_500);
    expect(path.search.bytes).toBeLessThanOrEqual(1_280);
  });

  it('notices a path that grows within 66 s, and keeps what passes meanwhile', () => {
    const path = new Path(700);
    path.run(10_000);
    const before = path.search.bytes;
    path.limit = TOP;
    path.run(40_000);
    expect(path.search.bytes).toBe(before);
    path.run(26_000);
    expect(path.search.bytes).toBe(TOP);
  });

  it('looks for more at once on another path', () => {
    const path = new Path(700);
    path.run(10_000);
    path.limit = TOP;
    path.search.recheck(path.nowMs);
    path.run(200);
    expect(path.search.bytes).toBe(TOP);
  });

  it('takes two lost tries for loss, not for a size', () => {
    const path = new Path(TOP);
    let left = 2;
    path.loses = () => left-- > 0;
    path.run(1_500);
    expect(path.search.bytes).toBe(TOP);
    expect(path.probes).toEqual([TOP, TOP, TOP]);
  });

  it('learns nothing from a path that carries nothing', () => {
    const path = new Path(0);
    path.run(30_000);
    expect(path.search.bytes).toBe(TOP);
    path.limit = TOP;
    path.run(10_000);
    expect(path.search.bytes).toBe(TOP);
  });

  it('understands answers that come after their time', () => {
    const path = new Path(TOP, 700);
    path.run(10_000);
    expect(path.search.bytes).toBe(TOP);
    const small = new Path(700, 700);
    small.run(15_000);
    expect(small.search.bytes).toBeGreaterThan(700 - 9);
  });

  it('does not ask who does not answer, and believes no answer above the top', () => {
    const search = new PathSearch();
    search.agree({ topBytes: TOP, asks: false }, 0);
    expect(search.tick(100_000, 100_000)).toBeNull();
    search.agree({ topBytes: TOP, asks: true }, 0);
    search.answered(9_000, 10);
    expect(search.bytes).toBe(TOP);
  });

  it('keeps its size from base to top whatever is answered', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 2_000 }), fc.boolean()), { maxLength: 300 }), (steps) => {
        const search = new PathSearch();
        search.agree({ topBytes: TOP, asks: true }, 0);
        let nowMs = 0;
        for (const [value, answer] of steps) {
          if (answer) search.answered(value, nowMs);
          else {
            nowMs += value;
            const bytes = search.tick(nowMs, nowMs);
            if (bytes !== null) expect(bytes >= PATH_MTU_BASE && bytes <= TOP).toBe(true);
          }
          expect(search.bytes >= PATH_MTU_BASE && search.bytes <= TOP).toBe(true);
        }
      }),
    );
  });
});
