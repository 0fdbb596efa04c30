import { describe, expect, it } from 'vitest';
import {
  PieceAssembly,
  type PieceDrop,
  pieceCount,
  TIMEOUT_MS,
  WHOLE_BYTES_MAX,
  WHOLES_MAX,
} from '../../src/router/pieces.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const FRAME_MAX = 70_000;

function assembly(): { assembly: PieceAssembly; drops: PieceDrop[] } {
  const drops: PieceDrop[] = [];
  return { assembly: new PieceAssembly(FRAME_MAX, (reason) => drops.push(reason)), drops };
}

function piece(counter: number, index: number, count: number, bytes = Uint8Array.of(index)) {
  return { localIndex: 7, counter, index, count, bytes };
}

describe('pieces', () => {
  it('counts what a frame needs, and refuses more than 255', () => {
    expect([pieceCount(1, 100), pieceCount(100, 100), pieceCount(101, 100)]).toEqual([1, 1, 2]);
    expect([pieceCount(25_500, 100), pieceCount(25_501, 100)]).toEqual([255, 0]);
  });

  const orders: readonly (readonly number[])[] = [
    [0, 1, 2],
    [2, 1, 0],
    [1, 2, 0],
  ];
  for (const order of orders) {
    it(`puts a frame together from the order ${order}`, () => {
      const { assembly: pieces } = assembly();
      const results = order.map((index) => pieces.add(piece(100 + index, index, 3), 0));
      expect(results.slice(0, 2)).toEqual([null, null]);
      expect(results[2]).toEqual(Uint8Array.of(0, 1, 2));
      expect(pieces.heldBytes).toBe(0);
    });
  }

  it('keeps frames of two sessions with equal counters apart', () => {
    const { assembly: pieces } = assembly();
    pieces.add(piece(0, 0, 2), 0);
    expect(pieces.add({ ...piece(1, 1, 2), localIndex: 8 }, 0)).toBeNull();
    expect(pieces.add(piece(1, 1, 2), 0)).toEqual(Uint8Array.of(0, 1));
  });

  const malformed = [
    { name: 'a single piece', pieces: [piece(0, 0, 1)] },
    { name: 'an index beyond the count', pieces: [piece(9, 3, 3)] },
    { name: 'a first counter below zero', pieces: [piece(1, 2, 3)] },
    { name: 'an empty piece', pieces: [piece(1, 1, 3, new Uint8Array(0))] },
    { name: 'two counts for one frame', pieces: [piece(0, 0, 3), piece(1, 1, 4)] },
    {
      name: 'more than a frame',
      pieces: [piece(0, 0, 3, new Uint8Array(60_000)), piece(1, 1, 3, new Uint8Array(20_000))],
    },
  ];
  for (const { name, pieces: sent } of malformed) {
    it(`drops ${name}`, () => {
      const { assembly: pieces, drops } = assembly();
      for (const one of sent) expect(pieces.add(one, 0)).toBeNull();
      expect(drops).toEqual(['fragment-malformed']);
      expect(pieces.heldBytes).toBe(0);
    });
  }

  it('gives up after its time', () => {
    const { assembly: pieces, drops } = assembly();
    pieces.add(piece(0, 0, 2), 0);
    pieces.expire(TIMEOUT_MS);
    expect(drops).toEqual([]);
    pieces.expire(TIMEOUT_MS + 1);
    expect(drops).toEqual(['fragment-incomplete']);
    expect(pieces.add(piece(1, 1, 2), TIMEOUT_MS + 2)).toBeNull();
  });

  it('holds a bounded number of frames and bytes, the oldest goes', () => {
    const { assembly: pieces, drops } = assembly();
    for (let i = 0; i <= WHOLES_MAX; i++) pieces.add(piece(i * 10, 0, 2), 0);
    expect(drops).toEqual(['fragment-memory']);
    const large = assembly();
    for (let i = 0; i < 6; i++) large.assembly.add(piece(i * 10, 0, 2, new Uint8Array(60_000)), 0);
    expect(large.assembly.heldBytes).toBeLessThanOrEqual(WHOLE_BYTES_MAX);
    expect(large.drops).toEqual(['fragment-memory', 'fragment-memory']);
  });

  it('delivers exactly the frames whose pieces all arrived, in any interleaving', () => {
    const random = new SeededRandom(2);
    for (let run = 0; run < 100; run++) {
      const { assembly: pieces } = assembly();
      const expected = new Map<string, boolean>();
      const sent: ReturnType<typeof piece>[] = [];
      let counter = 0;
      for (let frame = 0; frame < 10; frame++) {
        const count = 2 + random.below(6);
        const parts = Array.from({ length: count }, (_, index) =>
          piece(counter + index, index, count, Uint8Array.of(frame, index)),
        );
        const lost = random.below(3) === 0 ? random.below(count) : -1;
        expected.set(parts.flatMap((part) => [...part.bytes]).join(), lost < 0);
        sent.push(...parts.filter((_, index) => index !== lost));
        counter += count;
      }
      for (let i = sent.length - 1; i > 0; i--) {
        const other = random.below(i + 1);
        [sent[i], sent[other]] = [sent[other]!, sent[i]!];
      }
      const delivered = sent.map((part) => pieces.add(part, 0)).filter((frame) => frame !== null);
      const wanted = [...expected].filter(([, whole]) => whole).map(([bytes]) => bytes);
      expect(delivered.map((frame) => [...frame].join()).sort()).toEqual(wanted.sort());
    }
  });
});
