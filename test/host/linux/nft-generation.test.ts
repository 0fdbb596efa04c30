import fc from 'fast-check';
import { expect, it } from 'vitest';
import { concatBytes, fromHex } from '../../../src/base/bytes.ts';
import { parseGenerations } from '../../../src/host/linux/nft-generation.ts';

// Captured on Linux 6.18 while `nft add table inet x` ran as process 20982: the table, then the generation.
const NEWTABLE = fromHex(
  '38000000000a000001000000f6510000010000020600010078000000' +
    '08000300000000000c00040000000000000000010800020000000000',
)!;
const NEWGEN = fromHex(
  '2c0000000f0a000001000000f6510000' + '00000002' + '0800010000000002' + '08000200000051f6' + '080003006e667400',
)!;

it('tells who made a transaction, among other messages', () => {
  expect(parseGenerations(concatBytes(NEWTABLE, NEWGEN, NEWTABLE))).toEqual([{ portId: 20982 }]);
});

it('knows the kernel itself', () => {
  const silent = fromHex('140000000f0a00000000000000000000' + '00000005')!;
  expect(parseGenerations(silent)).toEqual([{ portId: 0 }]);
});

it('never throws', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void parseGenerations(bytes)));
  const mutated = fc.tuple(fc.nat(NEWGEN.length - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(mutated, { maxLength: 4 }), (changes) => {
      const bytes = NEWGEN.slice();
      for (const [at, value] of changes) bytes[at] = value;
      parseGenerations(bytes);
    }),
  );
});
