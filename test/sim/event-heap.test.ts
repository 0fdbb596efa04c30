import { expect, test } from 'vitest';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { EventHeap } from './event-heap.ts';

test('events leave in the order of time, and of equal times in the order in which they came', () => {
  const random = new SeededRandom(5);
  for (let round = 0; round < 50; round++) {
    const heap = new EventHeap();
    const added = Array.from({ length: random.below(200) }, () => heap.add(random.below(20), () => {}));
    const left = added.map(() => heap.pop()!);
    const sorted = [...added].sort((a, b) => a.atMs - b.atMs || a.sequence - b.sequence);
    expect(left.map(({ sequence }) => sequence)).toEqual(sorted.map(({ sequence }) => sequence));
    expect(heap.pop()).toBeNull();
  }
});
